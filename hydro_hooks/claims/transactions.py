"""Transactions fit for claiming, and the clock that leases go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Interval,
    String,
    cast,
    func,
    literal_column,
    update,
)
from sqlalchemy.exc import DBAPIError

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.tables import UtcDateTime, shard
from hydro_hooks.write_lock import begin_immediate

_NOTHING: Final = update(shard).where(shard.c.shard < 0).values(attempts=0)
_SQLITE_FORMAT: Final = "%Y-%m-%d %H:%M:%f000"
_CLOCKS: Final = {
    "sqlite": f"strftime('{_SQLITE_FORMAT}', 'now')",
    "postgresql": "clock_timestamp()",
    "mysql": "UTC_TIMESTAMP(6)",
    "mariadb": "UTC_TIMESTAMP(6)",
}


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        try:
            yield connection
        except DBAPIError:
            # Not back into the pool: the session itself may be at fault, and stay so,
            # such as one with a server that only reads since the other took over.
            if engine.dialect.name != "sqlite":
                connection.invalidate()
            raise


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction fit for claiming; commit, or roll back."""
    with _connection(engine) as connection:
        if engine.dialect.name != "sqlite":
            connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            if engine.dialect.name == "sqlite":
                begin_immediate(connection, _NOTHING)
            yield connection


def fetch(
    engine: Engine, statement: Any, parameters: Mapping[str, Any] | None = None
) -> Sequence[Any]:
    """Return the rows of a statement that is a transaction of its own.

    Of a SELECT that locks nothing, and waits for nobody; or of one that does all that
    there is to do.
    """
    with _connection(engine) as connection:
        if engine.dialect.name != "sqlite":
            # At SERIALIZABLE, MariaDB would lock what is only looked at; and nothing
            # has to be begun and ended.
            connection.execution_options(isolation_level="AUTOCOMMIT")
        return connection.execute(statement, parameters).all()


def clock(
    dialect: str, ahead: BindParameter[int] | None = None
) -> ColumnElement[datetime]:
    """Return the database's time, UTC.

    Args:
        dialect: The dialect's name.
        ahead: Microseconds to add; the time is NULL where they are.

    Raises:
        ConfigurationError: It is no database that the relay knows.
    """
    if dialect not in _CLOCKS:
        message = (
            f"the relay cannot work on {dialect}: it knows SQLite, PostgreSQL, MariaDB"
            " and MySQL"
        )
        raise ConfigurationError(message)
    now = literal_column(_CLOCKS[dialect], UtcDateTime())
    if ahead is None:
        return now
    if dialect == "postgresql":
        return now + ahead * literal_column("INTERVAL '1 microsecond'", Interval())
    if dialect == "sqlite":
        seconds = cast(ahead, Float) / 1e6
        modifier = cast(seconds, String) + " seconds"
        return func.strftime(_SQLITE_FORMAT, "now", modifier, type_=UtcDateTime())
    unit: ColumnElement[str] = literal_column("MICROSECOND")
    return func.timestampadd(unit, ahead, now, type_=UtcDateTime())
