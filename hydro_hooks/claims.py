"""The delivery side of the outbox: who works on which shard, and what is settled.

A relay leases a shard for a while, reads its head in `seq` order, posts it outside any
transaction, and settles in one transaction that checks that the lease is still its
own. So one relay at a time delivers the events of a subject, and a relay that was slow
or killed changes nothing after another took over.

All of it runs at READ COMMITTED, and on SQLite under its write lock, whatever isolation
level and BEGIN handling the app's engine has. Leases go by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Table,
    and_,
    delete,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import new_id
from hydro_hooks.tables import SHARDS, UtcDateTime, journal, outbox, rejected, shard

MAX_BATCH: Final = 50
"""Events in a batch at most."""

MAX_BATCH_BYTES: Final = 256 * 1024
"""Bytes of payload in a batch at most; a single event may be larger."""

_CLOCKS: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "postgresql": "clock_timestamp()",
    "mysql": "UTC_TIMESTAMP(6)",
    "mariadb": "UTC_TIMESTAMP(6)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A shard that this relay works on for now.

    Args:
        shard: Its number.
        token: Known to the holder only; what settles is checked against it.
        attempts: Tries in a row that left events of the shard undelivered.
        duration: For how long it is held, from the claim or the last settlement.
    """

    shard: int
    token: str
    attempts: int
    duration: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a batch.

    Args:
        delivered: `seq` of the events that were accepted.
        rejected: `seq` of the events refused for good, and why.
        schema: Name of the wire schema.
        settled_by: The relay's name.
        attempts: What the shard's count of failed tries becomes.
        delay: How long the shard is left alone; None: go on at once.
    """

    delivered: tuple[int, ...] = ()
    rejected: tuple[tuple[int, str], ...] = ()
    schema: str
    settled_by: str
    attempts: int = 0
    delay: timedelta | None = None


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction fit for claiming; commit, or roll back."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            if engine.dialect.name == "sqlite":
                _take_write_lock(connection)
            yield connection


def _take_write_lock(connection: Connection) -> None:
    """Make an SQLite transaction what BEGIN IMMEDIATE makes it.

    A transaction that reads first and writes later fails at once when another wrote in
    between; one that starts by writing waits its turn.
    """
    driver: Any = connection.connection.driver_connection  # sqlite3, or one like it
    if driver.in_transaction:  # the engine has an event that says BEGIN
        nothing = update(shard).where(shard.c.shard < 0).values(attempts=0)
        connection.execute(nothing)
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def ready_shards(engine: Engine) -> list[int]:
    """Return the shards that have events, no lease in force and no back-off.

    Rows of `hydro_shard` are made where they are missing.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    has_events = select(outbox.c.seq).where(outbox.c.shard == shard.c.shard).exists()
    is_ready = and_(_is_free(engine.dialect), has_events)
    statement = select(shard.c.shard, is_ready.label("is_ready"))
    rows = _read(engine, statement)
    if len(rows) < SHARDS:
        _make_shards(engine, {number for number, _ in rows})
        rows = _read(engine, statement)
    return [number for number, is_ready in rows if is_ready]


def _read(engine: Engine, statement: Any) -> Sequence[Any]:
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            # At SERIALIZABLE, MariaDB would lock what is only looked at.
            connection.execution_options(isolation_level="READ COMMITTED")
        return connection.execute(statement).all()


def _make_shards(engine: Engine, there: set[int]) -> None:
    for number in set(range(SHARDS)) - there:
        try:
            with transaction(engine) as connection:
                connection.execute(insert(shard).values(shard=number, attempts=0))
        except IntegrityError:
            continue  # another relay, started at the same moment, was faster


def _now(dialect: Dialect) -> ColumnElement[datetime]:
    try:
        return literal_column(_CLOCKS[dialect.name], UtcDateTime())
    except KeyError:
        message = (
            f"the relay cannot work on {dialect.name}: it knows SQLite, PostgreSQL,"
            " MariaDB and MySQL"
        )
        raise ConfigurationError(message) from None


def _is_free(dialect: Dialect) -> ColumnElement[bool]:
    now = _now(dialect)
    return and_(
        or_(shard.c.leased_until.is_(None), shard.c.leased_until <= now),
        or_(shard.c.not_before.is_(None), shard.c.not_before <= now),
    )


def claim(connection: Connection, number: int, duration: timedelta) -> Lease | None:
    """Lease a shard in the connection's transaction.

    Args:
        connection: In a `transaction()`.
        number: The shard.
        duration: How long the lease holds without a settlement; longer than a request
            may take.

    Returns:
        None when another relay holds it or is about to, or it is backing off.
    """
    now = _now(connection.dialect)
    row = connection.execute(
        select(shard.c.attempts, now.label("now"))
        .where(shard.c.shard == number, _is_free(connection.dialect))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    lease = Lease(
        shard=number, token=new_id(), attempts=row.attempts, duration=duration
    )
    connection.execute(
        update(shard)
        .where(shard.c.shard == number)
        .values(token=lease.token, leased_until=row.now + duration)
    )
    return lease


def head(
    connection: Connection, number: int, limit: int = MAX_BATCH
) -> list[Mapping[str, Any]]:
    """Return the shard's next events, as rows of the outbox in `seq` order.

    Always from the bottom: `seq` is drawn before a commit, so a row may appear below
    one that was delivered before.

    Args:
        connection: In a `transaction()`.
        number: The shard.
        limit: Rows at most; fewer where they are large.
    """
    rows = connection.execute(
        select(outbox)
        .where(outbox.c.shard == number)
        .order_by(outbox.c.seq)
        .limit(limit)
    ).mappings()
    batch: list[Mapping[str, Any]] = []
    size_bytes = 0
    for row in rows.all():
        size_bytes += len(row["payload"].encode())
        if batch and size_bytes > MAX_BATCH_BYTES:
            break
        batch.append(dict(row))
    return batch


def settle(connection: Connection, lease: Lease, settlement: Settlement) -> bool:
    """Write down what became of a batch, and hold the lease for another while.

    Args:
        connection: In a `transaction()`; the caller commits.
        lease: Under which the batch was read.
        settlement: What became of it.

    Returns:
        False when the lease was lost: then nothing was written, and whoever holds the
        shard now sends the events again.
    """
    now = connection.execute(
        select(_now(connection.dialect))
        .where(shard.c.shard == lease.shard, shard.c.token == lease.token)
        .with_for_update()
    ).scalar_one_or_none()
    if now is None:
        return False
    _move(connection, lease, settlement, now)
    delay = settlement.delay
    connection.execute(
        update(shard)
        .where(shard.c.shard == lease.shard)
        .values(
            leased_until=now + lease.duration,
            attempts=settlement.attempts,
            not_before=None if delay is None else now + delay,
        )
    )
    return True


def release(connection: Connection, lease: Lease) -> None:
    """Give the shard back, unless it is another's by now."""
    connection.execute(
        update(shard)
        .where(shard.c.shard == lease.shard, shard.c.token == lease.token)
        .values(token=None, leased_until=None)
    )


def _move(
    connection: Connection, lease: Lease, settlement: Settlement, now: datetime
) -> None:
    shared = {"schema": settlement.schema, "attempts": lease.attempts + 1}
    if settlement.delivered:
        values = {**shared, "settled_at": now, "settled_by": settlement.settled_by}
        _copy(connection, journal, settlement.delivered, values)
    for seq, error in settlement.rejected:
        values = {**shared, "rejected_at": now, "error": error}
        _copy(connection, rejected, (seq,), values)
    gone = [*settlement.delivered, *(seq for seq, _ in settlement.rejected)]
    if gone:
        connection.execute(delete(outbox).where(outbox.c.seq.in_(gone)))


def _copy(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Copy rows of the outbox into `table`, inside the database."""
    shared = [column.name for column in table.columns if column.name in outbox.columns]
    added = [literal(value, table.columns[name].type) for name, value in values.items()]
    source = select(*(outbox.columns[name] for name in shared), *added).where(
        outbox.c.seq.in_(seqs)
    )
    connection.execute(insert(table).from_select([*shared, *values], source))
