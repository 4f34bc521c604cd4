"""What belongs together: the life of a row, from its create to its destroy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import gt, lt
from typing import Final, NamedTuple
from uuid import UUID

from hydro_hooks.transition import Action

INSTALLATION: Final = "installation"

_BY_TIME: Final = 7
"""The version of UUIDs that begin with milliseconds, in 48 bits of 128."""

_TIME_SHIFT: Final = 128 - 48


class Mark(NamedTuple):
    """As much of a record as tells which life it belongs to."""

    seq: int
    id: str
    occurred_at: datetime
    association: str
    subject_id: str | None
    jira_integration_id: str | None
    github_installation_id: str | None
    jira_hostname: str | None
    action: str
    reason: str
    github_actor: str | None
    jira_actor: str | None
    origin: str | None
    app: str | None

    @property
    def order(self) -> tuple[int, str, int]:
        """What marks are sorted by: as the changes were committed.

        That is the order of `seq` in an app's database. At a gateway it is that of
        arrival, and what was refused at first and redriven came after what followed it:
        there the ids tell, which are made at each commit, one after the other.
        """
        if self.app is None:
            return 0, "", self.seq
        number = UUID(self.id)
        if number.version == _BY_TIME:
            return number.int >> _TIME_SHIFT, self.id, self.seq
        # Another sender's own id: it tells no order, the time of the change does.
        return int(self.occurred_at.timestamp() * 1000), "", self.seq

    @property
    def row(self) -> str | None:
        """The key of the row; of an installation of `jira.v0.Action` its id."""
        if self.subject_id is None and self.association == INSTALLATION:
            return self.jira_integration_id
        return self.subject_id

    @property
    def subject(self) -> tuple[str | None, ...]:
        """Which row it is about, as well as the sender's schema tells."""
        ids = (self.jira_integration_id, self.github_installation_id)
        return (self.app, self.association, *(ids if self.row is None else (self.row,)))


class Life(NamedTuple):
    """The marks of one row from its create to its destroy."""

    marks: tuple[Mark, ...]
    until: datetime | None  # when another life of the same key began

    @property
    def association(self) -> str:
        """What the row stands for."""
        return self.marks[0].association

    def by(self, at: datetime | None) -> list[Mark]:
        """Return the marks made until `at`; all of them when it is None."""
        return [mark for mark in self.marks if at is None or mark.occurred_at <= at]

    def spans(self, moment: datetime) -> bool:
        """Return whether a moment is in it: not before, nor after its end."""
        last = self.marks[-1]
        is_over = last.action == Action.DESTROY and moment > last.occurred_at
        is_next = self.until is not None and moment >= self.until
        return moment >= self.marks[0].occurred_at and not is_over and not is_next

    def is_there(self, at: datetime | None) -> bool:
        """Return whether the row is there at `at`; at its last mark when None."""
        if self.until is not None and (at is None or self.until <= at):
            return False
        return self.by(at)[-1].action != Action.DESTROY


def split(marks: Iterable[Mark]) -> Iterator[Life]:
    """Yield the lives that marks belong to, in any order."""
    by_subject: dict[tuple[str | None, ...], list[Mark]] = {}
    for mark in sorted(marks, key=_order):
        by_subject.setdefault(mark.subject, []).append(mark)
    for its in by_subject.values():
        starts = [
            place
            for place, mark in enumerate(its)
            if place == 0
            or mark.action == Action.CREATE
            or its[place - 1].action == Action.DESTROY
        ]
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            until = None if end is None else its[end].occurred_at
            yield Life(tuple(its[start:end]), until)


def latest(
    lives: Sequence[Life], at: datetime | None, matched: frozenset[int]
) -> Mark | None:
    """Return the mark that made the state at `at`, of the life that counts then.

    Args:
        lives: Of all that is meant.
        at: The moment; the present when None.
        matched: The numbers of the marks that bear what was asked for.
    """
    begun = [life for life in lives if life.by(at)]
    if not begun:
        return None
    life = max(begun, key=lambda life: _weight(life, at, matched))
    return life.by(at)[-1]


def _weight(
    life: Life, at: datetime | None, matched: frozenset[int]
) -> tuple[bool, bool, tuple[int, str, int]]:
    """Return what counts for a life: that it is there, and still bears what was asked.

    A site that was renamed left its host to whoever has it now.
    """
    last = life.by(at)[-1]
    return life.is_there(at), last.seq in matched, last.order


def first(lives: Sequence[Life], matched: frozenset[int]) -> Mark:
    """Return the earliest of the marks that a search matched."""
    every = (mark for life in lives for mark in life.marks)
    return min((mark for mark in every if mark.seq in matched), key=_order)


def last_of(lives: Sequence[Life], is_wanted: Callable[[Mark], bool]) -> Mark | None:
    """Return the newest mark that is wanted."""
    every = (mark for life in lives for mark in life.marks)
    return max(filter(is_wanted, every), key=_order, default=None)


def beside(lives: Sequence[Life], mark: Mark, at: datetime | None) -> Sequence[Mark]:
    """Return what made the states of the other installations that are there at `at`."""
    others = (
        life
        for life in lives
        if life.association == INSTALLATION
        and mark not in life.marks
        and life.by(at)
        and life.is_there(at)
    )
    return sorted((life.by(at)[-1] for life in others), key=_order, reverse=True)


def neighbours(
    lives: Sequence[Life], mark: Mark | None
) -> tuple[Mark | None, Mark | None]:
    """Return the marks before and after, of the same life where it has them."""
    every = in_order(lives)
    if mark is None:
        return None, every[0]
    own = next(life.marks for life in lives if mark in life.marks)
    now = mark.order
    before, after = (
        [each for each in own if is_such(each.order, now)]
        or [each for each in every if is_such(each.order, now)]
        for is_such in (lt, gt)
    )
    return (before[-1] if before else None), (after[0] if after else None)


def in_order(lives: Iterable[Life]) -> list[Mark]:
    """Return all marks of lives, in the order of their commits."""
    return sorted((mark for life in lives for mark in life.marks), key=_order)


def _order(mark: Mark) -> tuple[int, str, int]:
    return mark.order
