"""Connections that cannot write: what a page asks, it only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction in which the database refuses every write.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: What the database says.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            with _query_only(connection):
                yield connection
        else:
            # Where an app's engine commits by itself, each statement were its own.
            connection.execution_options(isolation_level="READ COMMITTED")
            # For the transaction that the next statement is in, and no other.
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection
        connection.rollback()


@contextmanager
def _query_only(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("PRAGMA query_only = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA query_only = OFF")
