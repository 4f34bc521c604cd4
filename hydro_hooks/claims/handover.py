"""Moving events to the journal that something else than a relay has delivered."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, select

from hydro_hooks.claims.moving import move_rows
from hydro_hooks.claims.transactions import clock, fetch, transaction
from hydro_hooks.errors import DatabaseError
from hydro_hooks.outbox import PAYLOAD_SCHEMA
from hydro_hooks.tables import journal, outbox, shard

CHUNK = 500
"""Events that are moved in one transaction."""


def hand_over(engine: Engine, *, older_than: timedelta, delivered_by: str) -> int:
    """Move events from the outbox to the journal, and return how many.

    For where Kafka Connect reads the database's log: it has an event once it is
    committed, and takes no notice of the row that is deleted.

    Args:
        engine: Of the app's database.
        older_than: How long ago they occurred at least.
        delivered_by: By what; the journal tells it.

    Raises:
        DatabaseError: A relay is at work here, which delivers by itself.
        sqlalchemy.exc.DBAPIError: What the database says; chunks that were moved
            before stay moved.
    """
    now = clock(engine.dialect.name)
    if fetch(engine, select(shard.c.shard).where(shard.c.leased_until > now)):
        message = "a relay delivers these events; stop it before another does"
        raise DatabaseError(message)
    count = 0
    while True:
        with transaction(engine) as connection:
            moment = connection.execute(select(now)).scalar_one()
            seqs = connection.scalars(
                select(outbox.c.seq)
                .where(outbox.c.occurred_at <= moment - older_than)
                .order_by(outbox.c.seq)
                .limit(CHUNK)
                .with_for_update(skip_locked=True)
            ).all()
            if not seqs:
                return count
            values = {"schema": PAYLOAD_SCHEMA, "settled_by": delivered_by}
            move_rows(connection, journal, seqs, values)
            count += len(seqs)
