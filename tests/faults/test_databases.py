"""The database is killed, full, locked, or refuses to write: nothing is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest
from databases import KINDS
from delivering import wait_until
from faults.disks import SmallDisk, small_disk
from faults.lengths import runs
from faults.own_databases import (
    OwnDatabase,
    OwnPostgresql,
    OwnServer,
    own_database,
)
from faults.stage import Stage

RESTARTS: Final = runs(short=2, long=20)
FAULTS: Final = runs(short=1, long=10)
FAULT_SECONDS: Final = runs(short=1, long=10)
LOCK_SECONDS: Final = runs(short=3, long=60)
LONGEST_PAUSE_SECONDS: Final = 330
"""What a relay may take to try again after many failures in a row, and some more."""
CHANCE: Final = random.Random()  # noqa: S311 - moments, not secrets

LOCKS: Final = {
    "sqlite": "BEGIN EXCLUSIVE",
    "postgresql": "BEGIN; LOCK TABLE hydro_outbox",
    "mariadb": "LOCK TABLES hydro_outbox WRITE",
}
UNLOCKS: Final = {"mariadb": "UNLOCK TABLES"}

Fault = Callable[[], None]
"""What begins one, or ends it."""


@pytest.fixture(params=KINDS)
def own_stage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[OwnDatabase, Stage]]:
    """Yield a database, and the stage that is on it."""
    with (
        own_database(request.param) as own,
        Stage(own.database, tmp_path, request) as stage,
    ):
        yield own, stage


@pytest.mark.timeout(600 + 60 * RESTARTS)
def test_a_server_killed_under_load_loses_nothing_that_it_committed(
    own_stage: tuple[OwnDatabase, Stage],
) -> None:
    server, stage = own_stage
    if not isinstance(server, OwnServer):
        pytest.skip("SQLite has no server")
    stage.relay()
    at_work = [stage.app(), stage.app(), stage.writer()]
    away, again = [], []
    for _ in range(RESTARTS):
        time.sleep(CHANCE.uniform(0.5, 2.0))
        begun = time.monotonic()
        server.crash()
        time.sleep(CHANCE.uniform(0.0, 0.5))
        server.start()
        away.append(time.monotonic() - begun)
        again.append(stage.delivered_again(seconds=LONGEST_PAUSE_SECONDS))
    for process in at_work:
        process.terminate()
    drained = stage.drained()

    found = stage.concluded(
        "4",
        "database server killed",
        runs=RESTARTS,
        seconds={"away": max(away), "again": max(again), "drained": drained},
    )
    assert found.flaws == []


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Hold a lock that nobody gets past, as a backup or a migration does."""
    kind = stage.database.kind
    with closing(stage.engine.raw_connection()) as driver:
        with closing(driver.cursor()) as cursor:
            cursor.execute(LOCKS[kind])
            yield
            cursor.execute(UNLOCKS.get(kind, "ROLLBACK"))


@pytest.mark.timeout(600)
def test_events_of_a_database_that_was_locked_for_long_are_delivered(
    stage: Stage,
) -> None:
    stage.relay()
    at_work = [stage.app(), stage.writer()]
    stage.delivered_again()

    with locked(stage):
        time.sleep(LOCK_SECONDS)
    again = stage.delivered_again(seconds=LONGEST_PAUSE_SECONDS)
    for process in at_work:
        process.terminate()
    drained = stage.drained(seconds=120)

    found = stage.concluded(
        "19a",
        f"database locked for {LOCK_SECONDS} s",
        runs=1,
        seconds={"again": again, "drained": drained},
    )
    assert found.flaws == []


def failures_of(stage: Stage) -> int:
    """Return how often an app or a relay met the fault."""
    processes = stage.processes.values()
    apps = sum(note.startswith("failed") for each in processes for note in each.notes)
    return apps + sum(each.log.count("cannot use the app's") for each in processes)


def until_more_failures_than(count: int, stage: Stage) -> None:
    wait_until(lambda: failures_of(stage) > count)


@pytest.fixture(params=KINDS)
def disk_stage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SmallDisk, OwnDatabase, Stage]]:
    """Yield a disk, a database that has its tables on it, and its stage."""
    with (
        small_disk() as disk,
        own_database(request.param, disk.folder) as own,
        Stage(own.database, tmp_path, request) as stage,
    ):
        yield disk, own, stage


def work_through(stage: Stage, begin: Fault, end: Fault) -> dict[str, float]:
    """Have apps and a relay meet a fault again and again; return how long that took."""
    stage.relay()
    at_work = [stage.app(), stage.writer()]
    stage.delivered_again()
    again = []
    for _ in range(FAULTS):
        before = failures_of(stage)
        begin()
        until_more_failures_than(before, stage)
        time.sleep(FAULT_SECONDS)
        end()
        again.append(stage.delivered_again(seconds=LONGEST_PAUSE_SECONDS))
    for process in at_work:
        process.terminate()
    return {"again": max(again), "drained": stage.drained()}


@pytest.mark.timeout(600 + 60 * FAULTS)
def test_a_full_disk_loses_nothing(
    disk_stage: tuple[SmallDisk, OwnDatabase, Stage],
) -> None:
    disk, own, stage = disk_stage

    def make_room() -> None:
        disk.free()
        own.see_that_it_runs()

    seconds = work_through(stage, disk.fill, make_room)

    found = stage.concluded("19b", "disk full", runs=FAULTS, seconds=seconds)
    assert found.flaws == []


@pytest.mark.timeout(600 + 60 * FAULTS)
def test_a_database_that_nobody_may_write_to_loses_nothing(
    own_stage: tuple[OwnDatabase, Stage],
) -> None:
    own, stage = own_stage

    seconds = work_through(stage, own.forbid_writing, own.allow_writing)

    found = stage.concluded("19c", "database read-only", runs=FAULTS, seconds=seconds)
    assert found.flaws == []


def test_a_relay_gives_up_sessions_that_may_only_read(
    own_stage: tuple[OwnDatabase, Stage],
) -> None:
    own, stage = own_stage
    if not isinstance(own, OwnPostgresql):
        pytest.skip("only PostgreSQL has sessions that stay read-only")
    relay = stage.relay()
    app = stage.app()
    stage.delivered_again()
    own.make_sessions_read_only()
    wait_until(lambda: "read-only transaction" in relay.log)
    app.kill()
    own.make_new_sessions_writable()
    app = stage.app()
    again = stage.delivered_again(seconds=30)
    app.terminate()
    seconds = {"again": again, "drained": stage.drained()}

    found = stage.concluded("19d", "sessions read-only", runs=1, seconds=seconds)
    assert found.flaws == []
