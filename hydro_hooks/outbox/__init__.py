"""The outbox: events committed with the change that made them, waiting for delivery.

Recording is one INSERT into `hydro_outbox` in the change's own transaction, one for
each 500 events. Delivery is at least once: a receiver knows a repeat by the event's id.
"""

from hydro_hooks.outbox.looking import Waiting, last_event, waiting
from hydro_hooks.outbox.recording import CHUNK, Recording, before_writing, record
from hydro_hooks.outbox.rows import (
    OURS,
    PAYLOAD_SCHEMA,
    event_in,
    row_of,
    searchable_row,
    shard_of,
)

__all__ = [
    "CHUNK",
    "OURS",
    "PAYLOAD_SCHEMA",
    "Recording",
    "Waiting",
    "before_writing",
    "event_in",
    "last_event",
    "record",
    "row_of",
    "searchable_row",
    "shard_of",
    "waiting",
]
