from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from delivering import (
    SHARD,
    delay_of,
    drained,
    end_back_off,
    shard_row,
    wait_until,
)
from sample_events import ids_in, record, rows_in, sample_event, sample_events
from scripted_gateway import SECRET, Received, Scripted, ScriptedGateway, failures
from sqlalchemy import Engine, create_engine, event, update

from hydro_hooks import creation, outbox, schema, signals, tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import Event, new_id
from hydro_hooks.relay import Counts, Relay
from hydro_hooks.verdict import MAX_REJECTED_IN_A_ROW


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


def test_the_value_sent_is_the_payload_as_recorded(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    event = sample_event()
    record(engine, [event])

    drained(engine, gateway)

    [message] = gateway.requests[0].messages
    assert message["schema"] == "jira.v1.Action"
    value = json.loads(message["value"])
    assert value == schema.load("jira.v1.Action").project(event)
    [row] = rows_in(engine, tables.journal)
    assert json.loads(row["payload"]) == value


def test_the_deployed_schema_has_exactly_the_deployed_fields(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    plain = sample_event(subject_id="8", reason="free text", github_actor="x")
    record(engine, [sample_event(), plain])

    Relay(engine, gateway.settings(schema="jira.v0.Action")).drain()

    deployed = {
        "type": "destroyed",
        "association": "subscription",
        "installationId": 19,
        "githubInstallationId": 10,
        "jiraHostname": "https://tëst-host.jira.com",
    }
    [request] = gateway.requests
    assert request.values == [
        {**deployed, "actionSource": "stafftools", "githubActorId": 583231},
        deployed,
    ]
    assert {message["schema"] for message in request.messages} == {"jira.v0.Action"}
    assert [row["schema"] for row in rows_in(engine, tables.journal)] == [
        "jira.v0.Action",
        "jira.v0.Action",
    ]


def sizes(gateway: ScriptedGateway) -> list[int]:
    return [len(request.messages) for request in gateway.requests]


def test_a_backlog_leaves_in_order_in_batches_that_grow(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    ids = record(engine, sample_events(1120))

    counts = drained(engine, gateway)

    assert counts == Counts(delivered=1120, rejected=0, waiting=0)
    assert gateway.event_ids == ids
    assert sizes(gateway) == [50, 100, 200, 250, 250, 250, 20]


def test_a_large_backlog_begins_the_next_shard_with_large_batches(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    shards = {outbox.shard_of(str(number)): number for number in range(9)}
    one, other = list(shards.values())[:2]
    for number in (one, other):
        rows = range(200)
        record(
            engine,
            [sample_event(jira_integration_id=number, subject_id=str(n)) for n in rows],
        )

    Relay(engine, gateway.settings(), in_flight=1).drain()

    assert sizes(gateway) == [50, 100, 50, 200]


def test_no_more_is_read_where_the_last_batch_was_not_full(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    record(engine, [sample_event(subject_id="1") for _ in range(6)])
    limits: list[int] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: Any) -> None:
        given = args[4].compiled_parameters if args[4] and args[4].compiled else [{}]
        limits.extend(one["most"] for one in given if "most" in one)

    counts = drained(engine, gateway)
    event.remove(engine, "before_cursor_execute", note)

    assert counts.delivered == 6
    assert sizes(gateway) == [1] * 6  # no two of one subject in a request
    assert set(limits) == {50}


def test_a_batch_has_as_many_events_as_it_may_have(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    record(engine, sample_events(150))

    drained(engine, gateway, max_batch=70)

    assert sizes(gateway) == [50, 70, 30]


def test_batches_stay_small_where_a_large_one_was_too_large(engine: Engine) -> None:
    def answer(request: Received) -> Scripted:
        return Scripted(status=413 if len(request.messages) > 60 else 200)

    ids = record(engine, sample_events(330))
    with ScriptedGateway(answer) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.drain()
        record(engine, sample_events(120))
        relay.drain()

    assert sizes(gateway) == [50, 100, 50, 50, 50, 50, 50, 30, 50, 50, 20]
    assert ids_in(engine, tables.journal)[:330] == ids


def test_a_large_batch_that_got_no_answer_is_sent_again_in_small_ones(
    engine: Engine,
) -> None:
    record(engine, sample_events(200))
    answers = [Scripted(), Scripted(status=503)]
    with ScriptedGateway(answers) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.drain()
        end_back_off(engine)
        relay.drain()

    assert sizes(gateway) == [50, 100, 50, 100]


LOCKS = {
    "postgresql": "LOCK TABLE hydro_journal IN EXCLUSIVE MODE",
    "mariadb": "SELECT * FROM hydro_shard FOR UPDATE",
    "sqlite": "BEGIN IMMEDIATE",
}


def allow_readers(engine: Engine) -> None:
    """Let SQLite be read while somebody else writes."""
    raw = engine.raw_connection()
    raw.cursor().execute("PRAGMA journal_mode = WAL")
    raw.close()


@contextmanager
def nobody_settles(engine: Engine) -> Iterator[None]:
    """Keep a lock in the block that a settlement waits for, and a read does not."""
    raw = engine.raw_connection()  # whose BEGIN is its own
    raw.cursor().execute(LOCKS[engine.dialect.name])
    yield
    raw.rollback()
    raw.close()


def test_the_next_batch_departs_while_the_last_is_settled(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        allow_readers(engine)
    ids = record(engine, sample_events(150))
    goes_on = threading.Event()
    with ScriptedGateway([Scripted(awaits=goes_on)]) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.start()
        gateway.wait_for(1)
        with nobody_settles(engine):
            goes_on.set()
            gateway.wait_for(2)
            assert ids_in(engine, tables.journal) == []
        wait_until(lambda: ids_in(engine, tables.journal) == ids)
        assert relay.stop()
        assert gateway.event_ids == ids


def test_what_departed_ahead_of_a_lost_lease_is_not_settled_either(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    if engine.dialect.name == "sqlite":
        allow_readers(engine)
    ids = record(engine, sample_events(150))
    answers = [threading.Event(), threading.Event()]
    scripted = [Scripted(awaits=one) for one in answers]
    with ScriptedGateway(scripted) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.start()
        gateway.wait_for(1)
        with engine.begin() as connection:
            held = datetime.now(UTC) + timedelta(hours=1)
            lost = update(tables.shard).values(token=new_id(), leased_until=held)
            connection.execute(lost)
        answers[0].set()
        gateway.wait_for(2)
        answers[1].set()
        wait_until(lambda: relay.progress.lost == 2)
        assert relay.stop()

    assert "Lost events to another relay" in caplog.text
    assert ids_in(engine, tables.outbox) == ids
    assert ids_in(engine, tables.journal) == []


def test_several_shards_are_delivered_at_once(engine: Engine) -> None:
    meeting = threading.Barrier(4)

    def answer(_: Received) -> Scripted:
        meeting.wait(20)  # breaks where fewer than four requests come at once
        return Scripted()

    shards = {outbox.shard_of(str(number)): number for number in range(200)}
    integrations = list(shards.values())[:4]
    record(engine, [sample_event(jira_integration_id=one) for one in integrations])
    with ScriptedGateway(answer) as gateway:
        counts = drained(engine, gateway, in_flight=4)

    assert counts == Counts(delivered=4, rejected=0, waiting=0)


def test_a_database_in_memory_is_worked_on_by_one_thread() -> None:
    engine = create_engine("sqlite://")
    creation.create_tables(engine)
    events = [sample_event(jira_integration_id=number) for number in range(40)]
    record(engine, events)
    with ScriptedGateway() as gateway:
        counts = drained(engine, gateway)
    engine.dispose()

    assert counts == Counts(delivered=40, rejected=0, waiting=0)


def test_an_event_put_off_is_sent_before_the_next_of_its_subject(
    engine: Engine,
) -> None:
    first, other, second = (sample_event(subject_id=one) for one in ("1", "2", "1"))
    record(engine, [first, other, second])
    with ScriptedGateway([failures((0, "it timed out", True))]) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.drain()
        end_back_off(engine)
        relay.drain()

    assert gateway.event_ids == [first.id, other.id, first.id, second.id]


def test_a_gateway_that_is_down_costs_no_event(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    ids = record(engine, sample_events(2))
    with ScriptedGateway() as gone:
        settings = gone.settings()
    relay = Relay(engine, settings)
    assert relay.drain() == Counts(delivered=0, rejected=0, waiting=2)

    end_back_off(engine)
    with ScriptedGateway(port=gone.port) as back:
        counts = relay.drain()

        assert counts == Counts(delivered=2, rejected=0, waiting=0)
        assert back.event_ids == ids


def test_an_event_is_sent_again_with_the_same_bytes(engine: Engine) -> None:
    record(engine, sample_events(2))
    with ScriptedGateway([Scripted(resets=True)]) as gateway:
        drained(engine, gateway)
        end_back_off(engine)
        drained(engine, gateway)

        first, second = gateway.requests
        assert first.body == second.body


def test_a_passing_fault_backs_off_longer_each_time(engine: Engine) -> None:
    record(engine, [sample_event()])
    attempts = []
    with ScriptedGateway([Scripted(status=503)] * 3) as gateway:
        for _ in range(3):
            drained(engine, gateway)
            attempts.append(shard_row(engine)["attempts"])
            assert delay_of(engine) <= timedelta(seconds=2 ** attempts[-1])
            end_back_off(engine)

        drained(engine, gateway)

    assert attempts == [1, 2, 3]
    assert shard_row(engine)["attempts"] == 0
    [row] = rows_in(engine, tables.journal)
    assert row["attempts"] == 4


def test_a_shard_is_left_alone_while_it_backs_off(engine: Engine) -> None:
    record(engine, [sample_event()])
    answers = [Scripted(status=503, headers={"Retry-After": "120"})]
    with ScriptedGateway(answers) as gateway:
        drained(engine, gateway)
        counts = drained(engine, gateway)

        assert counts.waiting == 1
        assert len(gateway.requests) == 1
        assert timedelta(seconds=60) < delay_of(engine) <= timedelta(seconds=120)


def test_other_shards_are_delivered_while_one_backs_off(engine: Engine) -> None:
    held = sample_event()
    others = [sample_event(jira_integration_id=number) for number in range(20, 40)]
    others = [event for event in others if outbox.shard_of(event.aggregate_id) != SHARD]
    record(engine, [held, *others])

    def answer(request: Received) -> Scripted:
        return Scripted(status=503 if held.id in request.event_ids else 200)

    with ScriptedGateway(answer) as gateway:
        counts = drained(engine, gateway)

    assert counts == Counts(delivered=len(others), rejected=0, waiting=1)


def test_a_configuration_fault_keeps_all_and_is_loud(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ids = record(engine, sample_events(2))
    with ScriptedGateway([Scripted(status=401)]) as gateway:
        drained(engine, gateway)

    assert ids_in(engine, tables.outbox) == ids
    assert timedelta(seconds=200) < delay_of(engine) <= timedelta(seconds=300)
    [line] = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert "check HYDRO_APP_SECRET" in line.getMessage()


def test_each_event_of_a_422_has_its_own_verdict(engine: Engine) -> None:
    ids = record(engine, sample_events(4))
    answer = failures((1, "no such action", False), (2, "time-out", True))
    with ScriptedGateway([answer]) as gateway:
        counts = drained(engine, gateway)

        assert counts == Counts(delivered=2, rejected=1, waiting=1)
        assert ids_in(engine, tables.journal) == [ids[0], ids[3]]
        assert ids_in(engine, tables.outbox) == [ids[2]]
        [row] = rows_in(engine, tables.rejected)
        assert (row["id"], row["error"]) == (ids[1], "no such action")
        assert shard_row(engine)["attempts"] == 1

        end_back_off(engine)
        drained(engine, gateway)

        assert gateway.requests[-1].event_ids == [ids[2]]


def test_a_batch_that_is_too_large_is_halved(engine: Engine) -> None:
    ids = record(engine, sample_events(50))

    def answer(request: Received) -> Scripted:
        return Scripted(status=413 if len(request.messages) > 7 else 200)

    with ScriptedGateway(answer) as gateway:
        counts = drained(engine, gateway)

        assert counts == Counts(delivered=50, rejected=0, waiting=0)
        assert ids_in(engine, tables.journal) == ids
        assert [len(request.messages) for request in gateway.requests[:4]] == [
            50,
            25,
            12,
            6,
        ]


@pytest.mark.parametrize(
    "refusal",
    [Scripted(status=413), Scripted(status=422, body=b"<html>")],
    ids=["413", "422"],
)
def test_a_batch_is_split_until_the_event_at_fault_is_found(
    engine: Engine, refusal: Scripted
) -> None:
    ids = record(engine, sample_events(50))
    bad = ids[23]

    def answer(request: Received) -> Scripted:
        return refusal if bad in request.event_ids else Scripted()

    with ScriptedGateway(answer) as gateway:
        counts = drained(engine, gateway)

    assert counts == Counts(delivered=49, rejected=1, waiting=0)
    [row] = rows_in(engine, tables.rejected)
    assert row["id"] == bad
    assert str(refusal.status) in row["error"]


def refuse_all(request: Received) -> Scripted:
    return failures(*((index, "bad", False) for index in range(len(request.messages))))


def test_a_gateway_that_refuses_everything_is_not_believed_for_long(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    events = [sample_event(jira_integration_id=number) for number in range(64)]
    record(engine, events)
    with ScriptedGateway(refuse_all) as gateway:
        relay = Relay(engine, gateway.settings())
        counts = relay.drain()
        end_back_off(engine)
        relay.drain()

    rejected = ids_in(engine, tables.rejected)
    assert 0 < counts.rejected <= MAX_REJECTED_IN_A_ROW
    assert len(rejected) <= MAX_REJECTED_IN_A_ROW
    assert len(ids_in(engine, tables.outbox)) == 64 - len(rejected)
    assert "in a row" in caplog.text


def test_rejecting_goes_on_after_a_success(engine: Engine) -> None:
    ids = record(engine, sample_events(60))

    def answer(request: Received) -> Scripted:
        bad = [number for number, id_ in enumerate(request.event_ids) if id_ in refused]
        if not bad:
            return Scripted()
        return failures(*((number, "bad", False) for number in bad))

    refused = ids[:15] + ids[45:]
    with ScriptedGateway(answer) as gateway:
        counts = drained(engine, gateway)

    assert counts == Counts(delivered=30, rejected=30, waiting=0)


def test_a_delivered_event_ends_a_row_of_rejections(engine: Engine) -> None:
    def answer(request: Received) -> Scripted:
        return Scripted() if len(request.messages) == 1 else refuse_all(request)

    with ScriptedGateway(answer) as gateway:
        relay = Relay(engine, gateway.settings())
        rejected = []
        for count in (15, 1, 15):
            record(engine, sample_events(count))
            rejected.append(relay.drain().rejected)

    assert rejected == [15, 0, 15]


@pytest.fixture
def strict_schema(tmp_path: Path) -> str:
    """Return the path of a user's schema that wants a short note."""
    document = {
        "title": "my.Action",
        "type": "object",
        "properties": {"eventId": {"type": "string"}, "note": {"maxLength": 10}},
        "required": ["note"],
    }
    path = tmp_path / "my.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_an_event_that_does_not_fit_the_schema_is_kept_aside(
    engine: Engine, gateway: ScriptedGateway, strict_schema: str
) -> None:
    events = [sample_event(note=note) for note in ("short", None, "far too long")]
    ids = record(engine, events)

    counts = Relay(engine, gateway.settings(schema=strict_schema)).drain()

    assert counts == Counts(delivered=1, rejected=2, waiting=0)
    [request] = gateway.requests
    assert request.messages[0]["schema"] == "my.Action"
    assert request.values == [{"eventId": ids[0], "note": "short"}]
    first, second = rows_in(engine, tables.rejected)
    assert (first["id"], second["id"]) == (ids[1], ids[2])
    assert "'note' is a required property" in first["error"]
    assert "my.Action: note" in second["error"]


def test_a_schema_that_nothing_fits_empties_no_outbox(
    engine: Engine, gateway: ScriptedGateway, strict_schema: str
) -> None:
    ids = record(engine, sample_events(30, note=None))

    counts = Relay(engine, gateway.settings(schema=strict_schema)).drain()

    assert counts == Counts(delivered=0, rejected=0, waiting=30)
    assert ids_in(engine, tables.outbox) == ids


@pytest.mark.parametrize("kind", [{"type": "text"}, {"$ref": "#/$defs/none"}])
def test_a_schema_that_is_not_valid_is_no_events_fault(
    engine: Engine, gateway: ScriptedGateway, tmp_path: Path, kind: dict[str, str]
) -> None:
    ids = record(engine, sample_events(3))
    path = tmp_path / "my.json"
    path.write_text(json.dumps({"title": "my.A", "properties": {"eventId": kind}}))

    with pytest.raises(ConfigurationError, match="is not valid"):
        Relay(engine, gateway.settings(schema=str(path))).drain()

    assert ids_in(engine, tables.outbox) == ids


@pytest.mark.parametrize("payload", ["{}", "[]", "null", '"text"'])
@pytest.mark.parametrize("wire", ["jira.v1.Action", "jira.v0.Action"])
def test_a_payload_that_is_no_event_does_not_hold_up_the_others(
    engine: Engine, gateway: ScriptedGateway, payload: str, wire: str
) -> None:
    bad, good = record(engine, sample_events(2))
    with engine.begin() as connection:
        table = tables.outbox
        connection.execute(
            update(table).where(table.c.id == bad).values(payload=payload)
        )

    counts = Relay(engine, gateway.settings(schema=wire)).drain()

    assert counts == Counts(delivered=1, rejected=1, waiting=0)
    assert ids_in(engine, tables.rejected) == [bad]
    assert ids_in(engine, tables.journal) == [good]


def test_listeners_hear_of_each_event_once_it_is_settled(engine: Engine) -> None:
    events = sample_events(2)
    record(engine, events)
    heard: list[tuple[str, object, Event, int]] = []

    def on_delivered(sender: object, event: Event) -> None:
        journal = len(ids_in(engine, tables.journal))
        heard.append(("delivered", sender, event, journal))

    def on_rejected(sender: object, event: Event) -> None:
        rejected = len(ids_in(engine, tables.rejected))
        heard.append(("rejected", sender, event, rejected))

    with (
        signals.delivered.connected_to(on_delivered),
        signals.rejected.connected_to(on_rejected),
        ScriptedGateway([failures((1, "bad", False))]) as gateway,
    ):
        drained(engine, gateway)

    assert heard == [
        ("delivered", "subscription", events[0], 1),
        ("rejected", "subscription", events[1], 1),
    ]


class Subscription:
    """A tracked model."""


def test_the_sender_of_a_signal_is_the_model_where_it_is_known(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    [event] = events = sample_events(1)
    record(engine, events)
    heard: list[Event] = []

    def on_delivered(_: object, event: Event) -> None:
        heard.append(event)

    with signals.delivered.connected_to(on_delivered, sender=Subscription):
        drained(engine, gateway, sender_of=lambda _: Subscription)

    assert heard == [event]


def test_a_failing_listener_harms_nothing(
    engine: Engine, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(3))

    def fail(_: object, **__: object) -> object:
        message = "not today"
        raise LookupError(message)

    with signals.delivered.connected_to(fail):
        counts = drained(engine, gateway)
        record(engine, sample_events(2))
        more = drained(engine, gateway, sender_of=fail)

    assert (counts.delivered, more.delivered) == (3, 2)
    assert "not today" in caplog.text


def test_no_secret_or_payload_is_logged(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record(engine, sample_events(4, note="the payload"))
    answers = [
        Scripted(status=503),
        Scripted(status=401, body={"error": "the payload"}),
        Scripted(status=422, body=b"the payload"),
        failures((0, "the payload", False)),
    ]
    with ScriptedGateway(answers) as gateway:
        relay = Relay(engine, gateway.settings())
        for _ in range(4):
            relay.drain()
            end_back_off(engine)

    assert len(gateway.requests) > 4
    assert SECRET not in caplog.text
    assert "the payload" not in caplog.text
    assert "Hydro " not in caplog.text


def spread_events(count: int = 64) -> list[Event]:
    """Return events of so many integrations, which many shards share."""
    return [sample_event(jira_integration_id=number) for number in range(count)]


def told(caplog: pytest.LogCaptureFixture, *, level: int = logging.INFO) -> list[str]:
    lines = [line.getMessage() for line in caplog.records if line.levelno >= level]
    caplog.clear()
    return [line.partition(";")[0] for line in lines if "Delivered" not in line]


def test_an_outage_is_told_once_when_it_begins_changes_and_ends(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="hydro_hooks")
    record(engine, spread_events())
    status = 503
    with ScriptedGateway(lambda _: Scripted(status=status)) as gateway:
        relay = Relay(engine, gateway.settings())
        lines = []
        for each in (503, 503, 500, 200, 200, 503):
            status = each
            record(engine, spread_events(2))
            relay.drain()
            lines.append(told(caplog))
            end_back_off(engine)
        relay.drain()
        repeated = told(caplog, level=logging.DEBUG)

    assert lines == [
        ["Events are kept: the gateway answered 503"],
        [],
        ["Events are kept: the gateway answered 500"],
        ["Delivering again, after: the gateway answered 500"],
        [],
        ["Events are kept: the gateway answered 503"],
    ]
    assert set(repeated) >= {"Events are kept: the gateway answered 503"}


def test_a_relay_tells_of_an_outage_that_began_before_it(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydro_hooks")
    record(engine, spread_events())
    with ScriptedGateway(lambda _: Scripted(status=503)) as gateway:
        drained(engine, gateway)
        first = told(caplog)
        end_back_off(engine)
        drained(engine, gateway)

    assert first == told(caplog) == ["Events are kept: the gateway answered 503"]


def test_an_outage_that_another_relay_ended_is_told_when_it_comes_back(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydro_hooks")
    record(engine, spread_events())
    status = 503
    with ScriptedGateway(lambda _: Scripted(status=status)) as gateway:
        ours, theirs = (Relay(engine, gateway.settings()) for _ in range(2))
        ours.drain()
        end_back_off(engine)
        status = 200
        theirs.drain()
        told(caplog)
        record(engine, spread_events())
        status = 503
        ours.drain()

    assert told(caplog) == ["Events are kept: the gateway answered 503"]


def test_a_batch_that_is_split_after_a_fault_tells_of_no_new_one(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(4))
    answers = [Scripted(status=503), Scripted(status=413)]
    with ScriptedGateway(answers) as gateway:
        drained(engine, gateway)
        end_back_off(engine)
        counts = drained(engine, gateway)

    assert counts.delivered == 4
    assert caplog.text.count("Events are kept") == 1
    assert shard_row(engine)["fault"] is None


def test_no_line_of_the_log_speaks_of_shards(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydro_hooks")
    record(engine, spread_events(8))
    with ScriptedGateway(
        [Scripted(status=401), failures((0, "bad", False))]
    ) as gateway:
        drained(engine, gateway)
        drained(engine, gateway)

    assert "1 event; the first is" in caplog.text
    assert "shard" not in caplog.text


def test_what_waits_for_a_setting_is_tried_at_once_by_a_relay_that_starts(
    engine: Engine,
) -> None:
    record(engine, spread_events())
    with ScriptedGateway(lambda _: Scripted(status=status)) as gateway:
        status = 401
        refused = drained(engine, gateway)
        status = 200
        delivered = drained(engine, gateway)

    assert (refused.waiting, delivered.waiting) == (64, 0)


def test_a_pause_that_the_gateway_asks_for_is_kept_whatever_was_wrong(
    engine: Engine,
) -> None:
    record(engine, [sample_event()])
    answers = [Scripted(status=403, headers={"Retry-After": "600"})]
    with ScriptedGateway(answers) as gateway:
        drained(engine, gateway)
        again = drained(engine, gateway)

    assert again.waiting == 1
    assert len(gateway.requests) == 1
