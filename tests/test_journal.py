from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from databases import Database
from sqlalchemy import Engine, delete, insert, select

from hydro_hooks import creation, journal, outbox, schema, tables
from hydro_hooks.errors import DatabaseError
from hydro_hooks.event import Event, new_id, storable
from hydro_hooks.journal import Answer, Companions, Kind, Place, Query, query_in
from hydro_hooks.journal.search import CHUNK
from hydro_hooks.signing import HydroHmac, OutgoingRequest
from hydro_hooks.transition import Action, State

HOST = "https://test-host.jira.com"
SECRET = "made-up-secret"
NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
STATES = {
    Action.CREATE: State.DISABLED,
    Action.ENABLE: State.ENABLED,
    Action.DISABLE: State.DISABLED,
    Action.DESTROY: State.ABSENT,
}


def installation(action: Action, *, day: int = 0, **changes: Any) -> Event:
    event = Event(
        id=new_id(),
        transaction_id=new_id(),
        occurred_at=NOON + timedelta(days=day),
        association="installation",
        subject_id="19",
        action=action,
        state=STATES[action],
        github_installation_id=None,
        jira_hostname=HOST,
        jira_integration_id=19,
        reason="jira webhook",
        github_actor=None,
        jira_actor=None,
        note=None,
        origin="jira_app.webhooks:42 in installed",
    )
    return replace(event, **changes)


def subscription(action: Action, *, day: int = 0, **changes: Any) -> Event:
    values = {
        "association": "subscription",
        "subject_id": "7",
        "state": State.ABSENT if action is Action.DESTROY else State.ENABLED,
        "github_installation_id": 10,
    }
    return installation(action, day=day, **{**values, **changes})


def record(engine: Engine, *events: Event) -> None:
    """Leave events waiting in the outbox, each in a transaction of its own."""
    for event in events:
        with engine.begin() as connection:
            outbox.record(connection, [event])


def settle(engine: Engine, *events: Event) -> None:
    """Leave events in the journal of an app, as a relay does."""
    record(engine, *events)
    _move(engine, tables.journal, schema="jira.v1.Action", settled_at=NOON, attempts=1)


def reject(engine: Engine, event: Event, error: str) -> None:
    """Leave an event among the rejected ones, as a relay does."""
    record(engine, event)
    _move(
        engine,
        tables.rejected,
        schema="jira.v1.Action",
        rejected_at=NOON,
        attempts=1,
        error=error,
    )


def _move(engine: Engine, target: Any, **values: Any) -> None:
    with engine.begin() as connection:
        for row in connection.execute(select(tables.outbox)).mappings().all():
            kept = {name: row[name] for name in row if name in target.c}
            connection.execute(insert(target), {**kept, **values})
        connection.execute(delete(tables.outbox))


def receive(engine: Engine, *events: Event, name: str = "jira.v1.Action") -> bytes:
    """Leave events in the journal of a gateway, as one request; return its body."""
    values = [schema.load(name).project(event) for event in events]
    body = json.dumps(
        {"events": [{"schema": name, "value": json.dumps(each)} for each in values]}
    ).encode()
    request_id = new_id()
    with engine.begin() as connection:
        connection.execute(
            insert(tables.request),
            {
                "id": request_id,
                "received_at": NOON,
                "app": "jira-integration",
                "authorization": _signature(body),
                "status": 200,
                "body": body,
            },
        )
        for event, value in zip(events, values, strict=True):
            row = {
                **outbox.searchable_row(event),
                "id": event.id,
                "payload": json.dumps(value),
                "schema": name,
                "settled_at": NOON,
                "settled_by": "jira-integration",
                "request_id": request_id,
            }
            connection.execute(insert(tables.journal), row)
    return body


def _signature(body: bytes) -> str:
    request = OutgoingRequest(
        method="POST", url="", body=body, event_ids=(), sent_at=NOON
    )
    return HydroHmac([SECRET])(request)["Authorization"]


def as_of_v0(event: Event) -> Event:
    """Return what a gateway makes of an event whose schema names no row."""
    return replace(event, transaction_id=None, subject_id=None, origin=None)


@pytest.fixture
def gateway(database: Database) -> Iterator[Engine]:
    engine = database.engine()
    creation.create_gateway_tables(engine)
    yield engine
    engine.dispose()


def asked(line: str, kind: Kind | None = None) -> Query:
    """Return the question that a line asks, as of noon on 1 March 2026."""
    return replace(query_in(line, now=NOON), kind=kind)


def why(
    engine: Engine, line: str, kind: Kind | None = None, **options: Any
) -> Answer | None:
    with engine.connect() as connection:
        return journal.why(connection, asked(line, kind), **options)


def answer(engine: Engine, text: str, **options: Any) -> Event:
    found = why(engine, text, **options)
    assert found is not None
    assert found.record is not None
    return found.record.event


def history(
    engine: Engine, line: str, kind: Kind | None = None, **options: Any
) -> list[str]:
    with engine.connect() as connection:
        found = journal.history(connection, asked(line, kind), **options)
    return [] if found is None else [each.event.id for each in found.records]


def test_every_field_of_an_event_comes_back_as_it_was_recorded(engine: Engine) -> None:
    event = installation(
        Action.DISABLE,
        github_installation_id="10",
        github_actor=583231,
        jira_actor="5b10a2844c20165700ede21g",
        note="ticket 4711 ✓",
    )
    record(engine, event)

    assert answer(engine, HOST) == event
    settle(engine)
    assert answer(engine, HOST) == event


def test_an_event_that_waits_counts_and_says_so(engine: Engine) -> None:
    settle(engine, installation(Action.CREATE), installation(Action.ENABLE, day=1))
    record(engine, installation(Action.DISABLE, day=2))

    found = why(engine, HOST)

    assert found is not None
    assert found.record is not None
    assert found.before is not None
    assert found.record.event.action is Action.DISABLE
    assert found.record.place is Place.WAITING
    assert found.before.place is Place.DELIVERED
    assert found.before.event.action is Action.ENABLE
    assert found.after is None


def test_an_event_that_was_rejected_counts_with_its_error(engine: Engine) -> None:
    settle(engine, installation(Action.CREATE))
    reject(engine, installation(Action.ENABLE, day=1), "unknown field")

    found = why(engine, HOST)

    assert found is not None
    assert found.record is not None
    assert found.record.event.state is State.ENABLED
    assert (found.record.place, found.record.error) == (
        Place.REJECTED,
        "unknown field",
    )


@pytest.mark.parametrize(
    "text",
    [
        HOST,
        "test-host.jira.com",
        "TEST-Host.Jira.com",
        "http://test-host.jira.com/",
        "https://test-host.jira.com/browse/ABC-1?x=y#z",
        "  https://someone:secret@test-host.jira.com/ ",
    ],
)
def test_a_host_is_found_however_it_is_written(engine: Engine, text: str) -> None:
    settle(engine, installation(Action.CREATE))

    found = why(engine, text)

    assert found is not None
    assert found.taken_for is Kind.HOST


@pytest.mark.parametrize(
    "stored",
    [
        "test-host.jira.com",
        "https://test-host.jira.com/",
        "https://Test-Host.Jira.com",
        "https://test-host.jira.com/context",
    ],
)
def test_a_host_is_found_however_the_app_writes_it(engine: Engine, stored: str) -> None:
    event = installation(Action.CREATE, jira_hostname=stored)
    settle(engine, event)

    assert answer(engine, HOST) == event


def test_a_host_is_no_pattern_and_no_prefix(engine: Engine) -> None:
    settle(engine, installation(Action.CREATE))

    assert why(engine, "%") is None
    assert why(engine, "test_host.jira.com") is None
    assert why(engine, "https://test-host.jira.co") is None
    assert why(engine, "jira.com") is None


def test_a_host_that_was_shortened_is_found_by_its_full_length(engine: Engine) -> None:
    host = f"https://{'x' * 3000}.jira.com"
    settle(engine, installation(Action.CREATE, jira_hostname=storable(host)))

    assert why(engine, host) is not None


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "\udcff", "https://[", "'; --", "//", "https:", "https:/"]
)
def test_nonsense_is_found_nowhere_and_breaks_nothing(
    engine: Engine, text: str
) -> None:
    settle(engine, installation(Action.CREATE))

    assert why(engine, text) is None


def test_a_number_is_a_jira_integration_first_and_says_what_else_it_is(
    engine: Engine,
) -> None:
    event = installation(Action.CREATE, jira_integration_id=10)
    connected = subscription(Action.CREATE)
    settle(engine, event, connected)

    found = why(engine, "10")

    assert found is not None
    assert (found.taken_for, found.also) == (Kind.JIRA, (Kind.GITHUB,))
    assert answer(engine, "10") == event
    assert answer(engine, "10", kind=Kind.GITHUB) == connected


def test_without_an_installation_the_answer_is_about_a_subscription(
    engine: Engine,
) -> None:
    gone = subscription(Action.DESTROY, day=2, subject_id="6")
    there = subscription(Action.CREATE, day=1)
    settle(engine, there, gone)

    assert answer(engine, "10") == there
    assert answer(engine, HOST) == there


def test_an_id_of_a_transaction_gives_its_installation_and_the_company(
    engine: Engine,
) -> None:
    transaction = new_id()
    event = installation(Action.DESTROY, transaction_id=transaction)
    with engine.begin() as connection:
        outbox.record(
            connection,
            [
                *(
                    subscription(
                        Action.DESTROY, subject_id=str(n), transaction_id=transaction
                    )
                    for n in range(12)
                ),
                event,
            ],
        )

    found = why(engine, transaction.upper())

    assert found is not None
    assert found.record is not None
    assert found.taken_for is Kind.TRANSACTION
    assert found.record.event == event
    assert found.companions == (
        Companions(association="subscription", action=Action.DESTROY, count=12),
    )


def test_an_id_of_an_event_gives_that_very_transition(engine: Engine) -> None:
    events = [
        installation(Action.CREATE),
        installation(Action.ENABLE, day=1),
        installation(Action.DISABLE, day=2),
    ]
    settle(engine, *events)

    found = why(engine, events[1].id)

    assert found is not None
    assert found.before is not None
    assert found.after is not None
    assert answer(engine, events[1].id) == events[1]
    assert found.before.event == events[0]
    assert found.after.event == events[2]
    assert answer(engine, events[1].id, at=NOON + timedelta(days=9)) == events[2]


def test_a_date_asks_for_the_state_then(engine: Engine) -> None:
    events = [
        installation(Action.CREATE),
        installation(Action.ENABLE, day=1),
        installation(Action.DISABLE, day=2),
    ]
    settle(engine, *events[:2])
    record(engine, events[2])

    assert answer(engine, HOST, at=NOON) == events[0]
    assert answer(engine, HOST, at=NOON + timedelta(days=1, hours=1)) == events[1]
    assert answer(engine, HOST, at=NOON + timedelta(days=9)) == events[2]


def test_before_all_records_there_is_no_answer_but_the_first_one_after(
    engine: Engine,
) -> None:
    event = installation(Action.CREATE)
    settle(engine, event)

    found = why(engine, HOST, at=NOON - timedelta(microseconds=1))

    assert found is not None
    assert found.after is not None
    assert found.record is None
    assert found.after.event == event


def test_of_several_installations_the_one_that_is_there_counts(engine: Engine) -> None:
    old = [installation(Action.CREATE), installation(Action.DESTROY, day=3)]
    new = installation(Action.CREATE, day=2, subject_id="20", jira_integration_id=20)
    settle(engine, old[0], new, old[1])

    assert answer(engine, HOST) == new
    assert answer(engine, HOST, at=NOON + timedelta(days=1)) == old[0]


def test_of_several_installations_that_are_gone_the_last_one_counts(
    engine: Engine,
) -> None:
    gone = installation(Action.DESTROY, day=3, subject_id="20", jira_integration_id=20)
    settle(engine, installation(Action.CREATE), installation(Action.DESTROY), gone)

    assert answer(engine, HOST) == gone


def test_an_installation_is_told_to_its_end_under_its_old_host(engine: Engine) -> None:
    renamed = installation(
        Action.DISABLE, day=1, jira_hostname="https://renamed.jira.com"
    )
    created = installation(Action.CREATE)
    settle(engine, created)
    record(engine, renamed)

    assert answer(engine, HOST) == renamed
    assert history(engine, HOST) == [created.id, renamed.id]


def test_a_host_left_to_another_customer_is_told_of_that_one(engine: Engine) -> None:
    moved = installation(Action.ENABLE, day=3, jira_hostname="https://b.jira.com")
    here = {"subject_id": "20", "jira_integration_id": 20}
    disabled = installation(Action.DISABLE, day=2, github_actor="angry", **here)
    settle(engine, installation(Action.CREATE), disabled, moved)

    assert answer(engine, HOST) == disabled
    assert answer(engine, "b.jira.com") == moved
    found = why(engine, HOST)
    assert found is not None
    assert [each.event for each in found.others] == [moved]


def test_what_belongs_to_an_installation_is_found_by_each_of_its_hosts(
    engine: Engine,
) -> None:
    b = {"jira_hostname": "https://b.jira.com"}
    mine = [
        installation(Action.CREATE),
        subscription(Action.CREATE, day=1),
        installation(Action.ENABLE, day=2, **b),
        subscription(Action.CREATE, day=3, subject_id="8", **b),
        installation(Action.DESTROY, day=4, **b),
    ]
    later = subscription(
        Action.CREATE, day=6, subject_id="9", jira_hostname="https://c"
    )
    settle(engine, *mine, later)  # of whoever has the same number since

    ids = [each.id for each in mine]
    assert history(engine, HOST) == ids
    assert history(engine, "b.jira.com") == ids


def test_of_a_transaction_its_own_events_are_listed(engine: Engine) -> None:
    shared = new_id()
    before, after = installation(Action.CREATE), installation(Action.ENABLE, day=2)
    its = [
        installation(Action.DISABLE, day=1, transaction_id=shared),
        subscription(Action.DESTROY, day=1, transaction_id=shared),
    ]
    settle(engine, before, *its, after)

    assert history(engine, shared) == [each.id for each in its]
    with engine.connect() as connection:
        newest = journal.newest_first(connection, asked(shared))
        assert [each.event.id for each in newest] == [each.id for each in its[::-1]]


def test_what_a_gateway_got_late_does_not_count_for_the_last(gateway: Engine) -> None:
    created, disabled = installation(Action.CREATE), installation(Action.DISABLE, day=1)
    enabled = installation(Action.ENABLE, day=2)
    receive(gateway, created, enabled)
    receive(gateway, disabled)  # it was refused at first, and redriven

    found = why(gateway, HOST)
    assert found is not None
    assert found.record is not None
    assert found.before is not None
    assert found.record.event == enabled
    assert found.before.event == disabled
    assert found.is_present
    assert history(gateway, HOST) == [created.id, disabled.id, enabled.id]


def test_a_key_given_away_again_does_not_mix_two_customers(engine: Engine) -> None:
    gone = installation(Action.DESTROY, day=1)
    other = installation(Action.CREATE, day=2, jira_hostname="https://other.jira.com")
    settle(engine, installation(Action.CREATE), gone, other)

    assert answer(engine, HOST) == gone
    assert answer(engine, "other.jira.com") == other
    assert history(engine, "other.jira.com") == [other.id]


@pytest.mark.parametrize(
    ("last", "first"),
    [(Action.ENABLE, Action.CREATE), (Action.DESTROY, Action.ENABLE)],
)
def test_two_customers_stay_apart_also_where_a_record_between_them_is_missing(
    engine: Engine, last: Action, first: Action
) -> None:
    ours = installation(last)
    theirs = installation(first, day=1, jira_hostname="https://other.jira.com")
    settle(engine, ours, theirs)

    assert history(engine, HOST) == [ours.id]
    assert answer(engine, HOST) == ours
    assert history(engine, "other.jira.com") == [theirs.id]


def test_history_holds_everything_in_order_the_newest_within_the_limit(
    engine: Engine,
) -> None:
    events = [
        installation(Action.CREATE),
        subscription(Action.CREATE),
        installation(Action.ENABLE, day=1),
        subscription(Action.DESTROY, day=2),
    ]
    settle(engine, *events[:2])
    record(engine, *events[2:])
    ids = [event.id for event in events]

    assert history(engine, HOST) == ids
    assert history(engine, HOST, limit=2) == ids[2:]
    assert history(engine, HOST, limit=9) == ids
    assert history(engine, HOST, at=NOON + timedelta(days=1)) == ids[:3]
    assert history(engine, "nobody.jira.com") == []


def test_history_reads_more_rows_than_one_statement_takes(engine: Engine) -> None:
    events = [
        subscription(Action.CREATE, subject_id=str(number))
        for number in range(CHUNK + 1)
    ]
    with engine.begin() as connection:
        outbox.record(connection, events)

    assert sorted(history(engine, HOST)) == sorted(event.id for event in events)


def test_an_event_is_found_by_its_id_in_any_case(engine: Engine) -> None:
    event = installation(Action.CREATE)
    settle(engine, event)

    with engine.connect() as connection:
        found = journal.by_event_id(connection, event.id.upper())

        assert found is not None
        assert found.event == event
        assert json.loads(found.payload)["eventId"] == event.id
        assert journal.by_event_id(connection, new_id()) is None
        assert journal.by_event_id(connection, "19") is None
        assert journal.request_of(connection, found) is None


def test_coverage_counts_what_waits_and_what_was_rejected(engine: Engine) -> None:
    with engine.connect() as connection:
        empty = journal.coverage(connection)
    settle(engine, installation(Action.CREATE))
    reject(engine, installation(Action.ENABLE, day=1), "no")
    record(engine, installation(Action.DISABLE, day=2))

    with engine.connect() as connection:
        held = journal.coverage(connection)

    assert (empty.earliest, empty.newest, empty.waiting) == (None, None, 0)
    assert (held.earliest, held.newest) == (NOON, NOON + timedelta(days=2))
    assert (held.waiting, held.rejected) == (1, 1)


def test_a_database_without_a_journal_is_an_error(database: Database) -> None:
    engine = database.engine()

    with engine.connect() as connection:
        with pytest.raises(DatabaseError, match="has no table hydro_journal"):
            journal.why(connection, asked(HOST))
        with pytest.raises(DatabaseError, match="has no table hydro_journal"):
            journal.coverage(connection)

    engine.dispose()


def test_the_gateways_records_are_received_and_lead_to_their_request(
    gateway: Engine,
) -> None:
    event = installation(Action.CREATE)
    body = receive(gateway, event, subscription(Action.CREATE))

    with gateway.connect() as connection:
        found = journal.by_event_id(connection, event.id)
        assert found is not None
        request = journal.request_of(connection, found)
        held = journal.coverage(connection)

    assert found.event == event
    assert (found.place, found.settled_by) == (Place.RECEIVED, "jira-integration")
    assert request is not None
    assert request.body == body
    assert HydroHmac([SECRET]).verify(request.body, request.authorization)
    assert (held.waiting, held.rejected) == (None, None)


def test_events_of_a_schema_without_row_ids_make_one_story(gateway: Engine) -> None:
    v0 = [
        as_of_v0(installation(Action.CREATE, state=None)),
        as_of_v0(installation(Action.DESTROY, day=1, jira_hostname="https://b.c")),
    ]
    receive(gateway, *v0, name="jira.v0.Action")
    v1 = installation(Action.CREATE, day=2)
    receive(gateway, v1)

    assert answer(gateway, "https://b.c") == v0[1]
    assert answer(gateway, HOST, at=NOON) == v0[0]
    assert history(gateway, "19") == [v0[0].id, v0[1].id, v1.id]


def test_a_create_that_came_twice_is_ended_by_one_destroy(gateway: Engine) -> None:
    once = as_of_v0(installation(Action.CREATE, state=None))
    again = replace(once, id=new_id())
    gone = as_of_v0(installation(Action.DESTROY, day=1))
    receive(gateway, once, again, gone, name="jira.v0.Action")

    assert answer(gateway, HOST) == gone


def test_installations_of_two_apps_with_one_number_stay_apart(gateway: Engine) -> None:
    ours = installation(Action.CREATE)
    theirs = installation(Action.DESTROY, day=1, jira_hostname="https://their.jira.com")
    receive(gateway, ours, theirs)
    statement = tables.journal.update().where(tables.journal.c.id == theirs.id)
    with gateway.begin() as connection:
        connection.execute(statement.values(settled_by="another-app"))

    assert answer(gateway, HOST) == ours
    assert history(gateway, "their.jira.com") == [theirs.id]


def test_a_payload_that_is_not_readable_leaves_the_columns_to_tell(
    gateway: Engine,
) -> None:
    event = installation(Action.CREATE)
    receive(gateway, event)
    with gateway.begin() as connection:
        connection.execute(tables.journal.update().values(payload="erased"))

    assert answer(gateway, HOST) == replace(event, jira_integration_id="19")
