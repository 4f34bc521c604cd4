"""An app that ends while its relay waits for an answer ends soon, and loses nothing."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pytest
from delivering import wait_until
from faults.lengths import runs
from faults.processes import TESTS, Command, Running
from faults.stage import LEASE_SECONDS, Stage
from scripted_gateway import SECRET, Received, Scripted

EXITS: Final = runs(short=2, long=20)
LONGER_SECONDS: Final = 1.5
"""What an app that waits for an answer may take longer to end than another: the relay
waits for a second at most, so on a machine that is not busy it ends within two."""


def app_with_relay(stage: Stage) -> Running:
    script = str(Path(__file__).with_name("app_that_exits.py"))
    database = stage.database
    return stage.keep(
        Command(
            [
                *(sys.executable, script, database.kind, database.text_url),
                *(stage.receiver.url, SECRET, str(LEASE_SECONDS)),
            ],
            stage.new_name("app"),
            stage.folder,
            environment={"PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        )
    )


class Withholder:
    """Accepts, but answers nothing while it withholds.

    Attributes:
        ids: Of events whose sender waits for the answer.
        has_come: Whether there are any.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.has_come = threading.Event()
        self._goes_on = threading.Event()

    def __call__(self, request: Received) -> Scripted:
        if self._goes_on.is_set():
            return Scripted()
        self.ids += request.event_ids
        self.has_come.set()
        return Scripted(awaits=self._goes_on)

    def go_on(self) -> None:
        self._goes_on.set()


def ended(app: Running) -> float:
    """End an app as a supervisor does; return how long that took."""
    begun = time.monotonic()
    app.send(signal.SIGTERM)
    wait_until(lambda: not app.is_alive)
    assert (app.wait(0), app.log) == (0, "the end\n")
    return time.monotonic() - begun


def ended_in_between(stage: Stage) -> float:
    """Return how long an app takes to end whose requests are answered."""
    app = app_with_relay(stage)
    stage.delivered_again()
    return ended(app)


def until_sent_by(stage: Stage, relay: Running, ids: Collection[str]) -> None:
    """Wait until these events were delivered by this relay."""
    wait_until(
        lambda: (
            {each.id for each in stage.receiver.deliveries if each.sender == relay.name}
            >= set(ids)
        )
    )


@pytest.mark.timeout(120 + 20 * EXITS)
def test_an_app_that_exits_during_a_request_waits_for_a_second_at_most(
    stage: Stage,
) -> None:
    exited, taken_over = [], []
    writer = stage.writer(pause_seconds=0.1)
    in_between = ended_in_between(stage)
    for _ in range(EXITS):
        withholder = stage.receiver.script = Withholder()
        app = app_with_relay(stage)
        assert withholder.has_come.wait(30), app.log

        exited.append(ended(app))
        begun = time.monotonic()
        withholder.go_on()
        next_one = stage.relay()
        until_sent_by(stage, next_one, withholder.ids)

        taken_over.append(time.monotonic() - begun)
        next_one.terminate()
    writer.terminate()
    stage.relay()
    seconds = {
        "exited": min(exited),
        "taken over": max(taken_over),
        "drained": stage.drained(),
    }

    found = stage.concluded("16", "app exits in a request", runs=EXITS, seconds=seconds)
    assert found.flaws == []
    # The least, since a busy machine is busy with others too.
    assert min(exited) <= in_between + LONGER_SECONDS
