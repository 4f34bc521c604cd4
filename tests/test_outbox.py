from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sample_events import ids_in, record, rows_in, sample_event, sample_events
from sqlalchemy import Engine, create_engine, delete, event

from hydro_hooks import Cause, create_tables, outbox, schema, tables
from hydro_hooks.event import event_of, new_id
from hydro_hooks.tables import SHARDS
from hydro_hooks.transition import Action, Stamp, State, Subject, Transition, Values


def test_an_event_comes_back_as_it_was_recorded(engine: Engine) -> None:
    recorded = sample_event()

    record(engine, [recorded])

    [row] = rows_in(engine, tables.outbox)
    assert outbox.event_in(row) == recorded


def test_a_row_can_be_searched_and_routed_without_reading_its_payload(
    engine: Engine,
) -> None:
    recorded = sample_event()

    record(engine, [recorded])

    [row] = rows_in(engine, tables.outbox)
    assert row["id"] == recorded.id
    assert row["aggregatetype"] == "subscription"
    assert row["aggregateid"] == "19"
    assert row["type"] == "subscription.destroy"
    assert row["occurred_at"] == recorded.occurred_at
    assert row["jira_hostname"] == "https://tëst-host.jira.com"
    assert row["github_actor"] == "583231"
    schema.load("jira.v1.Action").check(schema.parse(row["payload"]))


def test_sqlite_may_be_given_its_parameters_by_name(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/a.db", paramstyle="named")
    create_tables(engine)

    ids = record(engine, sample_events(3))

    assert ids_in(engine, tables.outbox) == ids
    engine.dispose()


def test_many_events_are_one_statement(engine: Engine) -> None:
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: object) -> None:
        statements.append(str(args[2]))

    ids = record(engine, sample_events(30))

    inserts = [text for text in statements if text.startswith("INSERT")]
    assert len(inserts) == 1
    assert ids_in(engine, tables.outbox) == ids


def test_events_of_a_rolled_back_transaction_are_not_recorded(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        outbox.record(connection, [sample_event()])
        transaction.rollback()

    assert ids_in(engine, tables.outbox) == []


@pytest.mark.parametrize("aggregate_id", ["19", "https://tëst-host.jira.com", ""])
def test_an_aggregate_has_one_shard_for_ever(aggregate_id: str) -> None:
    shard = outbox.shard_of(aggregate_id)

    assert shard == outbox.shard_of(aggregate_id)
    assert 0 <= shard < SHARDS


def test_shards_are_numbered_as_they_are_in_databases_of_earlier_versions() -> None:
    # Events that wait carry their shard: another number would break their order.
    numbers = [outbox.shard_of(text) for text in ("19", "20", "https://a.example")]

    assert numbers == [5, 2, 8]


def test_nothing_waits_in_an_empty_outbox(engine: Engine) -> None:
    with engine.connect() as connection:
        waiting = outbox.waiting(connection)

    assert waiting == outbox.Waiting(count=0, oldest_occurred_at=None)


def test_what_waits_is_counted_from_the_first_on(engine: Engine) -> None:
    first = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    record(engine, [sample_event(occurred_at=first), sample_event(), sample_event()])

    with engine.connect() as connection:
        waiting = outbox.waiting(connection)

    assert waiting == outbox.Waiting(count=3, oldest_occurred_at=first)


def odd_text(most: int) -> st.SearchStrategy[str]:
    """Return text as rows have it: long, of any character, lone surrogates too."""
    return st.text(max_size=most) | st.sampled_from(
        ["x" * 300, "é😀", 'a"b\\c\n', "\0"]
    )


WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=30,
)
IDS = st.none() | st.integers(-(2**40), 2**60) | odd_text(20) | st.just(UUID(int=7))
TRANSITIONS = st.builds(
    Transition,
    st.builds(
        Subject,
        st.sampled_from(["installation", "subscription", 'odd "name"']),
        st.tuples(st.integers() | odd_text(10) | st.just(Decimal("1.50")))
        | st.tuples(st.integers(), odd_text(10)),
    ),
    st.sampled_from(Action),
    st.sampled_from(State),
    st.sampled_from(State),
    st.none() | st.builds(Values, IDS, st.none() | odd_text(30), IDS),
    st.builds(
        Stamp,
        st.builds(
            Cause,
            reason=WORDS,
            github_actor=st.none() | WORDS | st.integers(1, 2**40),
            jira_actor=st.none() | WORDS,
            note=st.none() | WORDS,
        ),
        st.integers(0, 4 * 10**9).map(lambda at: datetime.fromtimestamp(at / 7, UTC)),
        st.none() | odd_text(30),
    ),
)


@given(transitions=st.lists(TRANSITIONS, min_size=1, max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_row_made_from_a_template_is_that_of_its_event(
    engine: Engine, transitions: list[Transition]
) -> None:
    ids, transaction_id = [new_id() for _ in transitions], new_id()

    with engine.begin() as connection:
        outbox.Recording(connection, transaction_id).write(transitions, ids)
    quick = stored_rows(engine)
    with engine.begin() as connection:
        outbox.record(
            connection,
            [
                event_of(one, id=event_id, transaction_id=transaction_id)
                for one, event_id in zip(transitions, ids, strict=True)
            ],
        )

    assert quick == stored_rows(engine)


def stored_rows(engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of the outbox but for their numbers, and empty it."""
    rows = [
        {name: value for name, value in row.items() if name != "seq"}
        for row in rows_in(engine, tables.outbox)
    ]
    with engine.begin() as connection:
        connection.execute(delete(tables.outbox))
    return rows
