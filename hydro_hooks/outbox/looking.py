"""What waits in the outbox, and what was recorded last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from hydro_hooks.event import Event
from hydro_hooks.outbox.rows import OURS, event_in
from hydro_hooks.tables import journal, outbox, rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is recorded and not delivered yet.

    Args:
        count: Events in the outbox.
        oldest_occurred_at: When the first of them occurred, UTC; None without any.
    """

    count: int
    oldest_occurred_at: datetime | None


def waiting(connection: Connection) -> Waiting:
    """Return how many events wait for delivery, and since when."""
    first = select(outbox.c.occurred_at).order_by(outbox.c.seq).limit(1)
    count = connection.scalar(select(func.count()).select_from(outbox))
    return Waiting(count=count or 0, oldest_occurred_at=connection.scalar(first))


def last_event(
    connection: Connection, association: str, subject_id: str
) -> Event | None:
    """Return what was recorded last of a subject; None where nothing ever was.

    Args:
        connection: On the app's database.
        association: What the subject stands for.
        subject_id: Its key as text.
    """
    found: list[Any] = []
    for table in (outbox, rejected, journal):  # wherever it has gone meanwhile
        newest = (
            select(table.c.seq, table.c.payload, table.c.occurred_at)
            .where(table.c.association == association)
            .where(table.c.subject_id == subject_id)
            .order_by(table.c.seq.desc())
            .limit(1)
        )
        rows = connection.execute(newest, execution_options={OURS: True})
        found += rows.mappings().all()
    latest = max(found, key=lambda row: int(row["seq"]), default=None)
    return None if latest is None else event_in(dict(latest))
