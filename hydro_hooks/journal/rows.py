"""What a row of any table that holds events tells: the record of its event."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Table, literal, null

from hydro_hooks import schema
from hydro_hooks.event import Event
from hydro_hooks.journal.records import Place, Record
from hydro_hooks.tables import LOWER_HOST, journal
from hydro_hooks.transition import Action, State


def full(table: Table, place: Place) -> list[ColumnElement[Any]]:
    """Return every column of a record; NULL for one that the table does not have."""
    own = {"settled_at", LOWER_HOST}
    names = [column.name for column in journal.columns if column.name not in own]
    settled_at = table.c.get("rejected_at", table.c.get("settled_at", null()))
    return [
        *(table.c.get(name, null()).label(name) for name in [*names, "error"]),
        settled_at.label("settled_at"),
        literal(place.value).label("place"),
    ]


def record_of(row: Row[Any]) -> Record:
    """Return the record in a row of `full` columns."""
    return Record(
        event=_event(row),
        seq=row.seq,
        place=Place(row.place),
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        schema=row.schema,
        attempts=row.attempts,
        request_id=row.request_id,
        payload=row.payload,
        error=row.error,
    )


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        transaction_id=row.transaction_id,
        occurred_at=row.occurred_at,
        association=row.association,
        subject_id=row.subject_id,
        action=Action(row.action),
        state=None if row.state is None else State(row.state),
        jira_hostname=row.jira_hostname,
        reason=row.reason,
        jira_actor=row.jira_actor,
        note=row.note,
        origin=row.origin,
        **_ids(row),
    )


def _ids(row: Row[Any]) -> dict[str, Any]:
    """Return the ids; the columns hold them as text, the payload knows the integers."""
    try:
        value = schema.parse(row.payload)
    except ValueError:  # as long as the columns tell the story, it is told
        value = None
    told = None
    if isinstance(value, dict):
        told = schema.event_from(value, received_at=row.occurred_at)
    ids = {}
    for name in ("github_installation_id", "jira_integration_id", "github_actor"):
        column, original = getattr(row, name), getattr(told, name, None)
        ids[name] = original if str(original) == column else column
    return ids
