"""What belongs together: the life of a row, from its create to its destroy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from hydro_hooks.transition import Action

INSTALLATION: Final = "installation"


class Mark(NamedTuple):
    """As much of a record as tells which life it belongs to."""

    seq: int
    occurred_at: datetime
    association: str
    subject_id: str | None
    jira_integration_id: str | None
    github_installation_id: str | None
    action: str
    reason: str
    github_actor: str | None
    jira_actor: str | None
    origin: str | None
    app: str | None

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

    def is_there(self, at: datetime | None) -> bool:
        """Return whether the row is there at `at`; at its last mark when None."""
        if self.until is not None and (at is None or self.until <= at):
            return False
        return self.by(at)[-1].action != Action.DESTROY


def split(marks: Iterable[Mark]) -> Iterator[Life]:
    """Yield the lives that marks belong to, in any order."""
    by_subject: dict[tuple[str | None, ...], list[Mark]] = {}
    for mark in sorted(marks):
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


def latest(lives: Sequence[Life], at: datetime | None) -> Mark | None:
    """Return the mark that made the state at `at`, of the life that counts then."""
    begun = [life for life in lives if life.by(at)]
    if not begun:
        return None
    life = max(begun, key=lambda life: (life.is_there(at), life.by(at)[-1].seq))
    return life.by(at)[-1]


def first(lives: Sequence[Life], matched: frozenset[int]) -> Mark:
    """Return the earliest of the marks that a search matched."""
    return min(mark for life in lives for mark in life.marks if mark.seq in matched)


def last_of(lives: Sequence[Life], is_wanted: Callable[[Mark], bool]) -> Mark | None:
    """Return the newest mark that is wanted."""
    every = (mark for life in lives for mark in life.marks)
    return max(filter(is_wanted, every), default=None)


def neighbours(
    lives: Sequence[Life], mark: Mark | None
) -> tuple[Mark | None, Mark | None]:
    """Return the marks before and after, of the same life where it has them."""
    every = sorted(each for life in lives for each in life.marks)
    if mark is None:
        return None, every[0]
    own = next(life.marks for life in lives if mark in life.marks)
    before = [each for each in own if each < mark] or [e for e in every if e < mark]
    after = [each for each in own if each > mark] or [e for e in every if e > mark]
    return (before[-1] if before else None), (after[0] if after else None)
