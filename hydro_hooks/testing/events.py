"""The events that an app recorded, for the assertions of its tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.orm import Session, scoped_session

from hydro_hooks.binds import check_bind
from hydro_hooks.creation import naming_missing_tables
from hydro_hooks.event import Event
from hydro_hooks.outbox import event_in
from hydro_hooks.tables import journal, outbox, rejected

Bind: TypeAlias = "Engine | Connection | Session | scoped_session[Any]"

_IN_ASYNC: Final = {
    "recorded()": "await session.run_sync(recorded)",
    "capture_events()": (
        'give it an engine of its own, create_engine("postgresql+psycopg://...")'
    ),
}
"""What to do in an asynchronous program, by the function that is called."""


def recorded(bind: Bind) -> list[Event]:
    """Return the events that wait in the outbox, the first recorded first.

    Of an `AsyncSession`: `await session.run_sync(recorded)`.

    Args:
        bind: On the app's database. A session or connection that is in a transaction
            sees what that transaction sees.

    Raises:
        DatabaseError: It lacks one of our tables.
        TypeError: It is none of these, or asynchronous.
    """
    with _connection("recorded()", bind) as connection:
        rows = _rows(connection, outbox)
    return [event_in(rows[seq]) for seq in sorted(rows)]


@contextlib.contextmanager
def capture_events(bind: Bind) -> Iterator[list[Event]]:
    """Give the events that were recorded and committed while the block ran.

    The list is filled when the block ends, the first recorded first. Events that a
    relay has delivered in the meantime are among them.

    Args:
        bind: As for `recorded()`.

    Raises:
        DatabaseError: As for `recorded()`.
        TypeError: As for `recorded()`.
    """
    events: list[Event] = []
    before = _everywhere(bind).keys()
    yield events
    after = _everywhere(bind)
    # By number, not from a mark on: a number is drawn before its commit.
    events.extend(event_in(after[seq]) for seq in sorted(after.keys() - before))


def _everywhere(bind: Bind) -> dict[int, Any]:
    """Return the rows of the outbox, and of where the relay moves them, by `seq`."""
    with _connection("capture_events()", bind) as connection:
        # The outbox first: what moves while this reads is then seen at least once.
        waiting = _rows(connection, outbox)
        return waiting | _rows(connection, rejected) | _rows(connection, journal)


def _rows(connection: Connection, table: Table) -> dict[int, Any]:
    # Any: a row's values are of the types of its columns.
    columns = (table.c.seq, table.c.payload, table.c.occurred_at)
    found = connection.execute(select(*columns)).mappings()
    return {row["seq"]: row for row in found}


@contextlib.contextmanager
def _connection(caller: str, bind: Bind) -> Iterator[Connection]:
    """Give a connection to read with, and leave the bind as it was."""
    in_async = _IN_ASYNC[caller]
    session = bind() if isinstance(bind, scoped_session) else bind
    check_bind(caller, session, Engine, Connection, Session, in_async=in_async)
    place = session.get_bind() if isinstance(session, Session) else session
    check_bind(caller, place, Engine, Connection, in_async=in_async)
    with naming_missing_tables(place):
        if isinstance(session, Session) and (
            session.in_transaction() and session.is_active
        ):
            # Its own: SQLite in memory has one connection for all, and giving that
            # back would roll the session's work back.
            yield session.connection()
        elif isinstance(place, Engine):
            with place.connect() as connection:
                yield connection
        else:
            is_idle = not place.in_transaction()
            try:
                yield place
            finally:
                if is_idle:
                    place.rollback()
