"""Several relays at once: replaced one after the other, or with a wrong clock."""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from delivering import wait_until
from faults.lengths import runs
from faults.processes import Command, Running
from faults.stage import Stage
from sample_events import rows_in

from hydro_hooks import tables

ROLLS: Final = runs(short=1, long=50)
CLOCK_SECONDS: Final = runs(short=1, long=60)
HOUR: Final = timedelta(hours=1)
CHANCE: Final = random.Random()  # noqa: S311 - moments, not secrets


def command(stage: Stage, name: str, *before: str) -> Running:
    """Begin the real command, which holds its leases for 30 s.

    Args:
        stage: Where it delivers.
        name: The app in whose name it sends.
        before: The program, if it is not `hydro-hooks`.
    """
    settings = stage.receiver.settings()
    program = before or ("-m", "hydro_hooks.cli")
    return stage.keep(
        Command(
            [
                *(sys.executable, *program, "relay", "--url", stage.receiver.url),
                *("--database", stage.database.text_url),
            ],
            stage.new_name(name),
            stage.folder,
            environment={"HYDRO_APP_SECRET": settings.secrets[0], "HYDRO_APP": name},
        )
    )


def until_delivering(relay: Running) -> None:
    wait_until(lambda: "delivering to" in relay.log, seconds=60)


def senders(stage: Stage) -> set[str]:
    return {delivery.sender for delivery in stage.receiver.deliveries}


@pytest.mark.timeout(120 + 10 * ROLLS)
def test_relays_replaced_one_after_the_other_lose_nothing(stage: Stage) -> None:
    old = command(stage, "relay")
    until_delivering(old)
    at_work = [stage.app(), stage.writer()]
    ending = []
    for _ in range(ROLLS):
        time.sleep(CHANCE.uniform(0.0, 0.5))
        new = command(stage, "relay")
        until_delivering(new)
        begun = time.monotonic()
        assert old.terminate() == 0, old.log
        ending.append(time.monotonic() - begun)
        old = new
    for process in at_work:
        process.terminate()
    seconds = {"ended": max(ending), "drained": stage.drained()}

    found = stage.concluded("17", "relay replaced", runs=ROLLS, seconds=seconds)
    assert found.flaws == []
    assert found.repeats == 0


@pytest.mark.timeout(180 + 2 * CLOCK_SECONDS)
def test_relays_whose_clock_is_an_hour_off_take_nothing_from_others(
    stage: Stage,
) -> None:
    script = str(Path(__file__).with_name("wrong_clock.py"))
    clocks = {"ahead": HOUR, "behind": -HOUR}
    stage.relay(lease_seconds=30)
    for name, wrong_by in clocks.items():
        relay = command(stage, name, script, str(wrong_by.total_seconds()))
        until_delivering(relay)
        its_time = datetime.fromisoformat(relay.log.splitlines()[0])
        assert abs(its_time - wrong_by - datetime.now(UTC)) < timedelta(minutes=1)
    writer = stage.writer(pause_seconds=0.002)
    time.sleep(CLOCK_SECONDS)
    # Which of them takes a shard is chance, on SQLite above all: it has one writer.
    wait_until(lambda: clocks.keys() <= senders(stage), seconds=60)
    writer.terminate()
    seconds = {"drained": stage.drained()}

    scenario = "relays' clocks 1 h ahead and behind"
    found = stage.concluded("18", scenario, runs=1, seconds=seconds)
    assert found.flaws == []
    assert found.repeats == 0
    for row in rows_in(stage.engine, tables.journal):
        assert abs(row["settled_at"] - datetime.now(UTC)) < HOUR / 2
