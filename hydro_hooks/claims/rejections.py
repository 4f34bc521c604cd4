"""Events that were refused for good: which they are, and giving them another chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    func,
    insert,
    or_,
    select,
    true,
)

from hydro_hooks.claims.moving import delete_rows
from hydro_hooks.claims.transactions import transaction
from hydro_hooks.journal import Kind, Record
from hydro_hooks.journal.readings import exactly, readings_of
from hydro_hooks.journal.records import Place
from hydro_hooks.journal.rows import full, record_of
from hydro_hooks.outbox import event_in, row_of
from hydro_hooks.tables import outbox, rejected

CHUNK: Final = 500
"""Events that are redriven in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of the rejected events are meant; by default all.

    Args:
        text: A host, a URL or an id that they are about, or their own.
        kind: What the text is; None: whatever it may stand for.
        error: What the reason of their rejection has in it, in any case.
        since: When they were rejected at the earliest, UTC.
        until: When at the latest.
    """

    text: str | None = None
    kind: Kind | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """Return it as SQL over `hydro_rejected`."""
        parts: list[ColumnElement[bool]] = [true()]
        if self.text is not None:
            readings = readings_of(self.text, self.kind)
            parts.append(or_(*(exactly(reading)(rejected) for reading in readings)))
        if self.error is not None:
            parts.append(rejected.c.error.icontains(self.error, autoescape=True))
        if self.since is not None:
            parts.append(rejected.c.rejected_at >= self.since)
        if self.until is not None:
            parts.append(rejected.c.rejected_at <= self.until)
        return and_(*parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """How many events were rejected.

    Args:
        count: How many.
        oldest_at: When the first of them was, UTC; None without any.
        errors: The commonest reasons, each with how many have it; the commonest first.
    """

    count: int
    oldest_at: datetime | None
    errors: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What `redrive()` did.

    Args:
        count: Events that are in the outbox again.
        kept: Ids of those that stay rejected, and why: they are no events of ours.
    """

    count: int
    kept: tuple[tuple[str, str], ...]


def rejected_of(connection: Connection, wanted: Wanted, *, errors: int = 5) -> Rejected:
    """Return how many events are rejected, and for which reasons.

    Args:
        connection: On the app's database.
        wanted: Which of them count.
        errors: Reasons to tell, at most.
    """
    condition = wanted.condition()
    totals = select(func.count(), func.min(rejected.c.rejected_at)).where(condition)
    count, oldest = connection.execute(totals).one()
    number = func.count()
    commonest = (
        select(rejected.c.error, number)
        .where(condition)
        .group_by(rejected.c.error)
        .order_by(number.desc(), rejected.c.error)
        .limit(errors)
    )
    found = connection.execute(commonest).all()
    return Rejected(
        count=count,
        oldest_at=oldest,
        errors=tuple((error, its) for error, its in found),
    )


def rejections(connection: Connection, wanted: Wanted, limit: int) -> list[Record]:
    """Return the events that were rejected last, the oldest of them first.

    Args:
        connection: On the app's database.
        wanted: Which.
        limit: How many at most.
    """
    rows = connection.execute(
        select(*full(rejected, Place.REJECTED))
        .where(wanted.condition())
        .order_by(rejected.c.rejected_at.desc(), rejected.c.seq.desc())
        .limit(limit)
    )
    return [record_of(row) for row in reversed(rows.all())]


def redrive(engine: Engine, wanted: Wanted) -> Redriven:
    """Put rejected events back into the outbox, as they were recorded.

    Safe to repeat, and beside others that do the same: an event is in one of the two
    tables at any moment. Each keeps its number, so that it goes before what came later.

    Args:
        engine: Of the app's database.
        wanted: Which.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says; chunks that were done before
            stay done.
    """
    count, last = 0, 0
    kept: list[tuple[str, str]] = []
    while True:
        with transaction(engine) as connection:
            rows = _next(connection, wanted, last)
            if not rows:
                return Redriven(count=count, kept=tuple(kept))
            last = rows[-1]["seq"]
            back = []
            for row in rows:
                try:
                    its = row_of(event_in(row))
                except ValueError as error:
                    kept.append((row["id"], str(error)))
                else:
                    back.append({**its, "seq": row["seq"], "payload": row["payload"]})
            if back:
                connection.execute(insert(outbox).inline(), back)
                delete_rows(connection, rejected, [row["seq"] for row in back])
            count += len(back)


def _next(connection: Connection, wanted: Wanted, last: int) -> Sequence[Any]:
    return (
        connection.execute(
            select(rejected)
            .where(rejected.c.seq > last, wanted.condition())
            .order_by(rejected.c.seq)
            .limit(CHUNK)
            .with_for_update(skip_locked=True)
        )
        .mappings()
        .all()
    )
