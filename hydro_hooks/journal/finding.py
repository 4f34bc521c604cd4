"""What a text stands for: a customer's lives, a transition, or an actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hydro_hooks.journal.lives import Life, split
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
            every = split({*marks, *search.same_rows(marks)})
            lives = [
                life for life in every if any(m.seq in matched for m in life.marks)
            ]
            also = _others(search, reading, readings)
            return Found(reading, also, matched, lives)
    return None


def _others(
    search: Search, taken: Reading, readings: Sequence[Reading]
) -> tuple[Kind, ...]:
    """Return what else a number stands for: of two systems, one may be meant."""
    if taken.kind not in NUMBERS:
        return ()
    others = [each for each in readings if each.kind in NUMBERS and each != taken]
    return tuple(each.kind for each in others if search.matching(each))
