"""INSERT, followed: the rows that it makes, and those that it meets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import InvalidRequestError

from hydro_hooks.detection import (
    counters,
    dependants,
    inserting,
    late,
    rows,
    stored_keys,
)
from hydro_hooks.detection.connections import MARIADB, sees_snapshot
from hydro_hooks.detection.counters import Mark
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.inserting import Given, Inserting
from hydro_hooks.detection.parameters import NotFollowedError
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Stamp, Subject

logger = logging.getLogger("hydro_hooks")

_TWICE: Final = 2
"""How often MariaDB counts a row that an INSERT met and changed."""


@dataclass(slots=True, kw_only=True, eq=False)
class FollowingInsert(Following):
    """An INSERT.

    Args:
        row: How its rows are known.
        given: What the program gives of them.
        stood: Where the table's counter stood before.
    """

    row: Inserting
    given: list[Given] = field(default_factory=list)
    met: list[Key] = field(default_factory=list)
    stood: Mark | None = None

    def begin(self, connection: Connection, parents: Mapping[Key, Stamp]) -> None:
        """Read the rows that it will meet, and where the table's counter stands."""
        part, row = self.part, self.row
        is_told = (
            part.is_whole
            and part.element is not None
            and inserting.is_told(part.element, self.parameters)
        )
        # PostgreSQL tells the key of a row that an upsert meets, too.
        if row.meets and not (is_told and connection.dialect.name == "postgresql"):
            self._refuse_computed()
        self.given = self._given(connection)
        if (row.meets or self._may_keep_some(connection)) and not self.is_flush:
            for tracked in part.tracked:
                self._read_met(connection, tracked)
        if row.meets and part.goes_beyond:
            self.met = row.met_keys(connection, self.given, self.place)
            self.go_beyond(connection, dict.fromkeys(self.met, self.stamp))
        keys = row.keys_in(self.given)
        if (row.meets or not is_told) and (not keys or len(keys) < len(self.given)):
            self.stood = counters.mark(connection, part.table, self.place)

    def _refuse_computed(self) -> None:
        """Refuse an upsert that finds the row it meets by a value nobody knows yet."""
        for column in self.part.computed:
            if any(column in columns for columns in self.row.unique_sets):
                message = f"its unique value of {column.name} is an expression"
                raise NotFollowedError(message)

    def _may_keep_some(self, connection: Connection) -> bool:
        """Return whether the rows before one that fails are kept."""
        return len(self.parameters) > 1 and connection.dialect.name != "postgresql"

    def _given(self, connection: Connection) -> list[Given]:
        part, row = self.part, self.row
        if part.selected is None:
            assert part.element is not None  # noqa: S101 - it is not text
            return inserting.given_by(part.element, row.wanted, self.parameters)
        return [
            given
            for parameters in self.parameters
            for given in part.selected.given(
                connection, row.wanted, parameters, self.place
            )
        ]

    def _read_met(self, connection: Connection, tracked: TrackedModel) -> None:
        """Read the rows that an INSERT will meet, under the lock that it will take."""
        row = self.row
        # On MariaDB a locking read of a key that is not there blocks other INSERTs.
        is_gapped = sees_snapshot(connection)
        leaves = row.leaves or not row.meets
        lock = Lock.NONE if leaves or is_gapped else Lock.UPDATE
        found = row.met(connection, tracked, self.given, lock, self.place)
        if is_gapped and found and not leaves:
            found = rows.read(connection, tracked, list(found), Lock.UPDATE, self.place)
        for key, one in found.items():
            self.hold(connection, tracked, key, one)

    def end(self, connection: Connection, rowcount: int, result: Any | None) -> None:
        """Take the steps of the rows that were made, and of those that were met."""
        count = self.count_of(rowcount)
        if self._has_made_all(count):
            self.before.clear()  # what was read there had gone meanwhile
        self._settle(connection, count, result)

    def _has_made_all(self, count: int | None) -> bool:
        """Return whether an INSERT that has succeeded met no row."""
        row = self.row
        if not row.meets:
            return True
        return row.leaves and self.part.selected is None and count == len(self.given)

    def failed(self, connection: Connection) -> None:
        """Take the steps of the rows that were kept."""
        if self.row.meets or self._may_keep_some(connection):
            self._settle(connection, None, None)

    def _settle(
        self, connection: Connection, count: int | None, result: Any | None
    ) -> None:
        part = self.part
        keys = self._inserted(connection, count, result)
        if part.readers:
            # What reads a row that an upsert met was kept; not if it failed there.
            held = {subject.key for subject in self.before}
            new = self.met + [key for key in keys if self.row.meets or key not in held]
            dependants.touch(self.log, part.table, new, self.place)
        if self.is_flush:
            return
        for tracked in part.tracked:
            self._settle_model(connection, tracked, keys, count)
        for tracked in self.models():
            if tracked not in part.tracked:  # what a replaced row took along
                self.read_again(connection, tracked, self._held(tracked))

    def _held(self, tracked: TrackedModel) -> list[Key]:
        return [
            subject.key
            for subject in self.before
            if subject.association == tracked.association
        ]

    def _settle_model(
        self,
        connection: Connection,
        tracked: TrackedModel,
        keys: list[Key],
        count: int | None,
    ) -> None:
        row = self.row
        asked = dict.fromkeys(tracked.key(key) for key in keys)
        if row.meets:
            # As the rows spell their keys, which the program may spell otherwise.
            for key in row.keys_in(self.given):
                asked.pop(tracked.key(key), None)
            met = row.met(connection, tracked, self.given, Lock.NONE, self.place)
            asked.update(dict.fromkeys(met))
        stored = stored_keys.as_stored(connection, tracked, asked, Lock.OWN, self.place)
        for key, its in stored.items():
            stamp = self.stamps.get(Subject(tracked.association, key, self.place))
            if stamp is not None and key != its:
                self.stamps[Subject(tracked.association, its, self.place)] = stamp
        if not row.meets and count == len(keys):  # each was inserted
            self._warn_of_lost(len(asked) - len(stored), count)
        asked = dict.fromkeys([*stored.values(), *self._held(tracked)])
        # Those that it made, met and changed, or met and left as they are: its own.
        lock = Lock.OWN if row.meets and not row.leaves else Lock.NONE
        found = rows.read(connection, tracked, list(asked), lock, self.place)
        if row.meets and not self._is_renewed(tracked, found):
            self._leave_others(connection, tracked, asked, count)
        for key in asked:
            self.compare(tracked, key, found.get(key))

    def _is_renewed(self, tracked: TrackedModel, found: Mapping[Key, Found]) -> bool:
        """Return whether a row that was met has gone: another took its place."""
        return any(key not in found for key in self._held(tracked))

    def _inserted(
        self, connection: Connection, count: int | None, result: Any | None
    ) -> list[Key]:
        """Return the keys of the rows that an INSERT made, or may have made."""
        row = self.row
        keys = row.keys_in(self.given)
        selected = self.part.selected
        if keys and not row.meets and selected is not None and selected.is_asked:
            # A SELECT that is asked twice may answer otherwise: random(), uuid().
            keys = row.met_keys(connection, self.given, self.place)
        if self.stood is not None:
            new = counters.beyond(
                connection,
                self.stood,
                self.place,
                count=None if row.meets or count is None else count - len(keys),
                first=None if result is None else _first_number(connection, result),
                is_committed=self.log.is_autocommit,
            )
            keys = list(dict.fromkeys((*keys, *(new or ()))))
        elif not row.meets and not keys and result is not None:
            keys = _told(result)
        expected = count
        if not self.part.is_whole:  # PostgreSQL's, in a CTE: it has no count
            expected = len(self.given)
        if not row.meets and expected is not None and len(set(keys)) < expected:
            self._warn_of_lost(expected - len(set(keys)), expected)
        return keys

    def _warn_of_lost(self, lost: int, inserted: int) -> None:
        if lost:
            logger.warning(
                "%d of the %d row(s) that were inserted into %s at %s cannot be found"
                " and are not recorded",
                lost,
                inserted,
                self.part.table.name,
                self.stamp.origin or "an unknown place",
            )

    def _leave_others(
        self,
        connection: Connection,
        tracked: TrackedModel,
        asked: dict[Key, None],
        count: int | None,
    ) -> None:
        """Leave out rows that another transaction has made since they were read."""
        new = [
            key
            for key in asked
            if Subject(tracked.association, key, self.place) not in self.before
        ]
        if not new:
            return
        if connection.dialect.name == "postgresql":
            made = counters.made_here(
                connection,
                self.part.table,
                new,
                self.place,
                is_committed=self.log.is_autocommit,
            )
        elif (
            connection.dialect.name in MARIADB
            and (count, len(self.given), len(new)) == (_TWICE, 1, 1)
            and not self.row.returns
        ):
            made = {new[0]: False}
        else:
            return
        # A row that is given twice is made by the one and changed by the other.
        is_repeated = any(self.row.repeats(self.given))
        for key in new:
            is_new = made.get(key)
            if is_new or (is_new is False and is_repeated):
                continue
            del asked[key]
            if is_new is False:
                found = rows.read(connection, tracked, [key], Lock.NONE, self.place)
                for one in found.values():
                    late.step(connection, self, tracked, key, one)


def _told(result: Any) -> list[Key]:
    """Return the key that the result of a single INSERT tells."""
    try:
        told = result.inserted_primary_key_rows
    except InvalidRequestError:
        return []
    return [tuple(key) for key in told or () if None not in key]


def _first_number(connection: Connection, result: Any) -> int | None:
    if connection.dialect.name not in MARIADB:
        return None
    number: int | None = result.lastrowid
    return number or None
