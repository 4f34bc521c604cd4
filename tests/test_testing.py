from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from sample_events import record, sample_event, sample_events
from signed_requests import body_of, counts, post, value_of
from sqlalchemy import Engine, create_engine, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from hydro_hooks import creation, outbox, tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.testing import capture_events, recorded
from hydro_hooks.testing.gateway import LocalGateway


def move(engine: Engine, event_id: str) -> None:
    """Move an event into the journal, as the relay does when it is delivered."""
    shared = [
        column.name
        for column in tables.journal.columns
        if column.name in tables.outbox.columns
    ]
    with engine.begin() as connection:
        columns = (tables.outbox.columns[name] for name in shared)
        statement = select(*columns).where(tables.outbox.c.id == event_id)
        row = dict(connection.execute(statement).mappings().one())
        row |= {"schema": "jira.v1.Action", "settled_at": row["occurred_at"]}
        connection.execute(insert(tables.journal), row)
        connection.execute(delete(tables.outbox).where(tables.outbox.c.id == event_id))


def test_recorded_gives_the_events_of_the_outbox_in_their_order(engine: Engine) -> None:
    events = sample_events(3)
    record(engine, events)

    with engine.connect() as connection, Session(engine) as session:
        assert recorded(engine) == events
        assert recorded(connection) == events
        assert recorded(session) == events
        assert not connection.in_transaction()
        assert not session.in_transaction()


def test_recorded_leaves_a_transaction_as_it_was(engine: Engine) -> None:
    event = sample_event()
    with engine.connect() as connection, connection.begin() as transaction:
        outbox.record(connection, [event])

        assert recorded(connection) == [event]
        assert transaction.is_active

        with Session(bind=connection) as session:
            assert recorded(session) == [event]
        transaction.commit()
    assert recorded(engine) == [event]


def test_recorded_keeps_the_work_of_a_session_on_sqlite_in_memory() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    creation.create_tables(engine)
    event = sample_event()
    with Session(engine) as session:
        outbox.record(session.connection(), [event])
        assert recorded(session) == [event]
        session.commit()

    assert recorded(engine) == [event]
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_recorded_runs_in_an_async_session(engine: Engine) -> None:
    events = sample_events(2)
    record(engine, events)

    async def ask() -> object:
        async_engine = create_async_engine(f"sqlite+aiosqlite:///{engine.url.database}")
        async with AsyncSession(async_engine) as session:
            found = await session.run_sync(recorded)
        await async_engine.dispose()
        return found

    assert asyncio.run(ask()) == events


def test_capture_events_gives_what_is_committed_in_its_block(engine: Engine) -> None:
    before, inside, after = sample_events(3)
    record(engine, [before])
    with capture_events(engine) as events:
        record(engine, [inside])
    record(engine, [after])

    assert events == [inside]


def test_capture_events_gives_what_a_relay_has_delivered_meanwhile(
    engine: Engine,
) -> None:
    before, inside, waiting = sample_events(3)
    record(engine, [before])
    with capture_events(engine) as events:
        record(engine, [inside, waiting])
        move(engine, before.id)
        move(engine, inside.id)

    assert events == [inside, waiting]


def test_capture_events_gives_what_was_numbered_before_and_committed_inside(
    engine: Engine,
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("has one writer: what is numbered first is committed first")
    late, early = sample_events(2)
    with engine.connect() as connection:
        outbox.record(connection, [late])
        record(engine, [early])
        with capture_events(engine) as events:
            connection.commit()

    assert events == [late]


def test_capture_events_leaves_out_what_is_rolled_back(engine: Engine) -> None:
    with capture_events(engine) as events, engine.connect() as connection:
        outbox.record(connection, sample_events(2))
        connection.rollback()

    assert events == []


def test_capture_events_passes_on_what_its_block_raises(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), capture_events(engine):
        _ = 1 / 0


def test_a_local_gateway_gives_a_relay_its_settings() -> None:
    with LocalGateway(secrets=["new", "old"], apps=["one", "two"]) as gateway:
        settings = gateway.settings(schema="jira.v0.Action")

        assert settings.base_url == gateway.url
        assert gateway.url == f"http://127.0.0.1:{gateway.port}/api/v1/events"
    assert (settings.secrets, settings.app) == (("new", "old"), "one")
    assert settings.schema == "jira.v0.Action"


def test_a_local_gateway_leaves_no_thread_file_or_port() -> None:
    before = threading.active_count()
    with LocalGateway() as gateway:
        folder = Path(str(gateway.engine.url.database)).parent
        assert folder.is_dir()

    assert threading.active_count() == before
    assert not folder.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(gateway.url, timeout=30)


def test_a_local_gateway_that_was_down_goes_on_where_it_ended(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'gateway.db'}"
    with LocalGateway(store=store) as first:
        post(first.url, body_of(value_of()))
        port = first.port
    again = LocalGateway(store=store, port=port)
    for expected in (2, 3):
        with again:
            answer = post(again.url, body_of(value_of()))

            assert answer.status_code == 200
            assert len(again.events()) == expected


def test_a_local_gateway_that_cannot_start_leaves_nothing() -> None:
    before = threading.active_count()
    with (
        LocalGateway() as gateway,
        pytest.raises(ConfigurationError, match="another port"),
        LocalGateway(port=gateway.port),
    ):
        pytest.fail("two gateways listen on one port")

    assert threading.active_count() == before


def test_a_gateway_that_ends_answers_each_request_that_it_has_stored(
    tmp_path: Path,
) -> None:
    store = f"sqlite:///{tmp_path / 'gateway.db'}"
    statuses: list[int] = []

    def post_on(url: str) -> None:
        while True:
            try:
                statuses.append(post(url, body_of(value_of())).status_code)
            except requests.ConnectionError:
                return

    with LocalGateway(store=store) as gateway:
        threads = [
            threading.Thread(target=post_on, args=[gateway.url]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while len(statuses) < 20:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
    for thread in threads:
        thread.join()

    with LocalGateway(store=store) as gateway:
        assert counts(gateway.engine) == (len(statuses), len(statuses))
    assert set(statuses) == {200}


def test_the_events_of_a_test_need_no_extra() -> None:
    program = (
        "import sys, hydro_hooks.testing;"
        "print(sorted({'flask', 'waitress', 'pytest', 'click'} & set(sys.modules)))"
    )

    output = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert output == "[]\n"
