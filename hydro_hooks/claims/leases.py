"""Leases on shards: taking one, reading its events, settling what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row, insert
from sqlalchemy.exc import IntegrityError

from hydro_hooks.claims import statements
from hydro_hooks.claims.moving import as_given, move_rows
from hydro_hooks.claims.transactions import fetch, transaction
from hydro_hooks.event import new_id
from hydro_hooks.tables import SHARDS, journal, rejected, shard

MAX_BATCH_BYTES: Final = 256 * 1024
"""Bytes of payload in a batch at most; a single event may be larger."""

MAX_FAULT: Final = 500
"""Characters kept of why the events of a shard wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A shard that this relay works on for now.

    Args:
        shard: Its number.
        token: Known to the holder only; what settles is checked against it.
        attempts: Tries in a row that left events of the shard undelivered.
        fault: Why the last of them failed; None when it did not.
        duration: For how long it is held, from the claim or the last settlement.
    """

    shard: int
    token: str
    attempts: int
    fault: str | None = None
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
        fault: Why it is left alone, in at most `MAX_FAULT` characters.
        is_held: Somebody has to act, so a relay that starts anew ends the delay.
        passed: `seq` below which nothing is left and nothing will appear, as far as the
            batch tells.
        kept: `seq` of the first event of it that stays; None where none does.
    """

    delivered: tuple[int, ...] = ()
    rejected: tuple[tuple[int, str], ...] = ()
    passed: int = 0
    kept: int | None = None
    schema: str
    settled_by: str
    attempts: int = 0
    delay: timedelta | None = None
    fault: str | None = None
    is_held: bool = False


def ready_shards(engine: Engine, *, from_the_bottom: bool = True) -> dict[int, int]:
    """Return the shards that have events, no lease in force and no back-off.

    Rows of `hydro_shard` are made where they are missing.

    Args:
        engine: Of the app's database.
        from_the_bottom: Look at the whole outbox; else from each shard's mark on.
            Below it is what was delivered, whose index entries stay as long as a
            snapshot sees them and make every look slower; and now and then an event
            that was put back.

    Returns:
        `seq` that each is to be read from, by the shard's number.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    statement = statements.ready(engine.dialect.name, from_the_bottom=from_the_bottom)
    rows = fetch(engine, statement)
    if len(rows) < SHARDS:
        _make_shards(engine, {row.shard for row in rows})
        rows = fetch(engine, statement)
    return {
        row.shard: min(row.mark, row.first)
        for row in rows
        if row.is_free and row.first is not None
    }


def _make_shards(engine: Engine, there: set[int]) -> None:
    for number in set(range(SHARDS)) - there:
        try:
            with transaction(engine) as connection:
                connection.execute(insert(shard).values(shard=number, attempts=0))
        except IntegrityError:
            continue  # another relay, started at the same moment, was faster


def claim(engine: Engine, number: int, duration: timedelta) -> Lease | None:
    """Lease a shard.

    Args:
        engine: Of the app's database.
        number: The shard.
        duration: How long the lease holds without a settlement; longer than a request
            may take.

    Returns:
        None when another relay holds it or is about to, or it is backing off.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    dialect = engine.dialect.name
    with transaction(engine) as connection:
        free = connection.execute(statements.free(dialect), {"number": number})
        row = free.one_or_none()
        if row is None:
            return None
        lease = Lease(
            shard=number,
            token=new_id(),
            attempts=row.attempts,
            fault=row.fault,
            duration=duration,
        )
        noted = {**_named(lease), "lease": _microseconds(duration)}
        connection.execute(statements.lease(dialect), noted)
    return lease


def head(
    engine: Engine,
    number: int,
    *,
    start: int = 0,
    limit: int,
    but: Sequence[int] = (),
) -> list[Row[Any]]:
    """Return the shard's next events, in `seq` order, with what a delivery needs.

    No two of them are of one subject: where a gateway takes the later event and asks to
    send the earlier again, they would be delivered in the wrong order.

    Args:
        engine: Of the app's database.
        number: The shard.
        start: `seq` that the events have at least.
        limit: Rows at most; fewer where they are large, or of one subject.
        but: `seq` of those that are on their way.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    dialect = engine.dialect.name
    wanted: dict[str, Any] = {"number": number, "start": start, "most": limit}
    if but:
        wanted["seqs"] = as_given(dialect, but)
    batch: list[Row[Any]] = []
    size_bytes = 0
    subjects: set[tuple[str, str]] = set()
    for row in fetch(engine, statements.head_of(dialect, is_ahead=bool(but)), wanted):
        size_bytes += len(row.payload.encode())
        subject = row.association, row.subject_id
        if batch and (size_bytes > MAX_BATCH_BYTES or subject in subjects):
            break
        subjects.add(subject)
        batch.append(row)
    return batch


def settle(engine: Engine, lease: Lease, settlement: Settlement) -> bool:
    """Write down what became of a batch, and hold the lease for another while.

    All of it or, where the database fails, nothing.

    Args:
        engine: Of the app's database.
        lease: Under which the batch was read.
        settlement: What became of it.

    Returns:
        False when the lease was lost: then nothing was written, and whoever holds the
        shard now sends the events again.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    dialect = engine.dialect.name
    delay = settlement.delay
    noted = {
        **_named(lease),
        "lease": _microseconds(lease.duration),
        "delay": None if delay is None else _microseconds(delay),
        "passed": settlement.passed,
        "kept": settlement.kept,
        "its_attempts": settlement.attempts,
        "its_fault": settlement.fault,
        "its_is_held": settlement.is_held,
    }
    shared = {"schema": settlement.schema, "attempts": lease.attempts + 1}
    delivered = {**shared, "settled_by": settlement.settled_by}
    if dialect == "postgresql" and settlement.delivered and not settlement.rejected:
        seqs = as_given(dialect, settlement.delivered)
        told = {f"the_{name}": value for name, value in delivered.items()}
        statement = statements.settle_at_once(tuple(delivered))
        [(count,)] = fetch(engine, statement, {**noted, **told, "seqs": seqs})
        return bool(count)
    with transaction(engine) as connection:
        if not connection.execute(statements.settle(dialect), noted).rowcount:
            return False
        if settlement.delivered:
            move_rows(connection, journal, settlement.delivered, delivered)
        for seq, error in settlement.rejected:
            move_rows(connection, rejected, (seq,), {**shared, "error": error})
    return True


def release(engine: Engine, lease: Lease) -> None:
    """Give the shard back, unless it is another's by now.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    with transaction(engine) as connection:
        connection.execute(statements.RELEASE, _named(lease))


def _named(lease: Lease) -> dict[str, Any]:
    return {"number": lease.shard, "holder": lease.token}


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
