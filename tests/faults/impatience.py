"""Relays that wait less than they do in earnest, so that a day is over in seconds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Final

from databases import Database
from faults.processes import READY, Notes, Running
from faults.proxy import FaultProxy
from faults.stage import LEASE_SECONDS, Stage
from sqlalchemy import Engine, update

from hydro_hooks import tables
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings
from hydro_hooks.sinks.http import HttpSink

TOTAL_SECONDS: Final = 0.5
"""The longest wait of such a relay for an answer."""

HURRY_SECONDS: Final = 0.1


def impatient_relay(
    notes: Notes, *, database: Database, settings: Settings, total_seconds: float
) -> None:
    """Deliver until SIGTERM."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        # In a thread: the interrupted frame may hold the lock that set() takes.
        threading.Thread(target=stop.set).start()

    signal.signal(signal.SIGTERM, handle)
    sink = HttpSink(settings, total_seconds=total_seconds)
    lease = timedelta(seconds=total_seconds + LEASE_SECONDS)
    the_relay = Relay(database.engine(), settings, sink=sink, lease=lease)
    notes.add(READY)
    the_relay.run(stop)


def relay_through(
    stage: Stage, proxy: FaultProxy, *, total_seconds: float = TOTAL_SECONDS
) -> Running:
    """Begin a relay that sends to a proxy, and waits for so long for an answer."""
    name = stage.new_name("relay")
    settings = proxy.settings(stage.receiver.settings(sender=name))
    return stage.begin(
        impatient_relay,
        name,
        database=stage.database,
        settings=settings,
        total_seconds=total_seconds,
    )


@contextmanager
def hurried(engine: Engine) -> Iterator[None]:
    """End every pause of the relays within moments, for as long as the block lasts."""
    is_over = threading.Event()

    def hurry() -> None:
        while not is_over.wait(HURRY_SECONDS):
            end_pauses(engine)

    thread = threading.Thread(target=hurry, name="hurry")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def end_pauses(engine: Engine) -> None:
    """Let the time pass until every shard is tried again."""
    is_paused = tables.shard.c.not_before.is_not(None)
    with engine.begin() as connection:
        connection.execute(
            update(tables.shard).where(is_paused).values(not_before=None)
        )
