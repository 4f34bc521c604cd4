"""The gateway's engine: a database that is durable, shared, and never waited for long.

A sender gives up after some seconds; the gateway says "not now" (503) before that.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from hydro_hooks.creation import create_gateway_tables
from hydro_hooks.errors import ConfigurationError, DatabaseError
from hydro_hooks.web.store import WRITES

MAX_WAIT_SECONDS: Final = 5
"""The longest wait for a lock, or for a connection of the pool."""

_EXTRAS: Final = {"postgresql": "postgresql", "mysql": "mariadb", "mariadb": "mariadb"}
_TRIES: Final = 5


def open_store(url: str | URL) -> Engine:
    """Return an engine on the gateway's database; makes its tables where missing.

    Args:
        url: SQLAlchemy's URL of a database of the gateway's own: a file of SQLite,
            PostgreSQL, MySQL or MariaDB, through a driver that is not asyncio's.

    Raises:
        ConfigurationError: The URL is none of these; the message does not quote it.
        DatabaseError: It cannot be opened, or it belongs to an app.
    """
    address = _address(url)
    engine = _new_engine(address)
    try:
        _create_tables(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        said = error.orig if isinstance(error, DBAPIError) else type(error).__name__
        message = f"the store {address!r} cannot be opened: {said}"
        raise DatabaseError(message) from None
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def _address(url: str | URL) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        message = (
            "the store's URL is not one of SQLAlchemy's; give one such as"
            " sqlite:///gateway.db"
        )
        raise ConfigurationError(message) from None
    if backend not in {"sqlite", *_EXTRAS}:
        message = (
            f"the store's URL is for {backend!r}; give one for sqlite, postgresql or"
            " mariadb"
        )
        raise ConfigurationError(message)
    if backend == "sqlite" and _is_in_memory(address):
        message = (
            "the store would be in memory and gone with the process; give the path of a"
            " file, as in sqlite:///gateway.db"
        )
        raise ConfigurationError(message)
    return address


def _is_in_memory(address: URL) -> bool:
    database = address.database or ""
    is_memory_uri = database.startswith("file:") and "memory" in str(address)
    return database in {"", ":memory:"} or is_memory_uri


def _new_engine(address: URL) -> Engine:
    backend = address.get_backend_name()
    # Parameters would be quoted in errors: they are what the senders sent.
    options: dict[str, Any] = {
        "hide_parameters": True,
        "pool_timeout": MAX_WAIT_SECONDS,
    }
    if backend == "sqlite":
        wait = address.query.get("timeout", MAX_WAIT_SECONDS)
        options["connect_args"] = {"timeout": float(str(wait))}
    else:
        options |= {"isolation_level": "READ COMMITTED", "pool_pre_ping": True}
    try:
        engine = create_engine(address, **options)
    except (ImportError, NoSuchModuleError) as error:
        extra = _EXTRAS.get(backend, "gateway")
        message = (
            f"the driver of {address.drivername} is missing ({error});"
            f" pip install 'hydro-hooks[{extra}]', or name another driver"
        )
        raise ConfigurationError(message) from None
    if engine.dialect.is_async:
        message = f"{address.drivername} is asyncio's; the gateway needs a plain driver"
        raise ConfigurationError(message)
    _listen(engine)
    return engine


def _listen(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _prepare_postgresql)
    else:
        event.listen(engine, "connect", _prepare_mysql)


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes late; _begin_sqlite() says it instead.
    dbapi_connection.isolation_level = None
    _execute(
        dbapi_connection,
        # With WAL a page is read while a request is written; FULL, since its default
        # elsewhere (NORMAL) may lose the last commits when the power fails.
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
    )


def _begin_sqlite(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get(WRITES, False)
    # IMMEDIATE: a transaction that first reads and then writes is refused at once,
    # without waiting, when another wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _prepare_postgresql(dbapi_connection: Any, _record: object) -> None:
    _execute(dbapi_connection, f"SET lock_timeout = '{MAX_WAIT_SECONDS}s'")
    dbapi_connection.commit()  # else the pool's first rollback takes it back


def _prepare_mysql(dbapi_connection: Any, _record: object) -> None:
    wait = f"SET SESSION innodb_lock_wait_timeout = {MAX_WAIT_SECONDS}"
    _execute(dbapi_connection, wait)


def _execute(dbapi_connection: Any, *statements: str) -> None:
    cursor = dbapi_connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
    finally:
        cursor.close()


def _create_tables(engine: Engine) -> None:
    """Create the tables; another gateway on the same database may do so right now."""
    for tries_left in reversed(range(_TRIES)):
        try:
            create_gateway_tables(engine)
        except DBAPIError:
            if not tries_left:
                raise
            time.sleep(0.1)
        else:
            return
