"""What a relay has done so far, for those who watch it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple


class Tally(NamedTuple):
    """What was done; added up by `+`.

    Args:
        delivered: Events that were accepted.
        rejected: Events that were refused for good.
        lost: Batches whose lease was lost: another relay sends them again.
    """

    delivered: int = 0
    rejected: int = 0
    lost: int = 0

    def __add__(self, other: tuple[object, ...]) -> Tally:
        """Return the sum, field by field."""
        if not isinstance(other, Tally):
            return NotImplemented
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a relay has done since it was made.

    Args:
        delivered: Events that the gateway has accepted.
        rejected: Events refused for good, kept in `hydro_rejected`.
        lost: Batches whose lease was lost while they were on their way; nothing was
            written, and another relay has sent them again.
        passed_at: When it last had looked at all shards that were ready, UTC; None
            when it never had.
        problem: Why it cannot work; None when it can.
    """

    delivered: int = 0
    rejected: int = 0
    lost: int = 0
    passed_at: datetime | None = None
    problem: str | None = None

    @property
    def settled(self) -> int:
        """Events that it has delivered, or set aside as refused."""
        return self.delivered + self.rejected


class Account:
    """Keeps a relay's progress, which several of its threads make."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.progress = Progress()

    def add(self, tally: Tally = Tally(), **changed: Any) -> None:  # noqa: B008 - immutable
        """Count what was done, and change other fields of the progress.

        Args:
            tally: What was done since.
            changed: `passed_at` and `problem`, by name.
        """
        with self._guard:
            before = self.progress
            self.progress = replace(
                before,
                delivered=before.delivered + tally.delivered,
                rejected=before.rejected + tally.rejected,
                lost=before.lost + tally.lost,
                **changed,
            )
