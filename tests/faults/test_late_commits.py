"""Transactions that number their events early and commit long after later ones."""

from __future__ import annotations

import time
from typing import Final

import pytest
from faults.checker import committed_in
from faults.lengths import runs
from faults.programs import WRITTEN
from faults.stage import Stage
from sample_events import sample_event

from hydro_hooks import outbox

LATE: Final = runs(short=1, long=10)
LATE_SECONDS: Final = runs(short=2, long=15)


@pytest.mark.timeout(120 + 2 * LATE * LATE_SECONDS)
def test_what_is_committed_long_after_later_events_comes_late_never_not_at_all(
    stage: Stage,
) -> None:
    if stage.database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time, so nobody can be late")
    stage.relay()
    writer = stage.writer()
    late: list[str] = []
    for run in range(LATE):
        with stage.engine.begin() as connection:
            events = [
                sample_event(
                    association=WRITTEN,
                    jira_integration_id=number,
                    subject_id=f"late/{run}/{number}",
                )
                for number in range(1, 31)
            ]
            outbox.record(connection, events)
            late += [event.id for event in events]
            time.sleep(LATE_SECONDS)
    writer.terminate()
    seconds = {"drained": stage.drained()}

    scenario = f"committed {LATE_SECONDS} s after later ones"
    found = stage.concluded("20", scenario, runs=LATE, seconds=seconds)
    assert found.flaws == []
    assert set(late) <= overtaken_in(stage)


def overtaken_in(stage: Stage) -> set[str]:
    """Return the events that came after one of a higher number."""
    seqs = {id_: event.seq for id_, event in committed_in(stage.engine).items()}
    highest, found = 0, set()
    for delivery in stage.receiver.deliveries:
        if seqs[delivery.id] < highest:
            found.add(delivery.id)
        highest = max(highest, seqs[delivery.id])
    return found
