"""`hydro-hooks journal` and `outbox settle`: the permanent record as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from delivering import drained
from sample_events import ids_in
from scripted_gateway import ScriptedGateway
from sqlalchemy import Engine, event, func, select, update
from test_cli import gateway_engine, lines_of_json, run, url
from test_journal import HOST, NOON, installation, receive, record, reject, settle

from hydro_hooks import claims, journal, tables
from hydro_hooks.event import Event
from hydro_hooks.transition import Action

__all__ = ["gateway_engine", "url"]


def days(*numbers: int) -> list[Event]:
    """Return an event of each of these days."""
    return [installation(Action.ENABLE, day=number) for number in numbers]


def date(day: int) -> str:
    return f"{NOON + timedelta(days=day):%Y-%m-%d}"


def test_export_writes_what_was_delivered_in_its_order(
    engine: Engine, url: str
) -> None:
    first, second, third = days(2, 1, 3)
    settle(engine, first, second, third)
    record(engine, installation(Action.DISABLE))

    result = run("journal", "export", "--database", url)

    assert [each["id"] for each in lines_of_json(result)] == [
        first.id,
        second.id,
        third.id,
    ]
    assert lines_of_json(result)[0]["jira_hostname"] == HOST
    assert result.stderr.splitlines() == [
        "3 events written",
        "not among them: what waits (1) and what was rejected (0); hydro-hooks relay"
        " delivers, hydro-hooks outbox redrive gives another try",
    ]


def test_export_may_be_of_a_span(engine: Engine, url: str) -> None:
    events = days(0, 1, 2, 3)
    settle(engine, *events)

    span = ("--since", date(1), "--until", date(2))
    result = run("journal", "export", *span, "--database", url)

    told = [each["id"] for each in lines_of_json(result)]
    assert told == [events[1].id, events[2].id]


def test_export_reads_a_long_journal_bit_by_bit(engine: Engine) -> None:
    settle(engine, *days(*[0] * (journal.upkeep.CHUNK + 1)))
    sizes: list[int] = []

    with engine.connect() as connection:

        @event.listens_for(connection, "after_cursor_execute")
        def note(_: object, cursor: Any, *_others: object) -> None:
            sizes.append(1)

        found = list(journal.export(connection))

    assert len({each.seq for each in found}) == journal.upkeep.CHUNK + 1
    assert len(sizes) >= 3


def test_prune_deletes_what_occurred_before_and_nothing_that_waits(
    engine: Engine, url: str
) -> None:
    old, young = days(0, 5)
    settle(engine, old, young)
    waiting, refused = days(0, 0)
    reject(engine, refused, "no such field")
    record(engine, waiting)

    told = run("journal", "prune", "--before", date(1), "--database", url)
    assert "1 event from before" in told.stderr
    assert ids_in(engine, tables.journal) == [old.id, young.id]

    done = run("journal", "prune", "--before", date(1), "--yes", "--database", url)
    assert "1 event from before" in done.stderr
    assert ids_in(engine, tables.journal) == [young.id]
    assert ids_in(engine, tables.outbox) == [waiting.id]
    assert ids_in(engine, tables.rejected) == [refused.id]


def test_prune_at_a_gateway_takes_the_requests_that_no_event_is_left_of(
    gateway_engine: Engine,
) -> None:
    old, young = days(0, 5)
    receive(gateway_engine, old)
    receive(gateway_engine, *days(0), young)

    run(
        *("journal", "prune", "--before", date(1), "--yes"),
        *("--database", str(gateway_engine.url)),
    )

    assert ids_in(gateway_engine, tables.journal) == [young.id]
    with gateway_engine.connect() as connection:
        left = connection.scalar(select(func.count()).select_from(tables.request))
    assert left == 1


def test_prune_wants_a_date(url: str) -> None:
    assert run("journal", "prune", "--yes", "--database", url).exit_code == 2


def test_what_another_has_delivered_is_settled(engine: Engine, url: str) -> None:
    [old] = days(0)
    record(engine, old)
    young = installation(Action.DISABLE, occurred_at=NOON.replace(year=9000))
    record(engine, young)

    options = ("--older-than", "1h", "--delivered-by", "kafka-connect")
    result = run("outbox", "settle", *options, "--database", url)

    assert result.stdout == "1 event is in the journal now\n"
    assert ids_in(engine, tables.outbox) == [young.id]
    with engine.connect() as connection:
        [found] = journal.export(connection)
    assert (found.event.id, found.settled_by) == (old.id, "kafka-connect")


def test_nothing_is_settled_beside_a_relay(engine: Engine, url: str) -> None:
    [old] = days(0)
    record(engine, old)
    with ScriptedGateway() as gateway:
        drained(engine, gateway)  # so that there are shards
    record(engine, *days(1))
    with engine.begin() as connection:
        held = NOON.replace(year=9000)
        connection.execute(update(tables.shard).values(leased_until=held))

    options = ("--older-than", "1h", "--delivered-by", "x")
    result = run("outbox", "settle", *options, "--database", url)

    assert result.exit_code == 1
    assert "a relay delivers these events" in result.stderr
    assert len(ids_in(engine, tables.outbox)) == 1


@pytest.mark.parametrize("span", ["1", "h", "1.5h", "-1h", "999999999d"])
def test_a_span_that_is_none_is_refused(url: str, span: str) -> None:
    options = ("--older-than", span, "--delivered-by", "x")
    result = run("outbox", "settle", *options, "--database", url)

    assert result.exit_code == 2
    assert "give one such as 90s" in result.stderr


def test_many_events_are_settled_in_short_transactions(engine: Engine) -> None:
    record(engine, *days(*[0] * (claims.handover.CHUNK + 1)))

    count = claims.hand_over(engine, older_than=timedelta(0), delivered_by="x")

    assert count == claims.handover.CHUNK + 1
    assert ids_in(engine, tables.outbox) == []
