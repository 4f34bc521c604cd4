"""The journal as a whole: written out, and shortened where somebody wants that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, true

from hydro_hooks.journal.records import Place, Record
from hydro_hooks.journal.rows import full, record_of
from hydro_hooks.journal.search import held
from hydro_hooks.tables import journal, request
from hydro_hooks.transition import State

CHUNK: Final = 1000
"""Events that are read, or pruned, at once."""


def export(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Record]:
    """Yield the events of the journal by their number, never many at once.

    Args:
        connection: On an app's database, or a gateway's.
        since: When they occurred at the earliest, UTC.
        until: When at the latest.

    Raises:
        DatabaseError: The database has no journal.
    """
    [place] = [place for table, place in held(connection) if table is journal]
    condition: ColumnElement[bool] = true()
    if since is not None:
        condition &= journal.c.occurred_at >= since
    if until is not None:
        condition &= journal.c.occurred_at <= until
    last = 0
    while True:
        rows = connection.execute(
            select(*full(journal, place))
            .where(journal.c.seq > last, condition)
            .order_by(journal.c.seq)
            .limit(CHUNK)
        ).all()
        if not rows:
            return
        last = rows[-1].seq
        yield from map(record_of, rows)


def count_before(connection: Connection, before: datetime) -> int:
    """Return how many events `prune()` would delete.

    Raises:
        DatabaseError: The database has no journal.
    """
    statement = select(func.count()).where(_may_go(connection, before))
    return connection.execute(statement.select_from(journal)).scalar_one()


def prune(
    engine: Engine, before: datetime, progress: Callable[[int], object] | None = None
) -> int:
    """Delete the events of the journal that occurred before a moment, for ever.

    Those that wait or were rejected are in other tables and stay. In an app's database
    the last event of each subject that is there by it stays, too: without it, nothing
    would be known of a row that lives. At a gateway the requests go whose last event
    goes. In many short transactions.

    Args:
        engine: Of an app's database, or a gateway's.
        before: The moment, UTC.
        progress: Told after each transaction how many it deleted.

    Returns:
        How many.

    Raises:
        DatabaseError: The database has no journal.
        sqlalchemy.exc.DBAPIError: What the database says; what was deleted before
            stays deleted.
    """
    with engine.connect() as connection:
        condition = _may_go(connection, before)
    count = last = 0
    while True:
        with engine.begin() as connection:
            rows = connection.execute(
                select(journal.c.seq, journal.c.request_id)
                .where(condition, journal.c.seq > last)
                .order_by(journal.c.seq)
                .limit(CHUNK)
            ).all()
            if not rows:
                return count
            numbers = [row.seq for row in rows]
            last = numbers[-1]
            connection.execute(delete(journal).where(journal.c.seq.in_(numbers)))
            _delete_requests(connection, {row.request_id for row in rows} - {None})
        count += len(rows)
        if progress is not None:
            progress(len(rows))


def _may_go(connection: Connection, before: datetime) -> ColumnElement[bool]:
    """Return the condition of the events that `prune()` deletes.

    Raises:
        DatabaseError: The database has no journal.
    """
    is_old = journal.c.occurred_at < before
    if [place for _, place in held(connection)] == [Place.RECEIVED]:
        return is_old
    later = journal.alias()
    is_last = ~(
        select(later.c.seq)
        .where(later.c.subject_id == journal.c.subject_id)
        .where(later.c.association == journal.c.association)
        .where(later.c.seq > journal.c.seq)
        .exists()
    )
    return is_old & ~(is_last & (journal.c.state != State.ABSENT))


def _delete_requests(connection: Connection, ids: set[Any]) -> None:
    """Delete the requests of these that no event is left of."""
    if not ids:
        return
    is_left = select(journal.c.seq).where(journal.c.request_id == request.c.id).exists()
    connection.execute(delete(request).where(request.c.id.in_(ids), ~is_left))
