"""The events that an app recorded, for the assertions of its tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.orm import Session

from hydro_hooks.event import Event
from hydro_hooks.outbox import event_in
from hydro_hooks.tables import journal, outbox, rejected


def recorded(bind: Engine | Connection | Session) -> list[Event]:
    """Return the events that wait in the outbox, the first recorded first.

    Of an `AsyncSession`: `await session.run_sync(recorded)`.

    Args:
        bind: On the app's database. A session or connection that is in a transaction
            sees what that transaction sees.
    """
    with _connection(bind) as connection:
        rows = _rows(connection, outbox)
    return [event_in(rows[seq]) for seq in sorted(rows)]


@contextlib.contextmanager
def capture_events(bind: Engine | Connection | Session) -> Iterator[list[Event]]:
    """Give the events that were recorded and committed while the block ran.

    The list is filled when the block ends, the first recorded first. Events that a
    relay has delivered in the meantime are among them.

    Args:
        bind: As for `recorded()`.
    """
    events: list[Event] = []
    before = _everywhere(bind).keys()
    yield events
    after = _everywhere(bind)
    # By number, not from a mark on: a number is drawn before its commit.
    events.extend(event_in(after[seq]) for seq in sorted(after.keys() - before))


def _everywhere(bind: Engine | Connection | Session) -> dict[int, Any]:
    """Return the rows of the outbox, and of where the relay moves them, by `seq`."""
    with _connection(bind) as connection:
        # The outbox first: what moves while this reads is then seen at least once.
        waiting = _rows(connection, outbox)
        return waiting | _rows(connection, rejected) | _rows(connection, journal)


def _rows(connection: Connection, table: Table) -> dict[int, Any]:
    # Any: a row's values are of the types of its columns.
    columns = (table.c.seq, table.c.payload, table.c.occurred_at)
    found = connection.execute(select(*columns)).mappings()
    return {row["seq"]: row for row in found}


@contextlib.contextmanager
def _connection(bind: Engine | Connection | Session) -> Iterator[Connection]:
    """Give a connection to read with, and leave the bind as it was."""
    if isinstance(bind, Session):
        if bind.in_transaction() and bind.is_active:
            # Its own: SQLite in memory has one connection for all, and giving that
            # back would roll the session's work back.
            yield bind.connection()
            return
        bind = bind.get_bind()
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            yield connection
        return
    is_idle = not bind.in_transaction()
    try:
        yield bind
    finally:
        if is_idle:
            bind.rollback()
