"""The states of rows over time: what a state bar shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hydro_hooks.event import FOUND, Event
from hydro_hooks.journal.records import Place, Record
from hydro_hooks.transition import Action, State

_AFTER: Final = {
    Action.ENABLE: State.ENABLED,
    Action.DISABLE: State.DISABLED,
    Action.DESTROY: State.ABSENT,
}
"""What an action leaves behind, for `jira.v0.Action`, which tells no state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time in which a row was in one state.

    Args:
        state: None: it is not known.
        start: When it began, UTC.
        end: When the next one did; the present moment for the last.
    """

    state: State | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row's states, one after the other without a gap.

    Args:
        association: What the row stands for.
        subject_id: Its key; None where its schema has none.
        spans: From the earliest moment asked for on.
    """

    association: str
    subject_id: str | None
    spans: tuple[Span, ...]


def bars_of(records: Iterable[Record], *, start: datetime, end: datetime) -> list[Bar]:
    """Return the bars of the rows that records are about.

    Args:
        records: In the order of their commits.
        start: When the bars begin; before a row's first record its state is unknown,
            unless that record is its creation, seen as it happened.
        end: When they end.

    Returns:
        In the order of the rows' first records.
    """
    by_row: dict[object, list[Event]] = {}
    for record in records:
        by_row.setdefault(_row_of(record), []).append(record.event)
    return [
        Bar(
            association=events[0].association,
            subject_id=events[0].subject_id,
            spans=tuple(_spans(events, start, end)),
        )
        for events in by_row.values()
    ]


def _row_of(record: Record) -> object:
    """Return what tells rows apart, as far as their schema does."""
    event = record.event
    app = record.settled_by if record.place is Place.RECEIVED else None
    key: object = event.subject_id
    if key is None:
        key = event.jira_integration_id, event.github_installation_id
    return app, event.association, key


def _spans(events: Sequence[Event], start: datetime, end: datetime) -> Iterator[Span]:
    first = events[0]
    # What reconcile found to be there may have been there for years.
    is_birth = first.action is Action.CREATE and first.origin != FOUND
    state = State.ABSENT if is_birth else None
    since = start
    for event in events:
        if _state_after(event) == state:
            continue
        at = min(max(event.occurred_at, since), end)
        if at > since:
            yield Span(state=state, start=since, end=at)
        state, since = _state_after(event), at
    if end > since:
        yield Span(state=state, start=since, end=end)


def _state_after(event: Event) -> State | None:
    if event.state is not None:
        return event.state
    return _AFTER.get(event.action)
