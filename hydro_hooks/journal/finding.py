"""What a text stands for: a customer's lives, a transition, or an actor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from hydro_hooks.journal.lives import INSTALLATION, Life, Mark, in_order, split
from hydro_hooks.journal.queries import EVERYTHING
from hydro_hooks.journal.readings import (
    NUMBERS,
    Reading,
    alternatives,
    readings_of,
)
from hydro_hooks.journal.records import Kind
from hydro_hooks.journal.search import Search


class Found(NamedTuple):
    """What a text stands for.

    Args:
        reading: What it was taken for.
        also: What else it could have been.
        matched: The numbers of the events that bear it.
        lives: Of the rows that these are of; none for an actor.
    """

    reading: Reading
    also: tuple[Kind, ...]
    matched: frozenset[int]
    lives: list[Life]

    @property
    def kind(self) -> Kind:
        """What kind of thing that is."""
        return self.reading.kind

    @property
    def listed(self) -> list[Mark]:
        """What a list of it has, in order: of a transaction its own events alone."""
        marks = in_order(self.lives)
        if self.kind is not Kind.TRANSACTION:
            return marks
        return [mark for mark in marks if mark.seq in self.matched]


def find(search: Search, text: str, kind: Kind | None) -> Found | None:
    """Return what a text stands for; None where nothing is held of it."""
    readings = readings_of(text, kind)
    for reading in readings:
        if reading.kind is Kind.ACTOR:
            is_known = bool(search.newest(alternatives(EVERYTHING, reading), limit=1))
            return Found(reading, (), frozenset(), []) if is_known else None
        marks = search.matching(reading)
        if marks:
            matched = frozenset(mark.seq for mark in marks)
            lives = _lives(search, marks)
            if reading.kind is Kind.HOST:
                lives = _lives(search, {*marks, *_under_other_hosts(search, lives)})
            also = _others(search, reading, readings)
            return Found(reading, also, matched, lives)
    return None


def _lives(search: Search, marks: Collection[Mark]) -> list[Life]:
    """Return the whole lives that marks are of."""
    numbers = {mark.seq for mark in marks}
    every = split({*marks, *search.same_rows(marks)})
    return [life for life in every if any(m.seq in numbers for m in life.marks)]


def _under_other_hosts(search: Search, lives: Sequence[Life]) -> Iterator[Mark]:
    """Yield what belongs to installations while their host was another one."""
    spans = {
        (life.marks[0].app, number): life
        for life in lives
        if life.association == INSTALLATION
        and len({mark.jira_hostname for mark in life.marks}) > 1
        and (number := life.marks[-1].jira_integration_id or life.marks[-1].row)
    }
    if not spans:
        return  # as nearly always
    ids = tuple(sorted({number for _, number in spans}))
    for mark in search.matching(Reading(Kind.JIRA, ids)):
        life = spans.get((mark.app, mark.jira_integration_id or ""))
        if life is not None and life.spans(mark.occurred_at):
            yield mark


def _others(
    search: Search, taken: Reading, readings: Sequence[Reading]
) -> tuple[Kind, ...]:
    """Return what else a number stands for: of two systems, one may be meant."""
    if taken.kind not in NUMBERS:
        return ()
    others = [each for each in readings if each.kind in NUMBERS and each != taken]
    return tuple(each.kind for each in others if search.matching(each))
