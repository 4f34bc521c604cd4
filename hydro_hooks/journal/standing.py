"""How each subject stands by what is recorded of it, be it waiting, refused or kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    Text,
    any_,
    cast,
    func,
    select,
    union_all,
)

from hydro_hooks.event import Event
from hydro_hooks.journal.records import Place
from hydro_hooks.journal.rows import full, record_of
from hydro_hooks.tables import journal, outbox, rejected
from hydro_hooks.transition import State

PAGE: Final = 1000
"""Subjects, and rows of them, that are looked at in one go."""

_BY_INDEX: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Plans are dear by that, which is no reason to compile them, or to start workers.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

_PLACES: Final = {
    outbox: Place.WAITING,
    journal: Place.DELIVERED,
    rejected: Place.REJECTED,
}


class Standing(NamedTuple):
    """The last event of a subject.

    Attributes:
        seq: Its number.
        state: What the subject is since then.
        occurred_at: When it happened, UTC.
    """

    seq: int
    state: State
    occurred_at: datetime


def search_by_index(connection: Connection) -> None:
    """Have PostgreSQL search by index to the end of the transaction.

    Of a table that it has no statistics of yet, such as an outbox that a baseline has
    just filled, it would read all of it for each page.
    """
    if connection.dialect.name == "postgresql":
        settings = (func.set_config(*one, True) for one in _BY_INDEX.items())  # noqa: FBT003 - the function's own
        connection.execute(select(*settings))


def standings(
    connection: Connection,
    association: str,
    subject_ids: Sequence[str],
) -> dict[str, Standing]:
    """Return how subjects stand; one of which nothing is recorded is left out.

    Args:
        connection: On an app's database.
        association: Of all of them.
        subject_ids: At most `PAGE`.
    """
    dialect = connection.dialect.name
    # In one statement: an event that is moved meanwhile is seen once.
    statement = union_all(
        *(
            _last_in(
                table,
                table.c.association == association,
                _is_among(table.c.subject_id, subject_ids, dialect),
            )
            for table in _PLACES
        )
    )
    found: dict[str, Standing] = {}
    for row in connection.execute(statement):
        known = found.get(row.subject_id)
        if known is None or known.seq < row.seq:
            found[row.subject_id] = Standing(row.seq, State(row.state), row.occurred_at)
    return found


def _is_among(
    column: ColumnElement[str], texts: Sequence[str], dialect: str
) -> ColumnElement[bool]:
    """Return the condition that a column is one of many texts.

    As one parameter where that can be: thousands, three times over, cost a driver more
    than the database takes to search.
    """
    if dialect == "postgresql":
        return column == any_(cast(list(texts), ARRAY(Text())))
    if dialect == "sqlite":
        each = func.json_each(json.dumps(texts)).table_valued("value")
        return column.in_(select(each.c.value))
    return column.in_(texts)


def _last_in(
    table: Table, *conditions: ColumnElement[bool]
) -> Select[tuple[str, int, str, datetime]]:
    seq = func.max(table.c.seq).label("seq")
    last = select(seq).where(*conditions).group_by(table.c.subject_id).subquery()
    return select(
        table.c.subject_id, table.c.seq, table.c.state, table.c.occurred_at
    ).join_from(last, table, table.c.seq == last.c.seq)


def last_events(
    connection: Connection, known: Sequence[Standing]
) -> dict[str | None, Event]:
    """Return the events of standings, by subject.

    Args:
        connection: On an app's database.
        known: At most a thousand, of one association.
    """
    seqs = [standing.seq for standing in known]
    statement = union_all(
        *(
            select(*full(table, place)).where(table.c.seq.in_(seqs))
            for table, place in _PLACES.items()
        )
    )
    records = map(record_of, connection.execute(statement))
    return {record.event.subject_id: record.event for record in records}


def subjects(engine: Engine, association: str) -> Iterator[list[str]]:
    """Yield pages of the subjects of which anything is recorded.

    One is told twice where its events are in several tables. No transaction is open
    between pages. An event that is moved meanwhile is met where it comes from or where
    it goes to.

    Args:
        engine: On an app's database.
        association: Of the subjects.
    """
    # Against the way of an event, which is put back from the rejected ones into the
    # outbox, leaves it to be rejected again, and ends in the journal.
    for table in (rejected, outbox, rejected):
        seq = 0
        # Not beyond: writers may add to it faster than it is read.
        [(end,)] = _fetched(engine, select(func.max(table.c.seq)))
        while rows := _fetched(engine, _between(table, association, seq, end or 0)):
            seq = rows[-1].seq
            yield list(dict.fromkeys(row.subject_id for row in rows))
    last = ""
    while page := _in_journal(engine, association, last):
        last = page[-1]
        yield page


def _in_journal(engine: Engine, association: str, last: str) -> list[str]:
    # By its index on subjects, which gives each group without reading its events.
    statement = (
        select(journal.c.subject_id)
        .where(journal.c.association == association, journal.c.subject_id > last)
        .group_by(journal.c.subject_id)
        .order_by(journal.c.subject_id)
        .limit(PAGE)
    )
    return [row.subject_id for row in _fetched(engine, statement)]


def _between(
    table: Table, association: str, seq: int, end: int
) -> Select[tuple[int, str]]:
    return (
        select(table.c.seq, table.c.subject_id)
        .where(table.c.seq > seq, table.c.seq <= end)
        .where(table.c.association == association)
        .order_by(table.c.seq)
        .limit(PAGE)
    )


def _fetched(engine: Engine, statement: Select[Any]) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        search_by_index(connection)
        return connection.execute(statement).all()
