"""The outbox: events committed with the change that made them, waiting for delivery.

Recording is one INSERT into `hydro_outbox` in the change's own transaction. Delivery is
at least once: a receiver knows a repeat by the event's id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary
from zlib import crc32

from sqlalchemy import Connection, Dialect, func, insert, select

from hydro_hooks import schema
from hydro_hooks.event import Event
from hydro_hooks.tables import SHARDS, journal, outbox
from hydro_hooks.transition import State

PAYLOAD_SCHEMA = "jira.v1.Action"
"""The schema of `hydro_outbox.payload`, whatever is sent in the end."""

OURS = "hydro_hooks"
"""Execution option of our own statements in the app's transactions."""


class _Insert:
    """The INSERT of a dialect, compiled once, and what makes its parameters."""

    def __init__(self, dialect: Dialect) -> None:
        columns = [column for column in outbox.columns if column is not outbox.c.seq]
        names = [column.name for column in columns]
        compiled = insert(outbox).inline().compile(dialect=dialect, column_keys=names)
        self.sql = str(compiled)
        self._order = compiled.positiontup
        self._processors: list[tuple[str, Callable[[Any], Any]]] = []
        for column in columns:
            process = column.type.dialect_impl(dialect).bind_processor(dialect)
            if process is not None:
                self._processors.append((column.name, process))

    def parameters(self, event: Event) -> tuple[Any, ...] | dict[str, Any]:
        row = row_of(event)
        for name, process in self._processors:
            row[name] = process(row[name])
        if self._order is None:
            return row
        return tuple(row[name] for name in self._order)


_inserts: WeakKeyDictionary[Dialect, _Insert] = WeakKeyDictionary()


def record(connection: Connection, events: Sequence[Event]) -> None:
    """Write events into the outbox, in the connection's transaction.

    One INSERT, however many they are; compiled once per dialect and executed with plain
    parameters, since a commit of the app waits for it.

    Args:
        connection: The one that made the changes.
        events: At least one.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    statement = _inserts.get(connection.dialect)
    if statement is None:
        statement = _inserts[connection.dialect] = _Insert(connection.dialect)
    rows: Any = [statement.parameters(event) for event in events]
    connection.exec_driver_sql(
        statement.sql,
        rows[0] if len(rows) == 1 else rows,
        execution_options={OURS: True},
    )


def row_of(event: Event) -> dict[str, Any]:
    """Return an event as a row of the outbox, without `seq`."""
    payload = schema.load(PAYLOAD_SCHEMA).project(event)
    return {
        "id": event.id,
        "aggregatetype": event.association,
        "aggregateid": event.aggregate_id,
        "type": event.type,
        "payload": schema.dumps(payload),
        "shard": shard_of(event.aggregate_id),
        **searchable_row(event),
    }


def searchable_row(event: Event) -> dict[str, Any]:
    """Return the columns by which an event is found, in every table that holds it."""
    return {
        "transaction_id": event.transaction_id,
        "occurred_at": event.occurred_at,
        "association": event.association,
        "subject_id": event.subject_id,
        "action": event.action.value,
        "state": None if event.state is None else event.state.value,
        "github_installation_id": _text_or_none(event.github_installation_id),
        "jira_hostname": event.jira_hostname,
        "jira_integration_id": _text_or_none(event.jira_integration_id),
        "reason": event.reason,
        "github_actor": _text_or_none(event.github_actor),
        "jira_actor": event.jira_actor,
        "note": event.note,
        "origin": event.origin,
    }


def shard_of(aggregate_id: str) -> int:
    """Return the shard that delivers an aggregate, 0 to 15."""
    return crc32(aggregate_id.encode()) % SHARDS


def event_in(row: Mapping[str, Any]) -> Event:
    """Return the event of a row of the outbox or of `hydro_rejected`."""
    value = schema.parse(row["payload"])
    event = schema.event_from(value, received_at=row["occurred_at"])
    if event is None:  # written by record(), so it names its action
        message = f"outbox row {row['seq']} holds no event of ours"
        raise ValueError(message)
    return event


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is recorded and not delivered yet.

    Args:
        count: Events in the outbox.
        oldest_occurred_at: When the oldest of them occurred, UTC; None without any.
    """

    count: int
    oldest_occurred_at: datetime | None


def waiting(connection: Connection) -> Waiting:
    """Return how many events wait for delivery, and since when."""
    statement = select(func.count(), func.min(outbox.c.occurred_at)).select_from(outbox)
    count, oldest = connection.execute(statement).one()
    return Waiting(count=count, oldest_occurred_at=oldest)


def last_state(
    connection: Connection, association: str, subject_id: str
) -> State | None:
    """Return the state in which a subject was recorded last; None where it never was.

    Args:
        connection: On the app's database.
        association: What the subject stands for.
        subject_id: Its key as text.
    """
    for table in (outbox, journal):  # what is in the journal was recorded before
        state: str | None = connection.scalar(
            select(table.c.state)
            .where(table.c.association == association)
            .where(table.c.subject_id == subject_id)
            .order_by(table.c.seq.desc())
            .limit(1),
            execution_options={OURS: True},
        )
        if state is not None:
            return State(state)
    return None


def _text_or_none(value: int | str | None) -> str | None:
    return None if value is None else str(value)
