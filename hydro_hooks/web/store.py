"""The gateway's store: what came in, written all of it or nothing of it.

One transaction per request: its exact bytes with the signature, and each of its events
that is new. An event whose id is held already is left as it is, so a repeat is harmless
whoever sends it, in whatever order, at the same moment or years later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zlib import crc32

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Insert,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import OperationalError

from hydro_hooks.event import is_id, new_id, storable
from hydro_hooks.outbox import searchable_row
from hydro_hooks.tables import journal, request
from hydro_hooks.web.incoming import Arrival

WRITES: Final = "hydro_hooks_writes"
"""Execution option of a connection that is about to write."""

MAX_TRIES: Final = 10
MAX_TRYING_SECONDS: Final = 2.0

_CHUNK: Final = 500
_ADVISORY_LOCK: Final = crc32(journal.name.encode())
_YEARS: Final = range(1000, 9999)
"""Years that each of the databases stores, and gives back in any time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request whose signature is good, as it came in.

    Args:
        app: The sending app.
        authorization: The header with the signature.
        body: The exact bytes that were signed.
        received_at: UTC.
    """

    app: str
    authorization: str = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime


def keep(
    engine: Engine, received: Received, arrivals: Sequence[Arrival], *, status: int
) -> None:
    """Store the events that are not held yet, and the request that brought them.

    A request that brings nothing new is not stored. When this returns, all is durable;
    when it raises, nothing is stored, or (the connection broke during the commit) all.

    Args:
        engine: As `open_store()` makes it.
        received: The request.
        arrivals: Its events that are accepted, in its order.
        status: The HTTP status of the answer.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: What the database says; sending again helps, or
            mending the database.
    """
    if not arrivals:
        return
    started = time.monotonic()
    for attempt in range(1, MAX_TRIES + 1):
        try:
            _write(engine, received, arrivals, status)
        except OperationalError:
            # Transactions that hold what the other waits for: one of them is told so.
            is_late = time.monotonic() - started > MAX_TRYING_SECONDS
            if is_late or attempt == MAX_TRIES:
                raise
            time.sleep(random.uniform(0.0, 0.02 * attempt))  # noqa: S311 - no secret
        else:
            return


def _write(
    engine: Engine, received: Received, arrivals: Sequence[Arrival], status: int
) -> None:
    # A new id at each try: if a try was committed after all, nothing is new to the next
    # one, whose request is then not stored a second time.
    request_id = new_id()
    rows = [_journal_row(arrival, received, request_id) for arrival in arrivals]
    with engine.connect() as connection:
        connection.execution_options(**{WRITES: True})
        with connection.begin():
            _wait_for_other_writers(connection)
            connection.execute(_insert_unless_held(connection.dialect.name), rows)
            if _has_brought(connection, request_id, rows):
                row = _request_row(received, request_id, status)
                connection.execute(insert(request), row)


def _wait_for_other_writers(connection: Connection) -> None:
    """Let one transaction write at a time where deadlocks are expensive.

    The same events in another order would make two transactions wait for each other.
    MariaDB ends that at once, for a new try; PostgreSQL lets a second pass first.
    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _insert_unless_held(dialect: str) -> Insert:
    """Return the INSERT that leaves a row with the same id as it is.

    The database decides, not a look beforehand: the same event may be on its way in
    another transaction, whose end the INSERT waits for.
    """
    if dialect == "postgresql":
        for_postgresql = postgresql.insert(journal).inline()
        return for_postgresql.on_conflict_do_nothing(index_elements=[journal.c.id])
    if dialect == "sqlite":
        for_sqlite = sqlite.insert(journal).inline()
        return for_sqlite.on_conflict_do_nothing(index_elements=[journal.c.id])
    # Not INSERT IGNORE, which turns every other error into a warning too.
    for_mysql = mysql.insert(journal).inline()
    return for_mysql.on_duplicate_key_update(id=journal.c.id)


def _has_brought(
    connection: Connection, request_id: str, rows: Sequence[dict[str, Any]]
) -> bool:
    """Return whether any of the rows is new.

    Asked of the table: drivers disagree on the rowcount of several rows. By id, which
    has an index; an event of each chunk decides in nearly every case.
    """
    ids = [row["id"] for row in rows]
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        new = exists().where(
            journal.c.id.in_(chunk), journal.c.request_id == request_id
        )
        if connection.scalar(select(new)):
            return True
    return False


def _journal_row(
    arrival: Arrival, received: Received, request_id: str
) -> dict[str, Any]:
    searchable = {
        name: _as_stored(journal.columns[name], value, received.received_at)
        for name, value in searchable_row(arrival.event).items()
    }
    return {
        **searchable,
        "id": arrival.event.id,
        # A lone surrogate has no UTF-8; inside JSON text its escape means the same.
        "payload": arrival.payload.encode("utf-8", "backslashreplace").decode(),
        "schema": storable(arrival.schema),
        "settled_at": received.received_at,
        "settled_by": storable(received.app),
        "request_id": request_id,
    }


def _request_row(received: Received, request_id: str, status: int) -> dict[str, Any]:
    return {
        "id": request_id,
        "received_at": received.received_at,
        "app": storable(received.app),
        "authorization": received.authorization,
        "status": status,
        "body": received.body,
    }


def _as_stored(column: Column[Any], value: Any, received_at: datetime) -> Any:
    """Return a searchable value as every database takes it; the body keeps it exactly.

    Any: a user's schema may give our names to values of any type.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return value if value.year in _YEARS else received_at
    text = str(value)
    if column.name == "transaction_id":
        return text if is_id(text) else None
    return storable(text, getattr(column.type, "length", None) or len(text))
