"""What tests of the delivery share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sample_events import rows_in
from scripted_gateway import ScriptedGateway
from sqlalchemy import Engine, update

from hydro_hooks import outbox, tables
from hydro_hooks.relay import Counts, Relay

SHARD = outbox.shard_of("19")
"""The shard of the sample events."""


def drained(engine: Engine, gateway: ScriptedGateway, **more: Any) -> Counts:
    return Relay(engine, gateway.settings(), **more).drain()


def end_back_off(engine: Engine) -> None:
    """Let the time pass until every shard is tried again."""
    with engine.begin() as connection:
        connection.execute(update(tables.shard).values(not_before=None))


def shard_row(engine: Engine) -> dict[str, Any]:
    return rows_in(engine, tables.shard)[SHARD]


def delay_of(engine: Engine) -> timedelta:
    not_before: datetime = shard_row(engine)["not_before"]
    return not_before - datetime.now(UTC)


def wait_until(holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def relay_threads() -> list[threading.Thread]:
    return [
        thread for thread in threading.enumerate() if thread.name == "hydro-hooks-relay"
    ]
