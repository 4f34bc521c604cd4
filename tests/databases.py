"""The three databases that every database test runs on, each test in an empty one."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from needs import missing
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from hydro_hooks import creation, tables

KINDS = ("sqlite", "postgresql", "mariadb")
SERVERS = {
    "postgresql": (
        "HYDRO_TEST_POSTGRESQL",
        "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    ),
    # For TLS, PyMySQL reads all that the machine trusts, anew at each connection.
    "mariadb": (
        "HYDRO_TEST_MARIADB",
        "mariadb+pymysql://root@127.0.0.1:3306/mysql?ssl_disabled=true",
    ),
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
        url = self.url.difference_update_query(["ssl_disabled"])  # PyMySQL's own
        return url.set(drivername=ASYNC_DRIVERS[self.kind])

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


def enforce_foreign_keys(engine: Engine) -> None:
    """Make SQLite perform what foreign keys say."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.execute("PRAGMA foreign_keys = ON")

    engine.dispose()


def empty_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield an empty database, or skip (in CI: fail) where there is no server."""
    if kind == "sqlite":
        yield Database(kind=kind, url=make_url(f"sqlite:///{folder / 'app.db'}"))
        return
    name = f"hydro_test_{os.getpid()}"
    url = _created(kind, name)
    try:
        yield Database(kind=kind, url=url)
    finally:
        _drop(kind, name)


_prepared: dict[str, Engine] = {}
"""By kind, of this process' database that keeps the tables of hydro_hooks."""


def prepared_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield a database that is empty but for the tables of hydro_hooks, or skip.

    To make these anew for each test takes a server longer than most tests.
    """
    if kind == "sqlite":
        for database in empty_database(kind, folder):
            engine = database.engine()
            creation.create_tables(engine)
            engine.dispose()
            yield database
        return
    if kind not in _prepared:
        name = f"hydro_test_{os.getpid()}_prepared"
        _prepared[kind] = create_engine(_created(kind, name), pool_pre_ping=True)
        atexit.register(_drop, kind, name)
    engine = _prepared[kind]
    with engine.begin() as connection:
        {"postgresql": _clean_postgresql, "mariadb": _clean_mariadb}[kind](connection)
        creation.create_tables(connection)  # where a test has dropped one
    yield Database(kind=kind, url=engine.url)


def _admin(kind: str) -> Engine:
    variable, default = SERVERS[kind]
    server = make_url(os.environ.get(variable, default))
    return create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def _created(kind: str, name: str) -> URL:
    admin = _admin(kind)
    try:
        _drop(kind, name)
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except DBAPIError as error:
        reason = (
            f"{kind} does not answer: start one, or set {SERVERS[kind][0]} to its"
            f" SQLAlchemy URL (now {admin.url!r}): {error.orig}"
        )
        missing(reason)
    return admin.url.set(database=name)


def _drop(kind: str, name: str) -> None:
    force = " WITH (FORCE)" if kind == "postgresql" else ""
    with _admin(kind).connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}{force}"))


def _clean_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    schemas = connection.exec_driver_sql(
        "SELECT quote_ident(nspname) FROM pg_namespace"
        " WHERE nspname NOT IN ('public', 'information_schema')"
        " AND nspname NOT LIKE 'pg\\_%%'"
    ).scalars()
    for schema in schemas.all():
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    found = connection.exec_driver_sql(
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
    ).scalars()
    names = set(found)
    kept = names & tables.metadata.tables.keys()
    if names - kept:
        connection.exec_driver_sql(f"DROP TABLE {', '.join(names - kept)} CASCADE")
    for name in kept:
        size = connection.exec_driver_sql(f"SELECT pg_relation_size('{name}')")
        # Of few rows, to delete them takes less time.
        is_large = size.scalar_one() > 1 << 20
        connection.exec_driver_sql(
            f"{'TRUNCATE' if is_large else 'DELETE FROM'} {name}"
        )
        if "seq" in tables.metadata.tables[name].c:
            connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'seq'), 1, false)"
            )


def _clean_mariadb(connection: Connection) -> None:
    sessions = connection.exec_driver_sql(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = database() AND id <> connection_id()"
    ).scalars()
    for session in sessions.all():
        # It may be gone by itself meanwhile.
        with contextlib.suppress(DBAPIError):
            connection.exec_driver_sql(f"KILL {session}")
    found = connection.exec_driver_sql(
        "SELECT table_name, coalesce(auto_increment, 2) > 1"
        " FROM information_schema.tables WHERE table_schema = database()"
    ).all()
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    others = [f"`{name}`" for name, _ in found if name not in tables.metadata.tables]
    if others:
        connection.exec_driver_sql(f"DROP TABLE {', '.join(others)}")
    for name, is_used in found:
        if name in tables.metadata.tables and is_used:
            connection.exec_driver_sql(f"TRUNCATE {name}")
    connection.exec_driver_sql("SET foreign_key_checks = 1")


def has_two_phases(engine: Engine) -> bool:
    """Return whether transactions can be prepared; PostgreSQL wants to be told so."""
    if engine.dialect.name != "postgresql":
        return engine.dialect.name == "mariadb"
    with engine.connect() as connection:
        return bool(int(connection.scalar(text("SHOW max_prepared_transactions"))))


def skip_without_two_phases(engine: Engine) -> None:
    """Skip a test that prepares a transaction where that is not possible."""
    if not has_two_phases(engine):
        pytest.skip(
            "SQLite has no two-phase commit; PostgreSQL where its configuration says"
            " max_prepared_transactions = 10"
        )
