"""The three databases that every database test runs on, each test in an empty one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

KINDS = ("sqlite", "postgresql", "mariadb")
SERVERS = {
    "postgresql": (
        "HYDRO_TEST_POSTGRESQL",
        "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    ),
    "mariadb": ("HYDRO_TEST_MARIADB", "mariadb+pymysql://root@127.0.0.1:3306/mysql"),
}
ASYNC_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "mariadb": "mariadb+aiomysql",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An empty database of one test."""

    kind: str
    url: URL

    @property
    def text_url(self) -> str:
        return self.url.render_as_string(hide_password=False)

    @property
    def async_url(self) -> URL:
        return self.url.set(drivername=ASYNC_DRIVERS[self.kind])

    def engine(self, **options: Any) -> Engine:
        """Return an engine; on SQLite with explicit BEGIN, as SQLAlchemy advises."""
        engine = create_engine(self.url, **options)
        if self.kind == "sqlite":
            begin_explicitly(engine)
        return engine


def begin_explicitly(engine: Engine) -> None:
    """Make SQLite's transactions real ones, so that savepoints work."""

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


def empty_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield an empty database, or skip (in CI: fail) where there is no server."""
    if kind == "sqlite":
        yield Database(kind=kind, url=make_url(f"sqlite:///{folder / 'app.db'}"))
        return
    variable, default = SERVERS[kind]
    server = make_url(os.environ.get(variable, default))
    name = f"hydro_test_{os.getpid()}"
    admin = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    drop = f"DROP DATABASE IF EXISTS {name}"
    if kind == "postgresql":
        drop += " WITH (FORCE)"
    try:
        with admin.connect() as connection:
            connection.execute(text(drop))
            connection.execute(text(f"CREATE DATABASE {name}"))
    except DBAPIError as error:
        reason = (
            f"{kind} does not answer: start one, or set {variable} to its SQLAlchemy"
            f" URL (now {server!r}): {error.orig}"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield Database(kind=kind, url=server.set(database=name))
    finally:
        with admin.connect() as connection:
            connection.execute(text(drop))
