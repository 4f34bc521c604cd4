"""The gateway is down, is silent, answers in pieces: nothing is lost or invented."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest
from delivering import wait_until
from faults.impatience import hurried, relay_through
from faults.lengths import runs
from faults.programs import WRITTEN
from faults.proxy import (
    END_OF_HEAD,
    Exchange,
    Fault,
    FaultProxy,
    most_at_once,
    no_fault,
)
from faults.stage import Stage
from sample_events import record, sample_event
from sqlalchemy import func, select

from hydro_hooks import tables
from hydro_hooks.relay import IN_FLIGHT

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", "postgresql"], indirect=True
)

WAITING: Final = runs(short=2_000, long=10_000)
RELAYS: Final = 4
TRIES: Final = runs(short=1, long=5)
"""How often each shard is tried in vain before the gateway is back."""

FAULTS: Final = runs(short=5, long=200)
"""How many requests are met by each kind of fault."""

CHANCE: Final = random.Random()  # noqa: S311 - which request it meets, not secrets


@pytest.fixture
def proxy(stage: Stage) -> Iterator[FaultProxy]:
    with FaultProxy(stage.receiver) as proxy:
        yield proxy


def least_attempts(stage: Stage) -> int:
    """Return how often each shard was tried in vain, at least."""
    with stage.engine.connect() as connection:
        least = select(func.min(tables.shard.c.attempts))
        return connection.scalar(least) or 0


def backlog(count: int) -> Iterator[dict[str, object]]:
    """Yield the fields of events of many installations, several of each subject."""
    for number in range(count):
        installation = number % 200
        yield {
            "association": WRITTEN,
            "jira_integration_id": installation,
            "subject_id": f"{installation}/{number % 3}",
        }


@pytest.mark.timeout(600)
def test_a_gateway_that_is_back_is_not_run_down(
    stage: Stage, proxy: FaultProxy
) -> None:
    record(stage.engine, [sample_event(**fields) for fields in backlog(WAITING)])
    proxy.go_down()
    for _ in range(RELAYS):
        relay_through(stage, proxy, total_seconds=10.0)
    wait_until(lambda: least_attempts(stage) >= TRIES, seconds=120)

    back = time.monotonic()
    proxy.come_up()
    drained = stage.drained(seconds=300)

    first_second = [span for span in proxy.spans if span.begun < back + 1.0]
    at_once = most_at_once(proxy.spans)
    found = stage.concluded(
        "5",
        f"gateway back, {WAITING:,} waited, {RELAYS} relays: at most {at_once} at once,"
        f" {len(first_second)} requests in the first second",
        runs=1,
        seconds={"drained": drained},
    )
    assert found.flaws == []
    assert found.committed == WAITING
    assert at_once <= RELAYS * IN_FLIGHT


class Sometimes:
    """Does harm to requests, drawn by lot, until it has done so often enough."""

    def __init__(self, fault: Fault, *, times: int) -> None:
        self._fault = fault
        self._left = times
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        (self._fault if self._is_met() else no_fault)(exchange)

    def _is_met(self) -> bool:
        with self._lock:
            is_met = self._left > 0 and CHANCE.random() < 0.5
            self._left -= is_met
            return is_met

    @property
    def is_over(self) -> bool:
        return self._left == 0


def never_answer(exchange: Exchange) -> None:
    exchange.outlast()


def take_and_never_answer(exchange: Exchange) -> None:
    exchange.pass_on()
    exchange.outlast()


def reset_untaken(exchange: Exchange) -> None:
    exchange.reset()


def take_and_reset(exchange: Exchange) -> None:
    exchange.pass_on()
    exchange.reset()


def drip(exchange: Exchange) -> None:
    exchange.answer(*single_bytes(exchange.pass_on()), pause_seconds=0.05)


def slice_up(exchange: Exchange) -> None:
    exchange.answer(*single_bytes(exchange.pass_on()))


def single_bytes(answer: bytes) -> Iterator[bytes]:
    return (answer[place : place + 1] for place in range(len(answer)))


def cut_off(place: int) -> Fault:
    """Return what ends an answer at a place, and the connection with it."""

    def answer(exchange: Exchange) -> None:
        exchange.answer(exchange.pass_on()[:place])
        exchange.end()

    return answer


def declare(length: bytes) -> Fault:
    """Return what has an answer say another length than it has, and then ends."""

    def answer(exchange: Exchange) -> None:
        head, _, body = exchange.pass_on().partition(END_OF_HEAD)
        lines = [
            b"Content-Length: " + length if line.startswith(b"Content-Length") else line
            for line in head.split(b"\r\n")
        ]
        exchange.answer(b"\r\n".join(lines) + END_OF_HEAD + body)
        exchange.end()

    return answer


def answer_twice(exchange: Exchange) -> None:
    """Answer once more than was asked; the next request is then not taken."""
    exchange.answer(exchange.pass_on() * 2)
    exchange.outlast()


FAULT_OF: Final[dict[str, tuple[str, Fault]]] = {
    "6a": ("no answer", never_answer),
    "6b": ("taken, and no answer", take_and_never_answer),
    "7a": ("reset after the body", reset_untaken),
    "7b": ("taken, then reset", take_and_reset),
    "8a": ("answer drips", drip),
    "8b": ("answer in single bytes", slice_up),
    "8c": ("answer cut in its status", cut_off(len(b"HTTP/1.1 20"))),
    "8d": ("answer cut in its head", cut_off(40)),
    "8e": ("answer cut in its body", cut_off(-5)),
    "8f": ("answer shorter than it says", declare(b"500")),
    "8g": ("answer longer than it says", declare(b"5")),
    "8h": ("answer of no known length", declare(b"some")),
    "8i": ("answered once too often", answer_twice),
}
AMBIGUOUS: Final = {"6b", "7b", "8a", "8c", "8e", "8f"}
"""The receiver has taken the events, and the relay cannot know."""


@pytest.mark.parametrize("number", FAULT_OF)
@pytest.mark.timeout(120 + 5 * FAULTS)
def test_an_exchange_that_goes_wrong_loses_nothing(
    stage: Stage, proxy: FaultProxy, number: str
) -> None:
    scenario, fault = FAULT_OF[number]
    proxy.fault = sometimes = Sometimes(fault, times=FAULTS)
    writer = stage.writer()
    with hurried(stage.engine):
        for _ in range(2):
            relay_through(stage, proxy)
        wait_until(lambda: sometimes.is_over, seconds=60 + 3 * FAULTS)
        writer.terminate()
        drained = stage.drained()

    found = stage.concluded(number, scenario, runs=FAULTS, seconds={"drained": drained})
    assert found.flaws == []
    assert found.rejected == 0
    assert found.repeats > 0 or number not in AMBIGUOUS
