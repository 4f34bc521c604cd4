"""The questions that are asked of a journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, inspect, select

from hydro_hooks.journal.finding import find
from hydro_hooks.journal.lives import (
    INSTALLATION,
    beside,
    first,
    last_of,
    latest,
    neighbours,
)
from hydro_hooks.journal.queries import EVERYTHING, Filters, Query
from hydro_hooks.journal.readings import (
    Condition,
    alternatives,
    fitting,
    readings_of,
    uuid_in,
)
from hydro_hooks.journal.records import (
    Answer,
    Companions,
    Coverage,
    DayCount,
    History,
    Kind,
    Place,
    Record,
    StoredRequest,
    Unattributed,
)
from hydro_hooks.journal.rows import full, record_of
from hydro_hooks.journal.search import CHUNK, Search, held
from hydro_hooks.tables import journal, request

OTHERS: Final = 10
"""Other installations of one host whose states are told at most."""


def why(
    connection: Connection, query: Query, *, at: datetime | None = None
) -> Answer | None:
    """Return why the installation that a text names is as it is, or was.

    Args:
        connection: To an app's database or a gateway's; only read.
        query: Its text: a host or URL, a Jira integration id, a GitHub installation
            id, the id of an event or of a transaction. Of the last two the answer is
            that very transition, unless `at` is given. With filters it is the newest
            transition that they let pass.
        at: The moment asked for; now when None.

    Returns:
        None when nothing is held of it, or it is an actor. Of several installations
        over time the one that is there at `at`, else the last one.

    Raises:
        DatabaseError: The database has no journal.
    """
    search = Search(connection)
    found = find(search, query.text, query.kind)
    if found is None or found.kind is Kind.ACTOR:
        return None
    lives = [life for life in found.lives if life.association == INSTALLATION]
    lives = lives or found.lives
    is_named = at is None and found.kind in {Kind.EVENT, Kind.TRANSACTION}
    mark = first(lives, found.matched) if is_named else latest(lives, at, found.matched)
    if query.filters:
        filters = query.filters if at is None else query.filters.by(at)
        mark = last_of(lives, filters.let_pass)
    before, after = neighbours(lives, mark)
    others = () if mark is None or is_named else beside(lives, mark, at)
    marks = (mark, before, after)
    wanted = [each for each in (*marks, *others[:OTHERS]) if each is not None]
    records = search.records([each.seq for each in wanted])
    record, earlier, later = (
        None if each is None else records.get(each.seq) for each in marks
    )
    return Answer(
        taken_for=found.kind,
        also=found.also,
        record=record,
        before=earlier,
        after=later,
        companions=() if record is None else search.companions(record.event),
        others=tuple(records[each.seq] for each in others[:OTHERS]),
        more=max(len(others) - OTHERS, 0),
        is_present=any(life.marks[-1] == mark and not life.until for life in lives),
    )


def history(
    connection: Connection,
    query: Query,
    *,
    at: datetime | None = None,
    limit: int | None = None,
    actors: bool = True,
) -> History | None:
    """Return what happened: to everything that a text names, or to whatever fits.

    Args:
        connection: As for `why()`, as is the error.
        query: What is asked for. An actor's name stands for all that he or she did.
        at: Leave out what happened after this moment.
        limit: The newest so many; all of them when None.
        actors: The text may be an actor's name.

    Returns:
        None when nothing is held of the text, whatever the filters say.
    """
    search = Search(connection)
    filters = query.filters if at is None else query.filters.by(at)
    if not query.text:
        return _listed(search, alternatives(filters), None, limit)
    found = find(search, query.text, query.kind)
    if found is None or (found.kind is Kind.ACTOR and not actors):
        return None
    if found.kind is Kind.ACTOR:
        its = alternatives(filters, found.reading)
        return _listed(search, its, Kind.ACTOR, limit)
    numbers = [mark.seq for mark in found.listed if filters.let_pass(mark)]
    chosen = numbers if limit is None else numbers[max(len(numbers) - limit, 0) :]
    records = search.records(chosen)
    return History(
        taken_for=found.kind,
        also=found.also,
        records=tuple(records[seq] for seq in chosen if seq in records),
        older=len(numbers) - len(chosen),
    )


def _listed(
    search: Search,
    conditions: Sequence[Condition],
    kind: Kind | None,
    limit: int | None,
) -> History:
    """Return the newest that fit, which may be more than anybody counts."""
    records = search.newest(conditions, limit=None if limit is None else limit + 1)
    is_cut = limit is not None and len(records) > limit
    return History(
        taken_for=kind,
        also=(),
        records=tuple(reversed(records[:limit])),
        older=None if is_cut else 0,
    )


def newest_first(connection: Connection, query: Query) -> Iterator[Record]:
    """Yield every record that is asked for, the newest first, never many at once.

    Args:
        connection: As for `why()`, as is the error.
        query: As for `history()`.
    """
    search = Search(connection)
    found = find(search, query.text, query.kind) if query.text else None
    if found is not None and found.kind is not Kind.ACTOR:
        its = [mark.seq for mark in found.listed if query.filters.let_pass(mark)]
        yield from search.one_by_one(its[::-1])
        return
    before = None
    while records := newest(connection, query, limit=CHUNK, before=before):
        yield from records
        before = records[-1].seq


def newest(
    connection: Connection,
    query: Query,
    *,
    limit: int,
    before: int | None = None,
) -> list[Record]:
    """Return the newest records that filters let pass, the newest first.

    Args:
        connection: As for `why()`, as is the error.
        query: Its text is of its kind, or an actor's name; empty: of everything.
        limit: So many at most.
        before: Those with a smaller `seq` only: what comes after a list's last.
    """
    named = readings_of(query.text, query.kind or Kind.ACTOR) if query.text else [None]
    if not named:  # such as an event's id that is no UUID
        return []
    its = alternatives(query.filters, named[0])
    return Search(connection).newest(its, limit=limit, before=before)


def transactions(
    connection: Connection, ids: Collection[str]
) -> dict[str, tuple[Companions, ...]]:
    """Return what transactions did, by their ids; of those that are held.

    Args:
        connection: As for `why()`, as is the error.
        ids: UUIDs.
    """
    return Search(connection).transactions(ids)


def companions(connection: Connection, record: Record) -> tuple[Companions, ...]:
    """Return what else the transaction of a record did.

    Args:
        connection: As for `why()`, as is the error.
        record: Whose.
    """
    return Search(connection).companions(record.event)


def counts(connection: Connection, filters: Filters) -> list[DayCount]:
    """Return how many events filters let pass, by day, action and reason, in no order.

    Args:
        connection: As for `why()`, as is the error.
        filters: With a `since`, lest all that is held has to be counted.
    """
    return Search(connection).counts(fitting(filters))


def unattributed(
    connection: Connection, filters: Filters = EVERYTHING
) -> list[Unattributed]:
    """Return which places in the program changed rows without a reason.

    Args:
        connection: As for `why()`, as is the error.
        filters: Which of these changes.

    Returns:
        The most frequent first.
    """
    return Search(connection).unattributed(fitting(filters))


def by_event_id(connection: Connection, text: str) -> Record | None:
    """Return the record of one event; None when it is not held.

    Raises:
        DatabaseError: The database has no journal.
    """
    event_id = uuid_in(text)
    if event_id is None:
        return None
    records = Search(connection).rows(full, lambda table: table.c.id == event_id)
    return next((record_of(row) for row in records), None)


def request_of(connection: Connection, record: Record) -> StoredRequest | None:
    """Return the request that brought a record; None where none is kept."""
    if record.request_id is None or not inspect(connection).has_table(request.name):
        return None
    it = request.c
    statement = select(it.received_at, it.app, it.authorization, it.body)
    row = connection.execute(statement.where(it.id == record.request_id)).first()
    if row is None:
        return None
    return StoredRequest(
        received_at=row[0], app=row[1], authorization=row[2], body=bytes(row[3])
    )


def coverage(connection: Connection) -> Coverage:
    """Return what the database can know of.

    Raises:
        DatabaseError: The database has no journal.
    """
    moments: list[datetime] = []
    counted: dict[Place, int] = {}
    oldest = None
    for table, place in held(connection):
        its = table.c.occurred_at
        for end in (func.min(its), func.max(its)):  # one by one an index has them
            moment = connection.scalar(select(end))
            moments += [] if moment is None else [moment]
        if table is not journal:  # the journal may be too long to count
            count = select(func.count()).select_from(table)
            counted[place] = connection.execute(count).scalar_one()
        if place is Place.WAITING:
            first = select(table.c.occurred_at).order_by(table.c.seq).limit(1)
            oldest = connection.scalar(first)
    return Coverage(
        earliest=min(moments, default=None),
        newest=max(moments, default=None),
        waiting=counted.get(Place.WAITING),
        oldest_waiting=oldest,
        rejected=counted.get(Place.REJECTED),
    )
