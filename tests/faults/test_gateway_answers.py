"""The gateway refuses, fails, or asks for patience: each event gets its due, once."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
from delivering import wait_until
from faults import programs
from faults.impatience import end_pauses, hurried
from faults.lengths import runs
from faults.processes import Running
from faults.programs import WRITTEN
from faults.stage import LEASE_SECONDS, Stage
from sample_events import ids_in, record, rows_in, sample_event
from scripted_gateway import SECRET, Received, Scripted, failures

from hydro_hooks import outbox, schema, tables
from hydro_hooks.signing import HydroHmac
from hydro_hooks.verdict import MAX_REJECTED_IN_A_ROW

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", "postgresql"], indirect=True
)

MIXED: Final = runs(short=8, long=1000)
BATCHES: Final = runs(short=1, long=20)
REFUSALS: Final = runs(short=10, long=500)
TRIES_OF_A_DAY: Final = runs(short=3, long=288)
"""A configuration fault is met anew each 300 s."""

PATIENCE_SECONDS: Final = 30 + 2 * TRIES_OF_A_DAY
DRAIN_SECONDS: Final = 300
WRITER_SECONDS: Final = 0.05
"""Between transactions, while nothing is delivered for long."""

NEW_SECRET: Final = "b86104efd7324c2d4052dd220c366ec5"


def written(integration: int, number: int, **fields: Any) -> dict[str, Any]:
    """Return the fields of an event of some subject of an installation."""
    return {
        "association": WRITTEN,
        "jira_integration_id": integration,
        "subject_id": f"{integration}/{number}",
        **fields,
    }


def relay_with(stage: Stage, **changed: Any) -> Running:
    """Begin a relay with other settings than the receiver's."""
    name = stage.new_name("relay")
    settings = replace(stage.receiver.settings(sender=name), **changed)
    return stage.begin(
        programs.relay,
        name,
        database=stage.database,
        settings=settings,
        lease_seconds=LEASE_SECONDS,
    )


def in_the_future(**span: float) -> str:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(**span)
    return format_datetime(moment, usegmt=True)


PATIENCE: Final[dict[str, tuple[int, Callable[[], str], float]]] = {
    "503": (503, lambda: "3", 3.0),
    "429": (429, lambda: "3", 3.0),
    "date": (503, lambda: in_the_future(seconds=4), 3.0),
    "past date": (503, lambda: in_the_future(seconds=-9), 1.0),
    "negative": (429, lambda: "-9", 1.0),
    "garbage": (503, lambda: "soon", 1.0),
    "absurd": (429, lambda: "9" * 20, 3600.0),
    "absurd date": (503, lambda: in_the_future(days=400_000), 3600.0),
}
"""By the kind of `Retry-After`: status, value, and the seconds to wait at least."""


def of_shards(count: int) -> list[int]:
    """Return installations whose events are in shards of their own."""
    found: dict[int, int] = {}
    number = 0
    while len(found) < count:
        number += 1
        found.setdefault(outbox.shard_of(str(number)), number)
    return list(found.values())


def test_each_kind_of_retry_after_is_kept_to_where_it_makes_sense(stage: Stage) -> None:
    kinds = dict(zip(of_shards(len(PATIENCE)), PATIENCE, strict=True))
    tried: defaultdict[str, list[float]] = defaultdict(list)

    def ask_for_patience(request: Received) -> Scripted:
        kind = kinds[request.values[0]["jiraIntegrationId"]]
        tried[kind].append(monotonic())
        if len(tried[kind]) > 1:
            return Scripted()
        status, value, _ = PATIENCE[kind]
        return Scripted(status=status, headers={"Retry-After": value()})

    stage.receiver.script = ask_for_patience
    events = [sample_event(**written(n, m)) for n in kinds for m in range(3)]
    record(stage.engine, events)
    stage.relay()
    absurd = [kind for kind, (_, _, least) in PATIENCE.items() if least > 60]
    brief = [kind for kind in PATIENCE if kind not in absurd]
    wait_until(lambda: all(len(tried[kind]) > 1 for kind in brief))
    paused = [row["not_before"] for row in rows_in(stage.engine, tables.shard)]
    in_an_hour = [each for each in paused if each is not None and is_in_an_hour(each)]
    end_pauses(stage.engine)
    stage.drained(seconds=DRAIN_SECONDS)

    waited = {kind: tried[kind][1] - tried[kind][0] for kind in brief}
    found = stage.concluded(
        "9", "Retry-After of each kind", runs=len(PATIENCE), seconds=waited
    )
    assert found.flaws == []
    assert found.repeats == 0
    assert len(in_an_hour) == len(absurd)
    for kind, seconds in waited.items():
        assert PATIENCE[kind][2] <= seconds < PATIENCE[kind][2] + 5, kind


def is_in_an_hour(moment: datetime) -> bool:
    ahead = moment - datetime.now(UTC)
    return timedelta(minutes=59) < ahead <= timedelta(hours=1)


class Mixed:
    """Answers with failures of both kinds, which the events' ids draw.

    Args:
        is_orderly: What fails for now keeps back what comes later of its subject.
    """

    def __init__(self, *, is_orderly: bool) -> None:
        self.count = 0
        self._is_orderly = is_orderly
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Received) -> Scripted:
        with self._lock:
            entries = self._failures(request)
        kinds = {is_retriable for _, _, is_retriable in entries}
        self.count += len(kinds) > 1
        return failures(*entries) if entries else Scripted()

    def _failures(self, request: Received) -> list[tuple[int, str, bool]]:
        entries = []
        kept_back = set()
        for index, value in enumerate(request.values):
            id_, subject = value["eventId"], value["subjectId"]
            self._seen[id_] += 1
            if subject in kept_back and self._is_orderly:
                entries.append((index, "after another", True))
            elif is_unfit(id_):
                entries.append((index, "not fit", False))
            elif is_unlucky(id_) and self._seen[id_] < 3:
                entries.append((index, "timed out", True))
                kept_back.add(subject)
        return entries


def is_unfit(id_: str) -> bool:
    return lot_of(id_) < 20


def is_unlucky(id_: str) -> bool:
    return 20 <= lot_of(id_) < 60


def lot_of(id_: str) -> int:
    """Return a number from 0 to 255 that the last, random letters of an id draw."""
    return int(id_[-2:], 16)


@pytest.mark.parametrize(("number", "is_orderly"), [("10a", True), ("10b", False)])
@pytest.mark.timeout(600)
def test_of_a_422_each_event_has_its_own_verdict(
    stage: Stage, number: str, *, is_orderly: bool
) -> None:
    stage.receiver.script = mixed = Mixed(is_orderly=is_orderly)
    writer = stage.writer()
    with hurried(stage.engine):
        for _ in range(2):
            stage.relay()
        wait_until(lambda: mixed.count >= MIXED, seconds=60 + MIXED)
        writer.terminate()
        drained = stage.drained(seconds=DRAIN_SECONDS)

    how = "by subject" if is_orderly else "event by event"
    found = stage.concluded(
        number,
        f"422, some for now and some for good, {how}",
        runs=mixed.count,
        seconds={"drained": drained},
    )
    assert found.rejected == sum(map(is_unfit, ids_in(stage.engine, tables.rejected)))
    assert found.rejected > 0
    assert found.flaws == []


POISONED: Final = {
    "11a": ("1 of 50", {31}),
    "11b": ("3 of 50", {0, 24, 49}),
    "11c": ("25 of 50, each beside a good one", set(range(0, 50, 2))),
    "11d": ("25 of 50 in a row, until it is mended", set(range(10, 35))),
}


@pytest.mark.parametrize("number", POISONED)
@pytest.mark.timeout(600)
def test_the_events_that_a_mute_422_is_about_are_found(
    stage: Stage, number: str
) -> None:
    words, places = POISONED[number]
    poison: set[str] = set()
    requests = 0

    def refuse(request: Received) -> Scripted:
        nonlocal requests
        requests += 1
        is_poisoned = not poison.isdisjoint(request.event_ids)
        return Scripted(status=422, body=b"") if is_poisoned else Scripted()

    stage.receiver.script = refuse
    batches = 1 if number == "11d" else BATCHES  # success elsewhere begins a new row
    for integration in range(batches):
        events = [sample_event(**written(integration, n)) for n in range(50)]
        ids = record(stage.engine, events)
        poison |= {ids[place] for place in places}
    with hurried(stage.engine):
        stage.relay()
        if number == "11d":
            wait_until(lambda: has_fault(stage, "in a row"), seconds=60)
            refused, poison = set(ids_in(stage.engine, tables.rejected)), set()
        else:
            refused = set(poison)
        drained = stage.drained(seconds=DRAIN_SECONDS)

    found = stage.concluded(
        number,
        f"422 without a body, {words}: {requests / batches:.0f} requests",
        runs=batches,
        seconds={"drained": drained},
    )
    assert found.flaws == []
    assert found.repeats == 0
    assert set(ids_in(stage.engine, tables.rejected)) == refused
    assert number != "11d" or len(refused) == MAX_REJECTED_IN_A_ROW


def has_fault(stage: Stage, words: str) -> bool:
    faults = [row["fault"] or "" for row in rows_in(stage.engine, tables.shard)]
    return any(words in fault for fault in faults)


@pytest.fixture
def unknown_schema(tmp_path: Path) -> str:
    """Return the path of a schema that has all, but a name of its own."""
    document = schema.load("jira.v1.Action").document
    path = tmp_path / "acme.json"
    path.write_text(json.dumps({**document, "title": "acme.v1.Action"}))
    return str(path)


@pytest.mark.timeout(600)
def test_a_relay_with_an_unknown_schema_does_no_harm_beside_another(
    stage: Stage, unknown_schema: str
) -> None:
    refused = 0

    def answer(request: Received) -> Scripted:
        nonlocal refused
        is_known = request.messages[0]["schema"] == "jira.v1.Action"
        refused += not is_known
        return Scripted(status=200 if is_known else 404)

    stage.receiver.script = answer
    writer = stage.writer()
    with hurried(stage.engine):
        good = stage.relay()
        relay_with(stage, schema=unknown_schema)
        wait_until(lambda: refused >= REFUSALS, seconds=60 + REFUSALS)
        writer.terminate()
        drained = stage.drained(seconds=DRAIN_SECONDS)

    found = stage.concluded(
        "12a",
        "unknown schema beside a known one",
        runs=refused,
        seconds={"drained": drained},
    )
    assert found.flaws == []
    assert found.rejected == 0
    assert {each.sender for each in stage.receiver.deliveries} == {good.name}


def tried_in_vain(stage: Stage) -> int:
    """Return how often those shards were tried that have events, at least."""
    busy = {row["shard"] for row in rows_in(stage.engine, tables.outbox)}
    rows = [row for row in rows_in(stage.engine, tables.shard) if row["shard"] in busy]
    return min((row["attempts"] for row in rows), default=0)


@pytest.mark.parametrize(
    ("number", "status"), [("12b", 404), ("13a", 400), ("13b", 403), ("13c", 401)]
)
@pytest.mark.timeout(600)
def test_what_somebody_has_to_mend_costs_nothing_but_time(
    stage: Stage, number: str, status: int
) -> None:
    stage.receiver.script = lambda _: Scripted(status=status)
    writer = stage.writer(pause_seconds=WRITER_SECONDS)
    stage.relay()
    with hurried(stage.engine):
        wait_until(
            lambda: tried_in_vain(stage) >= TRIES_OF_A_DAY, seconds=PATIENCE_SECONDS
        )
        writer.terminate()
        stage.receiver.script = lambda _: Scripted()
        drained = stage.drained(seconds=DRAIN_SECONDS)

    found = stage.concluded(
        number,
        f"{status} for everything, then mended",
        runs=TRIES_OF_A_DAY,
        seconds={"drained": drained},
    )
    assert found.flaws == []
    assert found.rejected == 0


@pytest.mark.timeout(600)
def test_a_key_that_is_rotated_costs_nothing_but_time(stage: Stage) -> None:
    stage.receiver.signature = HydroHmac([NEW_SECRET])
    writer = stage.writer(pause_seconds=WRITER_SECONDS)
    old = stage.relay()
    with hurried(stage.engine):
        wait_until(
            lambda: tried_in_vain(stage) >= TRIES_OF_A_DAY, seconds=PATIENCE_SECONDS
        )
    old.terminate()
    assert stage.receiver.deliveries == []
    rotating = relay_with(stage, secrets=(SECRET, NEW_SECRET))
    rotated = stage.delivered_again()
    wait_for_more(stage, 100)  # no request is left that began by trying the old key
    stage.receiver.signature = HydroHmac([SECRET])
    wait_for_more(stage, 100)
    writer.terminate()
    drained = stage.drained(seconds=DRAIN_SECONDS)

    refused, stage.receiver.forged = stage.receiver.forged, 0
    found = stage.concluded(
        "13d",
        "key refused, then rotated with two secrets",
        runs=refused,
        seconds={"again": rotated, "drained": drained},
    )
    assert found.flaws == []
    assert found.rejected == 0
    assert {each.sender for each in stage.receiver.deliveries} == {rotating.name}


def wait_for_more(stage: Stage, count: int) -> None:
    """Wait until so many more events are delivered."""
    wanted = len(stage.receiver.deliveries) + count
    wait_until(lambda: len(stage.receiver.deliveries) >= wanted)
