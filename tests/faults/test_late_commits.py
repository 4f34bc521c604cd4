"""Transactions that number their events early and commit long after later ones."""

from __future__ import annotations

import time
from typing import Final

import pytest
from faults.checker import committed_in
from faults.lengths import runs
from faults.programs import WRITTEN
from faults.stage import Stage
from sample_events import record, sample_event

from hydro_hooks import Event, outbox

LATE: Final = runs(short=1, long=10)
LATE_SECONDS: Final = runs(short=2, long=15)


@pytest.fixture
def late_stage(stage: Stage) -> Stage:
    """Return a stage on a database where others commit while one has not yet."""
    if stage.database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time, so nobody can be late")
    return stage


@pytest.mark.timeout(120 + 2 * LATE * LATE_SECONDS)
def test_what_is_committed_long_after_later_events_comes_late_never_not_at_all(
    late_stage: Stage,
) -> None:
    late_stage.relay()
    writer = late_stage.writer()
    late: list[str] = []
    for run in range(LATE):
        events = [
            written(integration=number, subject=f"late/{run}/{number}")
            for number in range(1, 31)
        ]
        with late_stage.engine.begin() as connection:
            outbox.record(connection, events)
            time.sleep(LATE_SECONDS)
        late += [event.id for event in events]
    writer.terminate()
    seconds = {"drained": late_stage.drained()}

    scenario = f"committed {LATE_SECONDS} s after later ones"
    found = late_stage.concluded("20a", scenario, runs=LATE, seconds=seconds)
    assert found.flaws == []
    assert set(late) <= overtaken_in(late_stage)


@pytest.mark.timeout(120 + 2 * LATE * LATE_SECONDS)
def test_what_follows_a_late_event_of_its_subject_does_not_overtake_it(
    late_stage: Stage,
) -> None:
    late_stage.relay()
    for run in range(LATE):
        with late_stage.engine.begin() as connection:
            outbox.record(connection, [written(integration=1, subject=f"{run}")])
            record(late_stage.engine, [written(integration=1, subject="other")])
            late_stage.drained()  # but for what nobody else sees yet
            time.sleep(LATE_SECONDS)
        record(late_stage.engine, [written(integration=1, subject=f"{run}")])
    seconds = {"drained": late_stage.drained()}

    scenario = "late, and followed by one of its subject"
    found = late_stage.concluded("20b", scenario, runs=LATE, seconds=seconds)
    assert found.flaws == []


def written(*, integration: int, subject: str) -> Event:
    return sample_event(
        association=WRITTEN, jira_integration_id=integration, subject_id=subject
    )


def overtaken_in(stage: Stage) -> set[str]:
    """Return the events that came after one of a higher number."""
    seqs = {id_: event.seq for id_, event in committed_in(stage.engine).items()}
    highest, found = 0, set()
    for delivery in stage.receiver.deliveries:
        if seqs[delivery.id] < highest:
            found.add(delivery.id)
        highest = max(highest, seqs[delivery.id])
    return found
