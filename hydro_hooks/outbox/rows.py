"""An event as a row of the outbox, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from hydro_hooks import schema
from hydro_hooks.event import Event
from hydro_hooks.tables import SHARDS

PAYLOAD_SCHEMA = "jira.v1.Action"
"""The schema of `hydro_outbox.payload`, whatever is sent in the end."""

OURS = "hydro_hooks"
"""Execution option of our own statements in the app's transactions."""


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
        "github_installation_id": text_or_none(event.github_installation_id),
        "jira_hostname": event.jira_hostname,
        "jira_integration_id": text_or_none(event.jira_integration_id),
        "reason": event.reason,
        "github_actor": text_or_none(event.github_actor),
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
    event = schema.event_from(value)
    if event is None:  # written by record(), so it names its action and its moment
        message = f"outbox row {row['seq']} holds no event of ours"
        raise ValueError(message)
    return event


def text_or_none(value: int | str | None) -> str | None:
    """Return an id as its column holds it."""
    return None if value is None else str(value)
