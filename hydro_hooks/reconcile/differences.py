"""A subject that is not as it is recorded, and the event that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hydro_hooks.cause import Cause
from hydro_hooks.event import FOUND, Event, event_of, new_id
from hydro_hooks.transition import (
    Action,
    Stamp,
    State,
    Subject,
    Transition,
    Values,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A subject that is not as it is recorded.

    Args:
        association: What it is.
        subject_id: The row's key as text.
        recorded: Its state by its last event; absent where there is none.
        found: Its state in the table.
        action: What happened unseen.
        after: It happened after this, UTC; None: nothing is known of the time before.
        before: It happened before this, UTC.
        event_id: Of the event that was written; None: none was.
    """

    association: str
    subject_id: str
    recorded: State
    found: State
    action: Action
    after: datetime | None
    before: datetime
    event_id: str | None = None

    @property
    def note(self) -> str:
        """What the event says of itself."""
        before = f"before {_shown(self.before)}"
        if self.after is None:
            return f"found by reconcile: it happened {before}, unrecorded until then"
        return f"found by reconcile: it happened after {_shown(self.after)}, {before}"


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def missing_event(
    difference: Difference, subject: Subject, values: Values | None
) -> Event:
    """Return the event that would have been recorded, had anything seen the change.

    Nobody knows why, when exactly and by whom: it is `unattributed`, its note says
    between which two times it happened, and it bears the time at which it was found. It
    is a story of its own, not part of a transaction.

    Args:
        difference: What was found.
        subject: The row.
        values: Of the row; of a destroyed one, those that were last recorded.
    """
    cause = Cause(note=difference.note)
    return event_of(
        Transition(
            subject=subject,
            action=difference.action,
            before=difference.recorded,
            after=difference.found,
            values=values,
            stamp=Stamp(cause, difference.before, FOUND),
        ),
        id=new_id(),
        transaction_id=new_id(),
    )
