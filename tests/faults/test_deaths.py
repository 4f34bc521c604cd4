"""Apps and relays are killed while they work: nothing is lost, nothing invented."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import pytest
from faults.lengths import runs
from faults.processes import Running
from faults.receiver import sender_of
from faults.stage import Stage
from scripted_gateway import Received, Scripted

APP_KILLS: Final = runs(short=4, long=200)
RELAY_KILLS: Final = runs(short=3, long=200)
CHANCE: Final = random.Random()  # noqa: S311 - moments to kill at, not secrets


@pytest.mark.timeout(120 + 5 * APP_KILLS)
def test_an_app_killed_again_and_again_has_recorded_what_it_committed(
    stage: Stage,
) -> None:
    stage.relay()
    apps = [stage.app() for _ in range(3)]
    for _ in range(APP_KILLS):
        victim = CHANCE.choice(apps)
        victim.until_ready()
        time.sleep(CHANCE.uniform(0.02, 0.25))
        victim.kill()
        apps[apps.index(victim)] = stage.app()
    for app in apps:
        app.until_ready()
    time.sleep(1.0)  # on a slow machine, those killed may have committed nothing
    for app in apps:
        app.terminate()
    seconds = {"drained": stage.drained()}

    found = stage.concluded("1", "app killed", runs=APP_KILLS, seconds=seconds)
    assert found.flaws == []
    assert found.committed > APP_KILLS


def before_the_answer(relay: Running) -> None:
    relay.send(signal.SIGKILL)


def at_its_settlement(relay: Running) -> None:
    threading.Timer(CHANCE.uniform(0.0, 0.03), relay.send, (signal.SIGKILL,)).start()


def at_any_time(relay: Running) -> None:
    threading.Timer(CHANCE.uniform(0.0, 0.6), relay.send, (signal.SIGKILL,)).start()


@pytest.mark.parametrize(
    ("number", "moment"),
    [("2a", before_the_answer), ("2b", at_its_settlement), ("2c", at_any_time)],
)
@pytest.mark.timeout(120 + 5 * RELAY_KILLS)
def test_a_relay_killed_once_its_request_was_accepted_loses_nothing(
    stage: Stage, number: str, moment: Callable[[Running], None]
) -> None:
    is_over = threading.Event()

    def accept(request: Received) -> Scripted:
        if not is_over.is_set():
            moment(stage.processes[sender_of(request)])
        return Scripted()

    stage.receiver.script = accept
    writer = stage.writer()
    for _ in range(RELAY_KILLS):
        assert stage.relay().wait(60) == -signal.SIGKILL
    is_over.set()
    writer.terminate()
    stage.relay()
    seconds = {"drained": stage.drained()}

    scenario = f"relay killed {moment.__name__.replace('_', ' ')}"
    found = stage.concluded(number, scenario, runs=RELAY_KILLS, seconds=seconds)
    assert found.flaws == []
    assert found.committed > RELAY_KILLS
