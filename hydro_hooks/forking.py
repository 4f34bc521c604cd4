"""A fork finds none of our threads in the middle of something.

Where a thread holds a lock of a C library (OpenSSL making a context, SQLite opening a
file) while another forks, the lock stays held in the child for ever: seen with gunicorn
--preload, whose workers hung at their first connection. So a fork waits a moment until
our threads only wait: for an answer, for each other, or for the next round.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE_SECONDS: Final = 1.0
"""How long a fork waits at most; a thread is seldom busy for so long."""


class _Gate:
    """Counts threads at work, and keeps them from going on while a fork is made."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._at_work = 0
        self._forks = 0
        self._mine = threading.local()

    def enter(self) -> None:
        """Go to work, after a fork that is being made."""
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._at_work += 1
        self._mine.is_at_work = True

    def leave(self) -> None:
        """Be at work no longer."""
        self._mine.is_at_work = False
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is at work."""
        return getattr(self._mine, "is_at_work", False)

    def close(self) -> None:
        """Wait until no other thread is at work, and let none begin."""
        mine = int(self.is_mine)
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: self._at_work <= mine, PATIENCE_SECONDS)

    def open(self) -> None:
        """Let them go on."""
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def reset(self) -> None:
        """In a forked child: only the thread that forked is there."""
        was_mine = self.is_mine
        self._renew()  # with a lock that nobody holds
        if was_mine:
            self.enter()


_gate: Final = _Gate()


@contextmanager
def at_work() -> Iterator[None]:
    """Let a fork wait until the block has ended, or waits by itself."""
    if _gate.is_mine:
        yield
        return
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


@contextmanager
def waiting() -> Iterator[None]:
    """Inside `at_work()`: let a fork be made in the block, which only waits."""
    if not _gate.is_mine:
        yield
        return
    _gate.leave()
    try:
        yield
    finally:
        _gate.enter()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_gate.close,
        after_in_parent=_gate.open,
        after_in_child=_gate.reset,
    )
