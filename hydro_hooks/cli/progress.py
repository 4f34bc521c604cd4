"""How a relay gets on: a line that changes on a terminal, else lines of the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hydro_hooks import outbox
from hydro_hooks.cli.terminal import StatusLine
from hydro_hooks.outbox import Waiting
from hydro_hooks.relay import Relay

logger = logging.getLogger(__name__)

TERMINAL_SECONDS: Final = 1.0
LOG_SECONDS: Final = 60.0
SHARE: Final = 0.05
"""The most of the time that counting what waits may take: there may be millions."""

WINDOW: Final = 5
"""Looks that the rate is taken over."""


@contextmanager
def progress_of(
    relay: Relay, engine: Engine, line: StatusLine, *, seconds: float | None = None
) -> Iterator[None]:
    """Tell of a relay's progress while the block runs.

    Args:
        relay: Which.
        engine: Of its database.
        line: Of the terminal, if stderr is one; else the log tells, when something was
            delivered or waits.
        seconds: How often; by default every second on a terminal, else every minute.
    """
    if seconds is None:
        seconds = TERMINAL_SECONDS if line.is_shown else LOG_SECONDS
    stop = threading.Event()
    reporter = _Reporter(relay, engine, line, seconds)
    thread = threading.Thread(target=reporter.run, args=(stop,), daemon=True)
    rounds = logging.getLogger("hydro_hooks.rounds")
    level = rounds.level
    if line.is_shown:
        rounds.setLevel(logging.WARNING)  # the line tells what each round would
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        line.clear()
        rounds.setLevel(level)


class _Reporter:
    def __init__(
        self, relay: Relay, engine: Engine, line: StatusLine, seconds: float
    ) -> None:
        self._relay = relay
        self._engine = engine
        self._line = line
        self._seconds = seconds
        self._looks: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def run(self, stop: threading.Event) -> None:
        self._looks.append((time.monotonic(), self._relay.progress.delivered))
        pause = self._seconds
        while not stop.wait(pause):
            began_at = time.monotonic()
            self._look()
            pause = max(self._seconds, (time.monotonic() - began_at) / SHARE)

    def _look(self) -> None:
        progress = self._relay.progress
        try:
            with self._engine.connect() as connection:
                waiting = outbox.waiting(connection)
        except SQLAlchemyError:
            return  # the relay itself tells of that
        before_at, before = self._looks[0]
        now = time.monotonic()
        self._looks.append((now, progress.delivered))
        delivered = progress.delivered - before
        text = told(
            waiting,
            delivered=progress.delivered,
            rejected=progress.rejected,
            rate=delivered / (now - before_at),
            now=datetime.now(UTC),
        )
        if self._line.is_shown:
            self._line.show(text)
        elif delivered or waiting.count:
            logger.info("%s", text)


def told(
    waiting: Waiting, *, delivered: int, rejected: int, rate: float, now: datetime
) -> str:
    """Return a relay's progress in words.

    Args:
        waiting: What is in the outbox.
        delivered: Events delivered so far.
        rejected: Events refused so far.
        rate: Events delivered a second.
        now: UTC.
    """
    parts = [f"{delivered:,} delivered ({rate:,.0f}/s)"]
    if rejected:
        parts.append(f"{rejected:,} refused")
    if waiting.oldest_occurred_at is None:
        parts.append("none waits")
    else:
        waits = "1 waits" if waiting.count == 1 else f"{waiting.count:,} wait"
        age = (now - waiting.oldest_occurred_at).total_seconds()
        parts.append(f"{waits}, the oldest for {_span(max(0.0, age))}")
    return ", ".join(parts)


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
