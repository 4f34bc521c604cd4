"""A thread beside the app's own: it ends with the program and survives its forks.

A forked child has no thread of its parent's. What was started there is started anew in
the child, not at once, since many a child only runs another program, but once the child
records an event.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Final

from hydro_hooks import outbox

logger = logging.getLogger(__name__)

EXIT_SECONDS: Final = 0.7
"""How long a program that ends waits for what is on its way."""

ABANDON_SECONDS: Final = 0.3
"""How long it then waits until what it holds is given back."""


class _LastDeed:
    """A thread that waits to do one thing when the program ends.

    It is there beforehand: Python 3.12 starts no thread once the program is ending.
    """

    def __init__(self, deed: Callable[[], None]) -> None:
        self._deed = deed
        self._decided: queue.SimpleQueue[Callable[[], None] | None]
        self._decided = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._wait, name="hydro-hooks-exit", daemon=True
        )
        self._thread.start()

    def do(self, timeout: float) -> None:
        """Have it done, and wait for that `timeout` seconds at most."""
        self._decided.put(self._deed)
        self._thread.join(timeout)

    def leave(self) -> None:
        """Have it left undone."""
        self._decided.put(None)

    def _wait(self) -> None:
        deed = self._decided.get()
        if deed is not None:
            deed()


class Background:
    """Work in a thread, started and stopped any number of times.

    Args:
        work: Goes on until the event that it is called with is set.
        abandon: Gives back what the work holds; called where a program ends sooner
            than the work.
        after_fork: Called in a forked child whose parent was at work.
    """

    def __init__(
        self,
        work: Callable[[threading.Event], None],
        *,
        abandon: Callable[[], None],
        after_fork: Callable[[], None],
    ) -> None:
        self._work = work
        self._abandon = abandon
        self._after_fork = after_fork
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_deed: _LastDeed | None = None
        self._is_forked = False
        _all.add(self)

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            RuntimeError: No thread can be had.
        """
        with self._guard:
            if self._thread is not None and self._thread.is_alive():
                return
            self._is_forked = False
            if self._last_deed is not None:  # of a thread that ended by itself
                self._last_deed.leave()
            # In a thread, since a database may not answer either.
            self._last_deed = _LastDeed(self._abandon)
            self._stop = threading.Event()
            # A daemon: the interpreter joins other threads before it calls atexit,
            # which is what stops this one.
            self._thread = threading.Thread(
                target=self._work,
                args=(self._stop,),
                name="hydro-hooks-relay",
                daemon=True,
            )
            self._thread.start()
            atexit.register(self._stop_at_exit)

    def stop(self, timeout: float) -> bool:
        """Stop the thread, and return whether it has ended within `timeout` seconds."""
        thread, last_deed = self._told_to_stop()
        if last_deed is not None:
            last_deed.leave()
        return _has_ended(thread, timeout)

    def _stop_at_exit(self) -> None:
        thread, last_deed = self._told_to_stop()
        if not _has_ended(thread, EXIT_SECONDS) and last_deed is not None:
            last_deed.do(ABANDON_SECONDS)

    def _told_to_stop(self) -> tuple[threading.Thread | None, _LastDeed | None]:
        with self._guard:
            thread, self._thread = self._thread, None
            last_deed, self._last_deed = self._last_deed, None
            self._is_forked = False
            self._stop.set()
        atexit.unregister(self._stop_at_exit)
        return thread, last_deed

    def forget_thread(self) -> None:
        """In a forked child: no thread runs here, and nobody holds the lock."""
        self._guard = threading.Lock()
        self._last_deed = None
        if self._thread is None:
            return
        self._thread, self._is_forked = None, True
        self._after_fork()
        if _start_again not in outbox.before_writing:
            outbox.before_writing.append(_start_again)

    def start_again(self) -> None:
        """In a forked child: start what ran in the parent."""
        if not self._is_forked:
            return
        try:
            self.start()
        except RuntimeError:  # the app's commit, which this is in, goes on
            logger.exception("The relay cannot start here; any other relay delivers")


def _has_ended(thread: threading.Thread | None, timeout: float) -> bool:
    if thread is None:
        return True
    thread.join(timeout)
    return not thread.is_alive()


_all: Final[weakref.WeakSet[Background]] = weakref.WeakSet()


def _forget_threads() -> None:
    for each in list(_all):
        each.forget_thread()


def _start_again() -> None:
    outbox.before_writing.remove(_start_again)
    for each in list(_all):
        each.start_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
