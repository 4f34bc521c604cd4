"""Why events wait: the last fault of each shard, and until when it is left alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, exists, func, select, update

from hydro_hooks.claims.transactions import clock, fetch, transaction
from hydro_hooks.tables import outbox, shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why the events of a shard wait.

    Args:
        count: How many of them wait.
        leased_until: When the lease ends under which a relay works on them, UTC; None
            when none does.
        not_before: When they are tried again, UTC; None when they may be at once.
        fault: Why the last try failed; None when it did not, or there was none.
    """

    count: int
    leased_until: datetime | None
    not_before: datetime | None
    fault: str | None


def waits(engine: Engine) -> list[Wait]:
    """Return why events wait, for each shard that has any.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    counts = (
        select(outbox.c.shard, func.count().label("count"))
        .group_by(outbox.c.shard)
        .subquery()
    )
    statement = select(
        counts.c.count.label("events"),
        shard.c.leased_until,
        shard.c.not_before,
        shard.c.fault,
        clock(engine.dialect.name).label("now"),
    ).join_from(counts, shard, counts.c.shard == shard.c.shard, isouter=True)
    return [
        Wait(
            count=row.events,
            leased_until=_if_ahead(row.leased_until, row.now),
            not_before=_if_ahead(row.not_before, row.now),
            fault=row.fault,
        )
        for row in fetch(engine, statement)
    ]


def _if_ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return None if moment is None or moment <= now else moment


def other_faults(engine: Engine, numbers: Collection[int]) -> frozenset[str]:
    """Return why events of other shards than these wait.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    has_events = exists().where(outbox.c.shard == shard.c.shard)
    statement = select(shard.c.fault).where(
        shard.c.fault.is_not(None), shard.c.shard.not_in(numbers), has_events
    )
    return frozenset(fault for (fault,) in fetch(engine, statement))


def lift_holds(engine: Engine) -> None:
    """End the pauses after configuration faults: somebody had time to mend them.

    A pause after a passing fault stays, as does one that the gateway asked for.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    is_paused = (shard.c.is_held.is_(True), shard.c.not_before.is_not(None))
    if not fetch(engine, select(shard.c.shard).where(*is_paused)):
        return  # as nearly always; no lock is taken then
    with transaction(engine) as connection:
        connection.execute(update(shard).where(*is_paused).values(not_before=None))
