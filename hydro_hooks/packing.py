"""What of an event is sent: rows of the outbox, made ready for the sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from hydro_hooks import schema
from hydro_hooks.errors import InvalidEventError
from hydro_hooks.outbox import PAYLOAD_SCHEMA, event_in
from hydro_hooks.sinks import Message

Row = sqlalchemy.Row[Any]
"""A row of the outbox, as `claims.head()` returns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events of one shard, in `seq` order.

    Args:
        rows: All of them, at least one.
        fits: Those that are sent.
        messages: What is sent of each of these.
        misfits: Those that the wire schema has no place for, and why.
    """

    rows: Sequence[Row]
    fits: Sequence[Row]
    messages: Sequence[Message]
    misfits: Sequence[tuple[Row, str]]

    @property
    def last(self) -> int:
        """`seq` of its last event."""
        return int(self.rows[-1].seq)


class Packer:
    """Makes batches ready.

    Args:
        schema_name: The wire schema, or the path of a user's.

    Raises:
        ConfigurationError: There is no such schema.
    """

    def __init__(self, schema_name: str) -> None:
        self._schema = schema.load(schema_name)
        self._payload_schema = schema.load(PAYLOAD_SCHEMA)
        # Now, and not in a relay's thread: a fork in the middle of an import, or of
        # what is made once, leaves its lock held in the child for ever.
        for each in (self._schema, self._payload_schema):
            each.compile()

    @property
    def schema(self) -> str:
        """The wire schema's name."""
        return self._schema.name

    def pack(self, rows: Sequence[Row]) -> Batch:
        """Return a batch with what can be sent of it, each event checked."""
        fits: list[Row] = []
        messages: list[Message] = []
        misfits: list[tuple[Row, str]] = []
        for row in rows:
            try:
                messages.append(self._message(row))
            except (ValueError, InvalidEventError) as error:
                misfits.append((row, f"not sent: {error}"))
            else:
                fits.append(row)
        return Batch(rows=rows, fits=fits, messages=messages, misfits=misfits)

    def _message(self, row: Row) -> Message:
        text = row.payload
        self._payload_schema.check(schema.parse(text))
        if self._schema.name != PAYLOAD_SCHEMA:
            value = self._schema.project(event_in(row._asdict()))
            self._schema.check(value)
            text = schema.dumps(value)
        return Message(
            event_id=row.id,
            schema=self._schema.name,
            value=text,
            key=row.aggregateid,
            type=row.type,
        )
