"""One execution of a statement, followed: what its rows were before, and are after.

Nothing is concluded from what a statement says where the database can be asked: the
rows that it may change are read under its own lock, it runs, and what became of them is
read again.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from hydro_hooks.detection import dependants, outcome, rows
from hydro_hooks.detection.parts import Part
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.transactions import GONE, Known, TransactionLog
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place, Stamp, Subject

logger = logging.getLogger("hydro_hooks")


@dataclass(slots=True, kw_only=True, eq=False)
class Following(abc.ABC):
    """One part of one execution.

    Args:
        part: What it does.
        reach: Which tables matter.
        log: Of the transaction.
        place: The schema translation in force.
        parameters: Of each set that it is executed with.
        stamp: Who executes it.
        is_flush: Whether a flush made it: what it names is followed there.
        before: What the rows were that it may change.
        stamps: Who changed a row, where it was not who executes.
    """

    part: Part
    reach: Reach
    log: TransactionLog
    place: Place | None
    parameters: Sequence[Mapping[str, Any]]
    stamp: Stamp
    is_flush: bool = False
    before: dict[Subject, Known] = field(default_factory=dict)
    stamps: dict[Subject, Stamp] = field(default_factory=dict)

    @abc.abstractmethod
    def begin(self, connection: Connection, parents: Mapping[Key, Stamp]) -> None:
        """Read what the part is about to change.

        Args:
            connection: Where it is about to run.
            parents: Of a flush that deletes rows: who deleted which.

        Raises:
            NotFollowedError: Which rows that are cannot be found out.
        """

    @abc.abstractmethod
    def end(self, connection: Connection, rowcount: int, result: Any | None) -> None:
        """Take the steps that the part made.

        Args:
            connection: Where it ran.
            rowcount: What the driver says; negative where it does not.
            result: SQLAlchemy's, where there is one.
        """

    @abc.abstractmethod
    def failed(self, connection: Connection) -> None:
        """Take the steps of a statement that failed and kept some of its rows."""

    def count_of(self, rowcount: int) -> int | None:
        """Return how many rows the part itself touched; None where nobody says."""
        return rowcount if self.part.is_whole and rowcount >= 0 else None

    def hold(
        self, connection: Connection, tracked: TrackedModel, key: Key, row: Found
    ) -> None:
        """Note what a row is that may be changed."""
        subject = Subject(tracked.association, key, self.place)
        if self.log.netting.latest(subject) is None:
            row = dependants.as_others_saw(connection, self.log, tracked, subject, row)
        self.before.setdefault(subject, row)

    def go_beyond(self, connection: Connection, stamps: Mapping[Key, Stamp]) -> None:
        """Read what goes or changes together with rows of the part's table."""
        part = self.part
        dependants.keep(
            connection, self.log, part.readers, part.table, list(stamps), self.place
        )
        by_table: dict[Any, dict[Key, Stamp]] = {}
        for table, key, stamp in self.reach.follow(
            connection, part.edges, part.table, stamps, self.place
        ):
            by_table.setdefault(table, {})[key] = stamp
        for table, made in by_table.items():
            dependants.keep(
                connection,
                self.log,
                self.reach.readers.get(table, ()),
                table,
                list(made),
                self.place,
            )
        for table, made in by_table.items():
            for tracked in self.reach.tracked.get(table, ()):
                found = rows.read(connection, tracked, list(made), Lock.OWN, self.place)
                for key, row in found.items():
                    self.hold(connection, tracked, key, row)
                    self.stamps[Subject(tracked.association, key, self.place)] = made[
                        key
                    ]
            if table in self.reach.readers:
                dependants.touch(self.log, table, made, self.place)

    def models(self) -> list[TrackedModel]:
        """Return the models whose rows are held; else those that the part names."""
        associations = dict.fromkeys(subject.association for subject in self.before)
        return [self.reach.models[association] for association in associations] or list(
            self.part.tracked
        )

    def read_again(
        self, connection: Connection, tracked: TrackedModel, keys: Iterable[Key]
    ) -> None:
        """Take the steps of rows by what they are now."""
        asked = list(dict.fromkeys(keys))
        found = rows.read(connection, tracked, asked, Lock.OWN, self.place)
        for key in asked:
            self.compare(tracked, key, found.get(key))

    def compare(self, tracked: TrackedModel, key: Key, found: Found | None) -> None:
        """Take the step of a row that was what is held, and is now as found."""
        subject = Subject(tracked.association, key, self.place)
        stamp = self.stamps.get(subject, self.stamp)
        before = self.before.get(subject, GONE)
        self.log.step(subject, before, outcome.after(tracked, found), stamp)
