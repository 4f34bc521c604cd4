"""Steps in, transitions out: the net of one transaction, with its savepoints.

Pure: it knows no session, no connection and no clock. A savepoint is a mark in the list
of steps, by name; rolling back to it cuts the list, however many savepoints lay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hydro_hooks.transition import Action, State, Step, Subject, Transition


class Netting:
    """The steps of one transaction of one connection."""

    __slots__ = ("_latest", "_marks", "_steps")

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._latest: dict[Subject, Step] = {}
        self._marks: list[tuple[str, int]] = []

    def __bool__(self) -> bool:
        """Return whether any step is held."""
        return bool(self._steps)

    def add(self, step: Step) -> None:
        """Take the next step; a step that changes nothing renews the values."""
        self._steps.append(step)
        self._latest[step.subject] = step

    def latest(self, subject: Subject) -> Step | None:
        """Return the subject's last step that was not rolled back."""
        return self._latest.get(subject)

    def savepoint(self, name: str) -> None:
        """Mark a savepoint. A name in use is hidden until the new one is released."""
        self._marks.append((name, len(self._steps)))

    def rollback_to(self, name: str) -> None:
        """Forget what came after the savepoint `name`; the savepoint itself stays."""
        place = self._place_of(name)
        if place is None:
            self.clear()
            return
        del self._marks[place + 1 :]
        del self._steps[self._marks[place][1] :]
        self._latest = {step.subject: step for step in self._steps}

    def release(self, name: str) -> None:
        """Drop the savepoint `name` and those inside it; their steps stay."""
        del self._marks[self._place_of(name) or 0 :]

    def clear(self) -> None:
        """Forget everything, as a rollback does."""
        self._steps.clear()
        self._latest.clear()
        self._marks.clear()

    def _place_of(self, name: str) -> int | None:
        """Return the index of a mark; None for a savepoint older than all steps.

        A netting begins with the first step of its transaction, so a savepoint that it
        was never told of was set before, and everything held came after it.
        """
        for place in range(len(self._marks) - 1, -1, -1):
            if self._marks[place][0] == name:
                return place
        return None

    def transitions(self) -> Iterator[Transition]:
        """Yield the net change of each subject, in the order of their last steps."""
        steps: dict[Subject, list[Step]] = {}
        for step in self._steps:
            steps.setdefault(step.subject, []).append(step)
        for subject, taken in steps.items():
            transition = _net(subject, taken)
            if transition is not None:
                yield transition


def action_between(before: State, after: State) -> Action | None:
    """Return what happened to a subject that went from `before` to `after`."""
    if before is after:
        return None
    if before is State.ABSENT:
        return Action.CREATE
    if after is State.ABSENT:
        return Action.DESTROY
    return Action.ENABLE if after is State.ENABLED else Action.DISABLE


def _net(subject: Subject, steps: list[Step]) -> Transition | None:
    first, last = steps[0], steps[-1]
    action = action_between(first.before, last.after)
    if action is None:
        return None
    made = _last_that_made(action, steps)
    return Transition(
        subject,
        action,
        first.before,
        last.after,
        first.old if action is Action.DESTROY else last.new,
        made.stamp,
    )


def _last_that_made(action: Action, steps: Iterable[Step]) -> Step:
    is_presence = action in {Action.CREATE, Action.DESTROY}
    changes = [step for step in steps if step.before is not step.after]
    if is_presence:
        changes = [
            step
            for step in changes
            if (step.before is State.ABSENT) is not (step.after is State.ABSENT)
        ]
    return changes[-1]
