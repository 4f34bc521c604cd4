"""Steps in, transitions out: the net of one transaction, with its savepoints.

Pure: it knows no session, no connection and no clock. A subject has one entry, however
often it changes; while a savepoint is open, what an entry was before is kept, so that
rolling back restores it, however many savepoints lie inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from hydro_hooks.transition import (
    Action,
    Place,
    Stamp,
    State,
    Step,
    Subject,
    Transition,
    Values,
)


class Net(NamedTuple):
    """What the transaction has made of one subject so far.

    Attributes:
        before: The state that other transactions see.
        old: Its values as they see them; None when they are not known.
        after: The state after the last step.
        new: Its values then; None when they have to be read at the commit.
        presence: Of the last step that made or removed it; None without one.
        change: Of the last step that changed its state; None without one.
    """

    before: State
    old: Values | None
    after: State
    new: Values | None
    presence: Stamp | None
    change: Stamp | None


Group: TypeAlias = tuple[str, Place | None]
"""What subjects of one model in one place have in common: kept once for all of them."""


class Netting:
    """The steps of one transaction of one connection.

    Kept by group and key, where a key of one column is the bare value: a transaction
    may touch 100,000 rows.
    """

    __slots__ = ("_marks", "_nets", "_undo")

    def __init__(self) -> None:
        self._nets: dict[Group, dict[Any, Net]] = {}
        self._marks: list[tuple[str, int]] = []
        self._undo: list[tuple[dict[Any, Net], Any, Net | None]] = []

    def __bool__(self) -> bool:
        """Return whether any step is held."""
        return any(self._nets.values())

    def add(self, step: Step) -> None:
        """Take the next step; a step that changes nothing renews the values."""
        (association, key, place), before, after, old, new, stamp = step
        nets = self._nets.setdefault((association, place), {})
        self._take(nets, key, before, old, after, new, stamp)

    def add_many(
        self,
        group: Group,
        changes: Iterable[tuple[tuple[Any, ...], State, Values, State, Values | None]],
        stamp: Stamp,
    ) -> None:
        """Take steps of one group that were made by one.

        Args:
            group: Whose they are.
            changes: Of each subject the key, its state and values before, and after.
            stamp: Who made them.
        """
        nets = self._nets.setdefault(group, {})
        take = self._take
        for key, before, old, after, new in changes:
            take(nets, key, before, old, after, new, stamp)

    def _take(
        self,
        nets: dict[Any, Net],
        key: Any,
        before: State,
        old: Values | None,
        after: State,
        new: Values | None,
        stamp: Stamp,
    ) -> None:
        if len(key) == 1:
            (key,) = key
        earlier = nets.pop(key, None) if nets else None
        if earlier is None:
            if before is after and (before is State.ABSENT or old == new):
                return
            presence = None
            change = None if before is after else stamp
        else:
            presence, change = earlier.presence, earlier.change
            if before is not after:
                change = stamp
        if before is not after and (before is State.ABSENT or after is State.ABSENT):
            presence = stamp
        if self._marks:
            self._undo.append((nets, key, earlier))
        if earlier is not None:
            before, old = earlier.before, earlier.old
        nets[key] = Net(before, old, after, new, presence, change)

    def latest(self, subject: Subject) -> Net | None:
        """Return what the steps that were not rolled back have made of a subject."""
        association, key, place = subject
        nets = self._nets.get((association, place))
        if not nets:
            return None
        return nets.get(key[0] if len(key) == 1 else key)

    def savepoint(self, name: str) -> None:
        """Mark a savepoint. A name in use is hidden until the new one is released."""
        self._marks.append((name, len(self._undo)))

    def rollback_to(self, name: str) -> None:
        """Forget what came after the savepoint `name`; the savepoint itself stays."""
        place = self._place_of(name)
        if place is None:
            self.clear()
            return
        del self._marks[place + 1 :]
        length = self._marks[place][1]
        while len(self._undo) > length:
            nets, key, earlier = self._undo.pop()
            if earlier is None:
                del nets[key]
            else:
                nets[key] = earlier

    def release(self, name: str) -> None:
        """Drop the savepoint `name` and those inside it; their steps stay."""
        del self._marks[self._place_of(name) or 0 :]
        if not self._marks:
            self._undo.clear()

    def clear(self) -> None:
        """Forget everything, as a rollback does."""
        self._nets.clear()
        self._marks.clear()
        self._undo.clear()

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
        """Yield the net change of each subject, by group, in order of last steps."""
        for (association, place), nets in self._nets.items():
            for key, (before, old, after, new, presence, change) in nets.items():
                action = action_between(before, after)
                if action is None or change is None:
                    continue
                is_presence = action is Action.CREATE or action is Action.DESTROY
                whole = key if type(key) is tuple else (key,)
                yield Transition(
                    Subject(association, whole, place),
                    action,
                    before,
                    after,
                    old if action is Action.DESTROY else new,
                    presence if is_presence and presence is not None else change,
                )


def action_between(before: State, after: State) -> Action | None:
    """Return what happened to a subject that went from `before` to `after`."""
    if before is after:
        return None
    if before is State.ABSENT:
        return Action.CREATE
    if after is State.ABSENT:
        return Action.DESTROY
    return Action.ENABLE if after is State.ENABLED else Action.DISABLE
