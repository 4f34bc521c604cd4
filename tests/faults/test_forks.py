"""An app forks whatever its relay and its threads do just then: its child works."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from faults.forking import CHILD_SECONDS, forking_app
from faults.lengths import runs
from faults.stage import Stage

FORKS: Final = runs(short=3, long=500)
THREADS: Final = 2


def fork(stage: Stage, *, busy_threads: int) -> Counter[str]:
    """Have an app fork, and return the exit codes of its children."""
    app = stage.begin(
        forking_app,
        "app",
        database=stage.database,
        settings=stage.receiver.settings(),
        forks=FORKS,
        busy_threads=busy_threads,
    )
    app.until_ready(seconds=3 * FORKS + 2 * CHILD_SECONDS)
    return Counter(app.notes[:-1])


@pytest.mark.timeout(180 + 4 * FORKS)
def test_a_child_forked_beside_a_relay_records_delivers_and_ends(stage: Stage) -> None:
    codes = fork(stage, busy_threads=0)
    stage.relay()
    seconds = {"drained": stage.drained()}

    found = stage.concluded("15a", "fork beside a relay", runs=FORKS, seconds=seconds)
    assert found.flaws == []
    assert codes == {"0": FORKS}


@pytest.mark.timeout(180 + 4 * FORKS)
def test_a_child_forked_beside_busy_threads_records_delivers_and_ends(
    stage: Stage,
) -> None:
    if stage.database.kind == "sqlite":
        pytest.skip(
            "SQLite forbids to fork while a thread uses it:"
            " https://www.sqlite.org/howtocorrupt.html, section 2.6"
        )
    codes = fork(stage, busy_threads=THREADS)
    stage.relay()
    seconds = {"drained": stage.drained()}

    scenario = f"fork beside {THREADS} busy threads"
    found = stage.concluded("15b", scenario, runs=FORKS, seconds=seconds)
    assert found.flaws == []
    assert codes == {"0": FORKS}
