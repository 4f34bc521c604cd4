"""Whatever the relay asks of its database may fail: it is delivered all the same."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

import pytest
from delivering import end_back_off
from faults.lengths import IS_LONG, runs
from faults.programs import WRITTEN
from faults.sabotage import CommitUnanswered, Refused, Sabotage, SessionEnded
from faults.stage import Stage
from sample_events import record, sample_event
from scripted_gateway import Received, Scripted, failures
from sqlalchemy import Engine, delete
from sqlalchemy.exc import SQLAlchemyError

from hydro_hooks import tables
from hydro_hooks.relay import Relay

INTEGRATIONS: Final = runs(short=1, long=3)
LEASE: Final = timedelta(seconds=0.1)
SECONDS: Final = 60
REFUSED: Final = "not fit to be kept"


def refuse_some(request: Received) -> Scripted:
    """Refuse for good what says so, that the settlement has every statement in it."""
    refused = [
        (index, "refused", False)
        for index, value in enumerate(request.values)
        if value["note"] == REFUSED
    ]
    return failures(*refused) if refused else Scripted()


class Delivering:
    """Rounds of a few events, each delivered by a relay whose database fails once."""

    def __init__(self, stage: Stage, engine: Engine) -> None:
        self._stage = stage
        self._engine = engine
        self._settings = stage.receiver.settings()
        self.failed = 0

    def round(self, sabotage: Sabotage, *, goes_on: bool) -> None:
        """Record events, and deliver them all.

        Args:
            sabotage: Of the relay's engine.
            goes_on: The relay goes on after its failure; else another begins.
        """
        self._record()
        if IS_LONG:  # so that the statements that make its rows fail as well
            self._empty_shards()
        end = time.monotonic() + SECONDS
        relay = self._relay()
        with sabotage.of(self._engine):
            while self._stage.waiting():
                assert time.monotonic() < end
                try:
                    relay.drain()
                except SQLAlchemyError:
                    self.failed += 1
                    relay = relay if goes_on else self._relay()
                end_back_off(self._stage.engine)
                time.sleep(0.04)

    def _relay(self) -> Relay:
        return Relay(self._engine, self._settings, lease=LEASE)

    def _record(self) -> None:
        events = [
            sample_event(
                association=WRITTEN,
                jira_integration_id=integration,
                subject_id=f"{integration}/{number}",
                note=REFUSED if number == 2 else "fit",
            )
            for integration in range(INTEGRATIONS)
            for number in range(3)
        ]
        record(self._stage.engine, events)

    def _empty_shards(self) -> None:
        with self._stage.engine.begin() as connection:
            connection.execute(delete(tables.shard))


@pytest.mark.parametrize(
    ("number", "scenario", "sabotage"),
    [
        ("3a", "a statement of the relay's is refused", Refused),
        ("3b", "the relay's session is ended", SessionEnded),
        ("3c", "the answer to a commit is lost", CommitUnanswered),
    ],
)
@pytest.mark.timeout(600)
def test_whichever_statement_of_the_relay_fails_its_events_are_delivered(
    stage: Stage, number: str, scenario: str, sabotage: type[Sabotage]
) -> None:
    if sabotage is SessionEnded and stage.database.kind == "sqlite":
        pytest.skip("SQLite has no server that could end a session")
    stage.receiver.script = refuse_some
    engine = stage.database.engine()
    delivering = Delivering(stage, engine)
    delivering.round(sabotage(stage.engine, target=0), goes_on=True)
    whole = sabotage(stage.engine, target=0)
    delivering.round(whole, goes_on=True)

    for target in range(1, whole.count + 1):
        one = sabotage(stage.engine, target)
        delivering.round(one, goes_on=target % 2 == 0)
    engine.dispose()

    found = stage.concluded(number, scenario, runs=whole.count)
    assert found.flaws == []
    assert delivering.failed > whole.count / 2
