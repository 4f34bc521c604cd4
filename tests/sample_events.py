"""Events as the app's own code would record them, for tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Table, select

from hydro_hooks import outbox
from hydro_hooks.cause import Reason
from hydro_hooks.event import Event, new_id
from hydro_hooks.transition import Action, State


def sample_event(**changed: Any) -> Event:
    """Return an event of Jira integration 19, with the fields `changed`."""
    fields: dict[str, Any] = {
        "id": new_id(),
        "transaction_id": new_id(),
        "occurred_at": datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        "association": "subscription",
        "subject_id": "7",
        "action": Action.DESTROY,
        "state": State.ABSENT,
        "github_installation_id": 10,
        "jira_hostname": "https://tëst-host.jira.com",
        "jira_integration_id": 19,
        "reason": Reason.STAFFTOOLS_API.value,
        "github_actor": 583231,
        "jira_actor": None,
        "note": "ticket 4711",
        "origin": "app.views:12 in delete",
    }
    return Event(**{**fields, **changed})


def sample_events(count: int, **changed: Any) -> list[Event]:
    """Return events of one integration, so that one shard holds them all."""
    return [sample_event(subject_id=str(number), **changed) for number in range(count)]


def record(engine: Engine, events: Iterable[Event]) -> list[str]:
    """Commit events into the outbox; return their ids."""
    events = list(events)
    with engine.begin() as connection:
        outbox.record(connection, events)
    return [event.id for event in events]


def ids_in(engine: Engine, table: Table) -> list[str]:
    """Return the ids of the events that a table holds, by `seq`."""
    with engine.connect() as connection:
        return list(connection.scalars(select(table.c.id).order_by(table.c.seq)))


def rows_in(engine: Engine, table: Table) -> list[dict[str, Any]]:
    """Return the rows of a table, by its primary key."""
    with engine.connect() as connection:
        rows = connection.execute(select(table).order_by(*table.primary_key))
        return [dict(row) for row in rows.mappings()]
