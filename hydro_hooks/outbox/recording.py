"""Writing events into the outbox, in the transaction of the change itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from json.encoder import encode_basestring as quoted
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, insert

from hydro_hooks.event import (
    MAX_VALUE,
    NO_VALUES,
    Event,
    cleaned,
    key_as_text,
    to_the_millisecond,
)
from hydro_hooks.outbox.rows import OURS, row_of, shard_of, text_or_none
from hydro_hooks.tables import outbox
from hydro_hooks.transition import Transition

COLUMNS: Final = tuple(
    column.name for column in outbox.columns if column is not outbox.c.seq
)
"""The columns that are written; the database numbers the rows."""

CHUNK: Final = 500
"""Events in one INSERT: a transaction may make 100,000, and memory is not for those."""

before_writing: Final[list[Callable[[], None]]] = []
"""Called before this process writes events."""

_NAMED: Final = re.compile(r"%\((\w+)\)s")


class _Insert:
    """The INSERT of a dialect, compiled once, with its parameters by position."""

    def __init__(self, dialect: Dialect) -> None:
        compiled = insert(outbox).inline().compile(dialect=dialect, column_keys=COLUMNS)
        # Drivers that take such parameters by name take them by position too.
        self.sql = _NAMED.sub("%s", str(compiled))
        self._is_named = dialect.paramstyle == "named"
        order = list(compiled.positiontup or _NAMED.findall(str(compiled)))
        if self._is_named:
            order = list(COLUMNS)
        if order != list(COLUMNS):
            message = f"the columns of {outbox.name} are compiled in another order"
            raise AssertionError(message)
        self.name = dialect.name
        self._processors = [
            (place, process)
            for place, name in enumerate(COLUMNS)
            if name != "occurred_at"
            and (
                process := outbox.c[name]
                .type.dialect_impl(dialect)
                .bind_processor(dialect)
            )
            is not None
        ]

    def moment(self, occurred_at: datetime) -> object:
        """Return a time, UTC with milliseconds, as the driver takes it."""
        if self.name == "postgresql":
            return occurred_at
        if self.name == "sqlite":
            return occurred_at.isoformat(" ", "microseconds")[:26]
        return occurred_at.replace(tzinfo=None)

    def execute(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Write rows, whose values are in the order of `COLUMNS`."""
        for call in tuple(before_writing):
            call()
        if self._processors:
            rows = [self._processed(row) for row in rows]
        sets: list[Any] = rows
        if self._is_named:
            sets = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        given = sets[0] if len(sets) == 1 else sets
        connection.exec_driver_sql(self.sql, given, execution_options={OURS: True})

    def _processed(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, process in self._processors:
            values[place] = process(values[place])
        return tuple(values)


_inserts: WeakKeyDictionary[Dialect, _Insert] = WeakKeyDictionary()


def _insert_of(connection: Connection) -> _Insert:
    statement = _inserts.get(connection.dialect)
    if statement is None:
        statement = _inserts[connection.dialect] = _Insert(connection.dialect)
    return statement


def record(connection: Connection, events: Sequence[Event]) -> None:
    """Write events into the outbox, in the connection's transaction.

    Args:
        connection: The one that made the changes.
        events: At least one.

    Raises:
        sqlalchemy.exc.DBAPIError: What the database says.
    """
    statement = _insert_of(connection)
    rows = []
    for event in events:
        row = row_of(event)
        row["occurred_at"] = statement.moment(event.occurred_at)
        rows.append(tuple(row[name] for name in COLUMNS))
    statement.execute(connection, rows)


class Recording:
    """Writes the transitions of one transaction: what `record()` does, at full speed.

    A commit of the app waits for it. What the events of one transaction share is made
    once; a row is then one tuple, and its payload one piece of text. `row_of()` of the
    same event is equal to it, which tests/test_outbox.py checks.

    Args:
        connection: The one that made the changes.
        transaction_id: The transaction's UUIDv7, as text.
    """

    def __init__(self, connection: Connection, transaction_id: str) -> None:
        self._connection = connection
        self._insert = _insert_of(connection)
        self._transaction_id = transaction_id
        self._shared: dict[tuple[int, str, str, str], _Shared] = {}

    def write(self, transitions: Sequence[Transition], ids: Sequence[str]) -> None:
        """Write transitions, each under its own id.

        Args:
            transitions: At least one, at most `CHUNK`, with their values.
            ids: UUIDv7 as text, one each.

        Raises:
            sqlalchemy.exc.DBAPIError: What the database says.
        """
        row_of = self._row
        rows = [
            row_of(transition, event_id)
            for transition, event_id in zip(transitions, ids, strict=True)
        ]
        self._insert.execute(self._connection, rows)

    def _row(self, transition: Transition, event_id: str) -> tuple[Any, ...]:
        subject, action, _, after, values, stamp = transition
        kind = (id(stamp), subject.association, action, after)
        shared = self._shared.get(kind)
        if shared is None:
            shared = self._shared[kind] = _Shared(
                transition, self._transaction_id, self._insert
            )
        whole = subject.key
        key = cleaned(str(whole[0])) if len(whole) == 1 else key_as_text(whole)
        github, host, integration = values or NO_VALUES
        payload = f'{{"eventId":"{event_id}"{shared.head}{quoted(key)}{shared.middle}'
        if github is not None:
            github, told = _told_id(github)
            payload += f',"githubInstallationId":{told}'
        if host is not None:
            host = cleaned(str(host))
            payload += f',"jiraHostname":{quoted(host)}'
        if integration is not None:
            integration, told = _told_id(integration)
            payload += f',"jiraIntegrationId":{told}'
        aggregate_id = integration
        if aggregate_id is None:
            aggregate_id = host or f"{subject.association}:{key}"[:MAX_VALUE]
        return (
            event_id,
            subject.association,
            aggregate_id,
            shared.type,
            payload + shared.tail,
            shard_of(aggregate_id),
            *shared.before_key,
            key,
            shared.action,
            shared.state,
            github,
            host,
            integration,
            *shared.after_values,
        )


class _Shared:
    """What the events of a transaction share that have one stamp, action and state."""

    __slots__ = (
        "action",
        "after_values",
        "before_key",
        "head",
        "middle",
        "state",
        "tail",
        "type",
    )

    def __init__(
        self, transition: Transition, transaction_id: str, statement: _Insert
    ) -> None:
        cause = transition.stamp.cause
        association, action = transition.subject.association, transition.action.value
        origin = transition.stamp.origin
        origin = None if origin is None else cleaned(origin)
        moment = to_the_millisecond(transition.stamp.occurred_at)
        self.action, self.state = action, transition.after.value
        self.type = f"{association}.{action}"
        self.head = (
            f',"occurredAt":"{moment.isoformat(timespec="milliseconds")[:23]}Z"'
            f',"association":{quoted(association)},"subjectId":'
        )
        self.middle = f',"action":"{action}","state":"{self.state}"'
        actor = cause.github_actor
        self.tail = "".join(
            (
                f',"reason":{quoted(cause.reason)}',
                "" if actor is None else f',"githubActor":{_told_id(actor)[1]}',
                _told("jiraActor", cause.jira_actor),
                _told("note", cause.note),
                f',"transactionId":"{transaction_id}"',
                _told("origin", origin),
                "}",
            )
        )
        self.before_key = (transaction_id, statement.moment(moment), association)
        self.after_values = (
            cause.reason,
            text_or_none(cause.github_actor),
            cause.jira_actor,
            cause.note,
            origin,
        )


def _told(name: str, value: str | None) -> str:
    return "" if value is None else f',"{name}":{quoted(value)}'


def _told_id(value: Any) -> tuple[str, str]:
    """Return an id as a column holds it, and as the payload tells it."""
    if type(value) is int:
        text = str(value)
        return text, text
    text = cleaned(str(value))
    return text, quoted(text)
