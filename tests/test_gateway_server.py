from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from databases import Database
from gateway_process import gateway_process
from signed_requests import body_of, counts, errors_of, post, value_of
from sqlalchemy import Engine

from hydro_hooks.errors import ConfigurationError, DatabaseError
from hydro_hooks.testing.gateway import SECRET, LocalGateway
from hydro_hooks.web import create_app, create_server, open_store, serve
from hydro_hooks.web.store import WRITES


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        yield gateway


def test_sigterm_ends_the_gateway_in_order(database: Database) -> None:
    with gateway_process(database.text_url) as gateway:
        post(gateway.url, body_of(value_of()))
        gateway.process.send_signal(signal.SIGTERM)
        output, _ = gateway.process.communicate(timeout=30)
        code = gateway.process.returncode

    assert (code, output) == (0, "ended\n")


def test_sigterm_as_soon_as_it_is_ready_ends_the_gateway_too() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def end(_server: object) -> None:
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)

    serve(_no_app, on_ready=end)

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_server_that_never_ran_can_be_closed(host: str) -> None:
    server = create_server(_no_app, host=host)
    address = urlsplit(server.url)

    server.close()
    server.close()

    assert address.port == server.effective_port
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.effective_host, server.effective_port), 5)


def _no_app(_environ: object, start_response: Any) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def test_the_store_of_sqlite_is_durable_and_shared(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'gateway.db'}")
    with engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    engine.dispose()

    assert pragmas == ["wal", 2, 5000]


def test_a_writer_of_sqlite_takes_the_lock_before_it_reads(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'gateway.db'}?timeout=0")
    with engine.connect() as writer, sqlite3.connect(tmp_path / "gateway.db") as other:
        other.execute("PRAGMA busy_timeout = 0")
        writer.execution_options(**{WRITES: True})
        with writer.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def test_gateways_that_start_at_once_share_a_store(database: Database) -> None:
    starts = 6
    barrier = threading.Barrier(starts)

    def start(_number: int) -> int:
        barrier.wait()
        engine = open_store(database.url)
        held = counts(engine)
        engine.dispose()
        return sum(held)

    with ThreadPoolExecutor(starts) as pool:
        assert list(pool.map(start, range(starts))) == [0] * starts


def test_no_lock_is_waited_for_beyond_a_senders_patience(database: Database) -> None:
    questions = {
        "sqlite": ("PRAGMA busy_timeout", 5000),
        "postgresql": ("SHOW lock_timeout", "5s"),
        "mariadb": ("SELECT @@innodb_lock_wait_timeout", 5),
    }
    question, expected = questions[database.kind]
    engine = open_store(database.url)
    answers = []
    for _ in range(2):  # also of a connection that comes back from the pool
        with engine.connect() as connection:
            answers.append(connection.exec_driver_sql(question).scalar())
    engine.dispose()

    assert answers == [expected, expected]


def test_the_database_of_an_app_is_no_store(engine: Engine) -> None:
    with pytest.raises(DatabaseError, match="belongs to an app"):
        open_store(engine.url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("no url", "not one of SQLAlchemy's"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("oracle://scott:tiger@host/db", "for 'oracle'"),
        ("sqlite+aiosqlite:///gateway.db", "asyncio"),
        ("postgresql+nothing://scott:tiger@host/db", "driver"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_said_without_its_password(
    url: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        open_store(url)

    assert "tiger" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////no/such/folder/gateway.db",
        "postgresql+psycopg://scott:tiger@127.0.0.1:9/db",
        "mariadb+pymysql://scott:tiger@127.0.0.1:9/db",
    ],
)
def test_a_store_that_cannot_be_opened_is_said_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened") as raised:
        open_store(url)

    assert "tiger" not in str(raised.value)


def test_a_schema_of_ones_own_is_accepted_by_its_title(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    properties = {"action": {"enum": ["create"]}, "jiraHostname": {}, "type": {}}
    path.write_text(json.dumps({"title": "acme.Change", "properties": properties}))
    values: list[Any] = [
        {"action": "create", "jiraHostname": ["a list"], "association": None},
        {"action": "create", "type": ["no text"]},
        ["no object"],
    ]
    with LocalGateway(schemas=[path]) as gateway:
        answer = post(gateway.url, body_of(*values, schema_name="acme.Change"))
        events = gateway.events()

    assert list(errors_of(answer)) == [1, 2]
    assert [event.type for event in events] == ["installation.create"]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"title": "jira.v1.Action", "properties": {}}, "another schema has"),
        ({"title": "acme", "properties": {"a": {"type": 1}}}, "is not valid"),
    ],
    ids=["taken", "invalid"],
)
def test_a_schema_that_cannot_serve_is_said_at_start(
    gateway: LocalGateway, tmp_path: Path, document: object, problem: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigurationError, match=problem):
        create_app(gateway.engine, secrets=[SECRET], schemas=[path])


@pytest.mark.parametrize("apps", [(), ("",), "jira-integration"])
def test_apps_that_are_no_list_of_names_are_said_at_start(
    gateway: LocalGateway, apps: Any
) -> None:
    with pytest.raises(ConfigurationError, match="apps"):
        create_app(gateway.engine, secrets=[SECRET], apps=apps)


@pytest.mark.parametrize("secrets", [(), ("",), SECRET])
def test_secrets_that_are_no_list_of_secrets_are_said_at_start(
    gateway: LocalGateway, secrets: Any
) -> None:
    with pytest.raises(ConfigurationError, match="list of secrets"):
        create_app(gateway.engine, secrets=secrets)
