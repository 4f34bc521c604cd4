"""The SQL: one statement a question, over all tables that hold events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import product
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    String,
    Table,
    and_,
    cast,
    func,
    inspect,
    null,
    or_,
    select,
    union_all,
)

from hydro_hooks.cause import Reason
from hydro_hooks.errors import DatabaseError
from hydro_hooks.event import Event
from hydro_hooks.journal.lives import INSTALLATION, Mark
from hydro_hooks.journal.readings import Condition, Reading, exactly
from hydro_hooks.journal.records import (
    Companions,
    DayCount,
    Kind,
    Place,
    Record,
    Unattributed,
)
from hydro_hooks.journal.rows import full, record_of
from hydro_hooks.tables import journal, outbox, rejected
from hydro_hooks.transition import Action

_Value = TypeVar("_Value")

CHUNK: Final = 500
"""Values in one IN; every driver takes that many parameters."""


def held(connection: Connection) -> list[tuple[Table, Place]]:
    """Return the tables that hold events here, and what being in them means."""
    has_table = inspect(connection).has_table
    if not has_table(journal.name):
        message = (
            f"the database has no table {journal.name}; give the app's database"
            " (create_tables(engine), or a migration, makes its tables) or a gateway's"
        )
        raise DatabaseError(message)
    if not has_table(outbox.name):
        return [(journal, Place.RECEIVED)]
    held = [(journal, Place.DELIVERED), (outbox, Place.WAITING)]
    return [*held, (rejected, Place.REJECTED)] if has_table(rejected.name) else held


_Columns = Callable[[Table, Place], list[ColumnElement[Any]]]


def _marks(table: Table, place: Place) -> list[ColumnElement[Any]]:
    app = table.c.settled_by if place is Place.RECEIVED else null()
    return [*(table.c[name] for name in Mark._fields[:-1]), app.label("app")]


class Search:
    """What is read from one database.

    Each question is one statement over all tables: an event that the relay moves from
    one to another meanwhile is seen once, and is seen.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held = held(connection)

    def rows(self, columns: _Columns, condition: Condition) -> Sequence[Row[Any]]:
        """Return the columns of every event that fits the condition."""
        union = union_all(
            *(
                select(*columns(table, place)).where(condition(table))
                for table, place in self._held
            )
        )
        return self._connection.execute(union).all()

    def matching(self, reading: Reading) -> list[Mark]:
        """Return the marks of what a text stands for."""
        return [Mark._make(row) for row in self.rows(_marks, exactly(reading))]

    def same_rows(self, marks: Iterable[Mark]) -> Iterator[Mark]:
        """Yield every mark of the keys that `marks` have."""
        keys: dict[str, set[str]] = {}
        for mark in marks:
            if mark.row is not None:
                keys.setdefault(mark.association, set()).add(mark.row)
        for association, ids in keys.items():
            for chunk in _chunks(sorted(ids)):
                rows = self.rows(_marks, _about(association, chunk))
                yield from (Mark._make(row) for row in rows)

    def records(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Return the records of the events with these numbers."""
        rows = (
            row
            for chunk in _chunks(numbers)
            for row in self.rows(full, _numbered(chunk))
        )
        return {row.seq: record_of(row) for row in rows}

    def one_by_one(self, numbers: Sequence[int]) -> Iterator[Record]:
        """Yield the records of the events with these numbers, in this order."""
        for chunk in _chunks(numbers):
            records = self.records(chunk)
            yield from (records[seq] for seq in chunk if seq in records)

    def newest(
        self,
        conditions: Sequence[Condition],
        *,
        limit: int | None,
        before: int | None = None,
    ) -> list[Record]:
        """Return the newest records that fit, the newest first.

        Args:
            conditions: Any of these.
            limit: So many at most; all when None.
            before: Those with a smaller `seq` only.
        """
        parts = []
        for (table, _), condition in product(self._held, conditions):
            wanted = select(table.c.seq).where(condition(table))
            if before is not None:
                wanted = wanted.where(table.c.seq < before)
            newest = wanted.order_by(table.c.seq.desc()).limit(limit).subquery()
            parts.append(select(newest.c.seq))
        numbers = set(self._connection.scalars(union_all(*parts)))
        chosen = sorted(numbers, reverse=True)[:limit]
        records = self.records(chosen)
        return [records[seq] for seq in chosen if seq in records]

    def transactions(self, ids: Iterable[str]) -> dict[str, tuple[Companions, ...]]:
        """Return what transactions did."""
        counts: dict[str, Counter[tuple[str, str]]] = {}
        for chunk in _chunks(sorted(ids)):
            reading = Reading(Kind.TRANSACTION, tuple(chunk))
            for row in self.rows(_what, exactly(reading)):
                its = counts.setdefault(row.transaction_id, Counter())
                its[row.association, row.action] += 1
        return {
            each: tuple(
                Companions(association=association, action=Action(action), count=count)
                for (association, action), count in sorted(its.items())
            )
            for each, its in counts.items()
        }

    def counts(self, condition: Condition) -> list[DayCount]:
        """Return how many events fit, by day, action and reason."""
        day = _DAYS[self._connection.dialect.name]
        what = [
            select(
                day(table.c.occurred_at).label("day"), table.c.action, table.c.reason
            ).where(condition(table))
            for table, _ in self._held
        ]
        every = union_all(*what).subquery()
        columns = (every.c.day, every.c.action, every.c.reason)
        statement = select(*columns, func.count().label("events")).group_by(*columns)
        return [
            DayCount(
                day=date.fromisoformat(row.day),
                action=Action(row.action),
                reason=row.reason,
                count=row.events,
            )
            for row in self._connection.execute(statement)
        ]

    def unattributed(self, condition: Condition) -> list[Unattributed]:
        """Return the places in the program whose changes bear no reason."""
        parts = [
            select(table.c.origin, table.c.occurred_at).where(
                table.c.reason == Reason.UNATTRIBUTED, condition(table)
            )
            for table, _ in self._held
        ]
        them = union_all(*parts).subquery()
        its = them.c.occurred_at
        statement = select(
            them.c.origin,
            func.count().label("count"),
            func.min(its).label("first_at"),
            func.max(its).label("last_at"),
        ).group_by(them.c.origin)
        rows = self._connection.execute(statement).mappings()
        places = [Unattributed(**row) for row in rows]
        return sorted(places, key=lambda each: (-each.count, each.origin or ""))

    def companions(self, event: Event) -> tuple[Companions, ...]:
        """Return what else the transaction of an event did."""
        if event.transaction_id is None:
            return ()
        its = (event.association, event.action)
        done = self.transactions({event.transaction_id}).get(event.transaction_id, ())
        others = [
            replace(each, count=each.count - ((each.association, each.action) == its))
            for each in done
        ]
        return tuple(each for each in others if each.count)


def _day_of_text(moment: ColumnElement[Any]) -> ColumnElement[str]:
    return func.substr(cast(moment, String), 1, 10)


def _day_in_utc(moment: ColumnElement[Any]) -> ColumnElement[str]:
    return func.to_char(func.timezone("UTC", moment), "YYYY-MM-DD")


def _day_of_moment(moment: ColumnElement[Any]) -> ColumnElement[str]:
    return cast(func.date(moment), String(10))


_DAYS: Final = {
    "sqlite": _day_of_text,
    "postgresql": _day_in_utc,
    "mysql": _day_of_moment,
    "mariadb": _day_of_moment,
}
"""By dialect, what gives the day of a moment as text."""


def _what(table: Table, _: Place) -> list[ColumnElement[Any]]:
    return [table.c.association, table.c.action, table.c.transaction_id]


def _numbered(numbers: Sequence[int]) -> Condition:
    return lambda table: table.c.seq.in_(numbers)


def _about(association: str, rows: Sequence[str]) -> Condition:
    def condition(table: Table) -> ColumnElement[bool]:
        columns = table.c
        same: ColumnElement[bool] = columns.subject_id.in_(rows)
        if association == INSTALLATION:
            named = columns.jira_integration_id.in_(rows)
            same = or_(same, and_(columns.subject_id.is_(None), named))
        return and_(columns.association == association, same)

    return condition


def _chunks(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
