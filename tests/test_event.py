from __future__ import annotations

import multiprocessing
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from hydro_hooks.cause import Cause
from hydro_hooks.event import (
    Event,
    UuidFactory,
    event_of,
    is_id,
    key_as_text,
    new_id,
    storable,
)
from hydro_hooks.transition import Action, Stamp, State, Subject, Transition, Values


def event(values: Values | None, key: tuple[object, ...] = (1,)) -> Event:
    stamp = Stamp(Cause(reason="r"), datetime.now(UTC), "module:1 in f")
    transition = Transition(
        Subject("installation", key),
        Action.DISABLE,
        State.ENABLED,
        State.DISABLED,
        values,
        stamp,
    )
    return event_of(transition, id=new_id(), transaction_id=new_id())


def test_ids_are_uuid7_and_rise() -> None:
    ids = [new_id() for _ in range(10_000)]

    assert ids == sorted(set(ids))
    parsed = uuid.UUID(ids[0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert abs(parsed.int >> 80) // 1000 - datetime.now(UTC).timestamp() < 60


def test_ids_are_unique_over_threads() -> None:
    factory = UuidFactory()
    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda _: [factory() for _ in range(2000)], range(8)))

    assert len({one for ids in lists for one in ids}) == 16_000


def ids_of_child(queue: multiprocessing.Queue[list[str]]) -> None:
    queue.put([new_id() for _ in range(1000)])


def test_a_forked_child_does_not_repeat_its_parents_ids() -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[list[str]] = context.Queue()
    new_id()
    children = [context.Process(target=ids_of_child, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    ids = [one for _ in children for one in queue.get(timeout=30)]
    for child in children:
        child.join()
    queue.close()

    assert len(set(ids)) == 3000


def test_is_id_knows_an_id() -> None:
    assert is_id(new_id())
    assert not is_id("octocat")
    assert not is_id(new_id().upper())


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((19,), "19"),
        (("abc",), "abc"),
        ((1, "é"), '[1,"é"]'),
        ((uuid.UUID(int=1), 2), '["00000000-0000-0000-0000-000000000001",2]'),
    ],
    ids=str,
)
def test_keys_as_text(key: tuple[object, ...], text: str) -> None:
    assert key_as_text(key) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("a\0b", "a\ufffdb"),
        ("é\0\ud800", "é\ufffd\ufffd"),
        ("<script>", "<script>"),
        ("x" * 3000, "x" * 254 + "…"),
        ("é" * 256, "é" * 254 + "…"),
    ],
    ids=["plain", "NUL", "surrogate", "script", "long", "long and not ASCII"],
)
def test_values_of_rows_are_made_storable(text: str, kept: str) -> None:
    assert storable(text) == kept


def test_values_of_odd_types_become_text() -> None:
    made = event(Values(Decimal(7), "h", uuid.UUID(int=1)))  # type: ignore[arg-type]

    assert made.github_installation_id == "7"
    assert made.jira_integration_id == "00000000-0000-0000-0000-000000000001"


def test_without_values_an_event_is_still_an_event() -> None:
    made = event(None)

    assert made.jira_hostname is None
    assert made.aggregate_id == "installation:1"


def test_the_aggregate_is_the_integration_else_the_host() -> None:
    assert event(Values(1, "host", 19)).aggregate_id == "19"
    assert event(Values(1, "host", None)).aggregate_id == "host"
