"""The model of causes: who made which change, kept as simply as can be.

What changed is known from reading the tables before and after; who did it, from the
rule that ran. A statement's changes are those of the block that it ran in. A flush
writes what was done to objects earlier, each under its own cause: an `Intent`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from state_machine_models import Subject
from state_machine_oracle import ABSENT, Snapshot, state_in

UNATTRIBUTED = "unattributed"


@dataclass(slots=True)
class Intent:
    """What was done to the object of a subject and is not flushed yet.

    Args:
        arrival: Who added it, showed it, or gave it this key.
        departure: Who removed it, hid it, or gave it another key.
        flagged: Who set its flag.
    """

    arrival: str | None = None
    departure: str | None = None
    flagged: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one subject's state.

    Args:
        subject: The row.
        before: Its state before.
        after: Its state after; the same where one flush replaced the row.
        reasons: Who may have made it: one, but for what the comments here say.
        is_replacement: Whether the flush both removed and added a row of this key.
    """

    subject: Subject
    before: str
    after: str
    reasons: frozenset[str]
    is_replacement: bool = False

    @property
    def is_presence(self) -> bool:
        return (self.before == ABSENT) is not (self.after == ABSENT)


@dataclass(slots=True)
class Causes:
    """The changes of the transaction in progress, in their order."""

    changes: list[Change] = field(default_factory=list)
    intents: dict[Subject, Intent] = field(default_factory=dict)

    def intent(self, subject: Subject) -> Intent:
        return self.intents.setdefault(subject, Intent())

    def arrive(self, subject: Subject, reason: str) -> None:
        self.intent(subject).arrival = reason

    def depart(self, subject: Subject, reason: str) -> None:
        self.intent(subject).departure = reason

    def remove(self, subject: Subject, reason: str) -> None:
        """Note a deleted object: what was set on it before is not written."""
        self.intents[subject] = Intent(departure=reason)

    def flag(self, subject: Subject, reason: str, *, is_turned: bool) -> None:
        """Note that the flag was set to another value.

        Args:
            subject: The row.
            reason: In force when it was set.
            is_turned: Whether true became false or false true, as far as was known.
        """
        intent = self.intent(subject)
        # False to NULL, or level 1 to 2, turns nothing; yet the flush writes that value
        # and no other, so both who turned it and who set it last made the flag.
        others = frozenset() if is_turned else intent.flagged
        intent.flagged = others | {reason}

    def statement_ran(self, before: Snapshot, after: Snapshot, reason: str) -> None:
        """Take the changes of a statement that ran in a block with this reason."""
        for subject in _changed(before, after):
            self._add(before, after, subject, frozenset({reason}))

    def flushed(self, before: Snapshot, after: Snapshot) -> None:
        """Take the changes of a flush, each with the cause of its intent."""
        replaced = {
            subject
            for subject, intent in self.intents.items()
            if intent.arrival and intent.departure and subject in after
        }
        for subject in sorted(_changed(before, after) | replaced):
            reasons = self._made_by(before, after, subject)
            is_replacement = subject in replaced
            self._add(before, after, subject, reasons, is_replacement=is_replacement)
        self.intents.clear()

    def forget_since(self, mark: int) -> None:
        """Forget the changes after the first `mark`, and what is not flushed."""
        del self.changes[mark:]
        self.intents.clear()

    def states(self) -> dict[Subject, str]:
        """Return the state of each subject that changed."""
        return {change.subject: change.after for change in self.changes}

    def reasons(self, subject: Subject, action: str) -> frozenset[str]:
        """Return the reason of the last change that made what the action names.

        Presence for create and destroy, the flag for enable and disable.
        """
        found: frozenset[str] = frozenset()
        for change in reversed(self.changes):
            if change.subject != subject:
                continue
            is_flag = action in {"enable", "disable"}
            if change.is_presence or (is_flag and change.before != change.after):
                return found | change.reasons
            if change.is_replacement:
                # The program deleted a row and added one; the database saw an UPDATE.
                # Whether that made its presence anew is not for us to say.
                found |= change.reasons
        message = f"the model does not know who made {action} of {subject}"
        raise LookupError(message)

    def _add(
        self,
        before: Snapshot,
        after: Snapshot,
        subject: Subject,
        reasons: frozenset[str],
        *,
        is_replacement: bool = False,
    ) -> None:
        was, now = state_in(before, subject), state_in(after, subject)
        self.changes.append(Change(subject, was, now, reasons, is_replacement))

    def _made_by(
        self, before: Snapshot, after: Snapshot, subject: Subject
    ) -> frozenset[str]:
        intent = self.intents.get(subject, Intent())
        if subject not in after:
            # Deleted itself, and its parent too, in one flush without an order between
            # them: either may have taken the row.
            reasons = {intent.departure, *self._departures_above(before, subject)}
        elif subject not in before or (intent.arrival and intent.departure):
            reasons = {intent.arrival, *(intent.flagged if subject in before else ())}
        else:
            reasons = set(intent.flagged or {intent.arrival})
        known = frozenset(reason for reason in reasons if reason)
        if not known:
            message = f"the model does not know who made a flush change {subject}"
            raise LookupError(message)
        return known

    def _departures_above(self, before: Snapshot, subject: Subject) -> set[str | None]:
        """Return who removed a parent, its parent, and so on."""
        found: set[str | None] = set()
        parent = before[subject].parent
        while parent is not None:
            found.add(self.intents.get(parent, Intent()).departure)
            parent = before[parent].parent if parent in before else None
        return found


def _changed(before: Snapshot, after: Snapshot) -> set[Subject]:
    return {
        subject
        for subject in before.keys() | after.keys()
        if state_in(before, subject) != state_in(after, subject)
    }
