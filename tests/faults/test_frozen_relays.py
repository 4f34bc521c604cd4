"""Relays that stand still beyond their lease, and go on: they change nothing then."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Collection
from datetime import datetime
from typing import Final

import pytest
from delivering import wait_until
from faults.lengths import runs
from faults.processes import Running
from faults.receiver import sender_of
from faults.stage import LEASE_SECONDS, Stage
from scripted_gateway import Received, Scripted
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from hydro_hooks import tables

FREEZES: Final = runs(short=1, long=20)
FREEZES_AT_ANY_TIME: Final = runs(short=3, long=100)
FROZEN_SECONDS: Final = 6 * LEASE_SECONDS
CHANCE: Final = random.Random()  # noqa: S311 - moments, not secrets


class Freezer:
    """Answers requests, and freezes the relay that sent the one it is to wait for.

    Attributes:
        victim: The relay that was frozen last, waiting for its answer.
        ids: Of the events that it had sent.
    """

    def __init__(self, stage: Stage) -> None:
        self.victim: Running | None = None
        self.ids: list[str] = []
        self._stage = stage
        self._is_wanted = threading.Lock()
        self._is_wanted.acquire()
        self._is_frozen = threading.Event()

    def __call__(self, request: Received) -> Scripted:
        if self._is_wanted.acquire(blocking=False):
            self.victim = self._stage.processes[sender_of(request)]
            self.victim.freeze()
            self.ids = request.event_ids
            self._is_frozen.set()
        return Scripted()

    def freeze_next(self) -> Running:
        """Freeze the next relay that sends, and return it."""
        self._is_frozen.clear()
        self._is_wanted.release()
        assert self._is_frozen.wait(30)
        assert self.victim is not None
        return self.victim


Settled = dict[str, tuple[datetime, str]]
"""By an event's id, when and by whom it was settled."""


def settled(stage: Stage, ids: Collection[str]) -> Settled:
    """Return what the journal says of those of these events that it holds."""
    journal = tables.journal.c
    statement = select(journal.id, journal.settled_at, journal.settled_by)
    with stage.engine.connect() as connection:
        rows = connection.execute(statement.where(journal.id.in_(ids)))
        return {id_: (at, by or "") for id_, at, by in rows}


def is_settled(stage: Stage, ids: Collection[str]) -> bool:
    """Return whether events are settled soon, by relays that are not frozen."""
    end = time.monotonic() + FROZEN_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(DBAPIError):  # SQLite, locked by the frozen relay
            if len(settled(stage, ids)) == len(ids):
                return True
        time.sleep(0.02)
    return False


def taken_over(stage: Stage, freezer: Freezer) -> Settled:
    """Freeze a relay until others have settled what it had sent; let it go on.

    One that stands in a transaction, with locks that nobody gets past, goes on soon,
    and the next is frozen.
    """
    victim = freezer.freeze_next()
    while not is_settled(stage, freezer.ids):
        victim.thaw()
        victim = freezer.freeze_next()
    taken = settled(stage, freezer.ids)
    victim.thaw()
    wait_until(lambda: "to another relay" in victim.log)
    assert not any(by.endswith(f":{victim.pid}") for _, by in taken.values())
    return taken


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.timeout(120 + 30 * FREEZES)
def test_a_relay_frozen_beyond_its_lease_writes_nothing_that_another_has_taken(
    stage: Stage, count: int
) -> None:
    freezer = stage.receiver.script = Freezer(stage)
    for _ in range(count):
        stage.relay()
    writer = stage.writer()
    taken: Settled = {}
    begun = time.monotonic()
    for _ in range(FREEZES):
        taken |= taken_over(stage, freezer)
    seconds = {"taken over": (time.monotonic() - begun) / FREEZES}
    writer.terminate()
    seconds["drained"] = stage.drained()

    scenario = f"1 of {count} relays frozen beyond its lease"
    found = stage.concluded("14a", scenario, runs=FREEZES, seconds=seconds)
    assert found.flaws == []
    assert settled(stage, taken) == taken


@pytest.mark.timeout(120 + 30 * FREEZES)
def test_a_lone_relay_frozen_beyond_its_lease_goes_on(stage: Stage) -> None:
    freezer = stage.receiver.script = Freezer(stage)
    stage.relay()
    writer = stage.writer()
    for _ in range(FREEZES):
        victim = freezer.freeze_next()
        time.sleep(3 * LEASE_SECONDS)
        victim.thaw()
    writer.terminate()
    seconds = {"drained": stage.drained()}

    scenario = "1 of 1 relays frozen beyond its lease"
    found = stage.concluded("14a", scenario, runs=FREEZES, seconds=seconds)
    assert found.flaws == []
    assert found.repeats == 0


@pytest.mark.timeout(120 + 5 * FREEZES_AT_ANY_TIME)
def test_relays_frozen_at_any_moment_lose_nothing(stage: Stage) -> None:
    relays = [stage.relay() for _ in range(3)]
    at_work = [stage.app(), stage.writer()]
    for _ in range(FREEZES_AT_ANY_TIME):
        time.sleep(CHANCE.uniform(0.0, 0.5))
        relay = CHANCE.choice(relays)
        relay.freeze()
        time.sleep(CHANCE.uniform(0.0, 3 * LEASE_SECONDS))
        relay.thaw()
    for process in at_work:
        process.terminate()
    seconds = {"drained": stage.drained()}

    scenario = "1 of 3 relays frozen at any moment"
    found = stage.concluded("14b", scenario, runs=FREEZES_AT_ANY_TIME, seconds=seconds)
    assert found.flaws == []
