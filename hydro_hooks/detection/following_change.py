"""UPDATE and DELETE, followed.

One outcome is that of all rows where every row of a DELETE is gone, and every row of an
UPDATE has the constants: if the row count agrees, nothing is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from hydro_hooks.detection import (
    counters,
    dependants,
    late,
    outcome,
    rows,
    stored_keys,
)
from hydro_hooks.detection.connections import (
    MARIADB,
    is_read_committed,
    sees_snapshot,
)
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.matching import Matching
from hydro_hooks.detection.parts import Kind
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.text_matching import TextMatching
from hydro_hooks.detection.transactions import GONE, Known
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Stamp, State, Subject, Values


@dataclass(slots=True, kw_only=True, eq=False)
class FollowingChange(Following):
    """An UPDATE or DELETE.

    Args:
        matching: Which rows it touches.
        computed: What those that are held are afterwards, if all goes as it says.
        foretold: Rows with one outcome for all, by model; kept small, since there may
            be very many.
        matched: How many rows it should report.
        new_keys: Keys that an UPDATE gives to rows.
        keys: Of the rows that it names, old and new, where more depends on them.
    """

    matching: Matching | TextMatching
    computed: dict[Subject, Known] = field(default_factory=dict)
    foretold: dict[TrackedModel, list[tuple[Key, State, Values]]] = field(
        default_factory=dict
    )
    matched: int = 0
    new_keys: list[Key] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    def begin(self, connection: Connection, parents: Mapping[Key, Stamp]) -> None:
        """Read the rows that match, and those that go or change with them."""
        part = self.part
        if not self.is_flush:
            for tracked in part.tracked:
                self._read_matching(connection, tracked)
        if part.goes_beyond:
            self.keys = self._named(connection)
            stamps = dict.fromkeys(self.keys, self.stamp)
            self.go_beyond(connection, {**stamps, **parents})
            if part.readers and self.matching.sets_key:
                self._keep_renumbered(connection)

    def _named(self, connection: Connection) -> list[Key]:
        lock = self._lock_of_keys(connection)
        named = (
            key
            for parameters in self.parameters
            for key in self.matching.keys(connection, parameters, self.place, lock)
        )
        return list(dict.fromkeys(named))

    def _lock(self) -> Lock:
        return Lock.DELETE if self.part.kind is Kind.DELETE else Lock.UPDATE

    def _lock_of_keys(self, connection: Connection) -> Lock:
        """Return the lock under which to ask for keys: none where all is seen so."""
        return self._lock() if sees_snapshot(connection) else Lock.NONE

    def _keep_renumbered(self, connection: Connection) -> None:
        """Count a row that subqueries read as changed under its new key, too."""
        lock = self._lock_of_keys(connection)
        new = [
            key
            for parameters in self.parameters
            for key in self.matching.new_keys(connection, parameters, self.place, lock)
        ]
        # Where such a key is taken (UPDATE IGNORE), others see its row.
        part = self.part
        dependants.keep(connection, self.log, part.readers, part.table, new, self.place)
        self.keys += new

    def _read_matching(self, connection: Connection, tracked: TrackedModel) -> None:
        part, lock = self.part, self._lock()
        is_foretold = self._is_foretold(tracked)
        rows_of_model = self.foretold.setdefault(tracked, [])
        matched = 0
        for parameters, key, row, new_key in self._matching(connection, tracked, lock):
            matched += 1
            if is_foretold:
                rows_of_model.append((key, row.state, row.values))
                continue
            self.hold(connection, tracked, key, row)
            if new_key:
                self.new_keys.append(new_key)
            constants = part.constants.get(tracked)
            if constants is not None:
                self._compute(tracked, key, row, constants, parameters)
        # What has a key already that a row is given (UPDATE IGNORE, OR IGNORE).
        taken = rows.read_as_spelled(connection, tracked, self.new_keys, self.place)
        if taken and sees_snapshot(connection):
            taken = rows.read(connection, tracked, list(taken), Lock.OWN, self.place)
        for key, row in taken.items():
            self.hold(connection, tracked, key, row)
        self.matched = max(self.matched, matched)

    def _is_foretold(self, tracked: TrackedModel) -> bool:
        """Return whether one outcome is that of all rows, if the row count agrees."""
        part = self.part
        if tracked.reads_tables or part.edges.get(part.table) or self.stamps:
            return False
        if part.kind is Kind.DELETE:
            return True
        constants = part.constants.get(tracked)
        return (
            constants is not None
            and len(self.parameters) == 1
            and tracked.present is None
            and _are_stored(constants, self.parameters[0])
        )

    def _matching(
        self, connection: Connection, tracked: TrackedModel, lock: Lock
    ) -> Iterator[tuple[Mapping[str, Any], Key, Found, Key]]:
        matching = self.matching
        if isinstance(matching, Matching) and matching.is_by_key:
            named = {
                tracked.key(key): parameters
                for parameters in self.parameters
                for key in matching.named_keys(parameters)
            }
            if all(stored_keys.is_exact(tracked, key) for key in named):
                found = rows.read(connection, tracked, list(named), lock, self.place)
                for key, row in found.items():
                    yield named[key], key, row, ()
                return
        if lock is Lock.UPDATE and not matching.sets_key and _passes_by(connection):
            yield from self._matching_unlocked(connection, tracked)
            return
        for parameters in self.parameters:
            for key, row, new_key in matching.found(
                connection, tracked, parameters, lock, self.place
            ):
                yield parameters, key, row, new_key

    def _matching_unlocked(
        self, connection: Connection, tracked: TrackedModel
    ) -> Iterator[tuple[Mapping[str, Any], Key, Found, Key]]:
        """Yield the rows that match now, locked one by one and not while looking."""
        for parameters in self.parameters:
            named = self.matching.keys(connection, parameters, self.place)
            keys = [tracked.key(key) for key in named]
            found = rows.read_as_stored(
                connection, tracked, keys, Lock.UPDATE, self.place
            )
            for key, row in found.items():
                yield parameters, key, row, ()

    def _compute(
        self,
        tracked: TrackedModel,
        key: Key,
        row: Found,
        constants: Mapping[Any, str],
        parameters: Mapping[str, Any],
    ) -> None:
        if row.state is State.ABSENT or not _are_stored(constants, parameters):
            return  # its flag is not known, or what is set
        after = outcome.after(
            tracked, _with_constants(tracked, row, constants, parameters)
        )
        self.computed[Subject(tracked.association, key, self.place)] = after

    def end(self, connection: Connection, rowcount: int, result: Any | None) -> None:
        """Take the steps: as the statement says, if the row count agrees."""
        part, count = self.part, self.count_of(rowcount)
        if part.readers and part.kind is Kind.UPDATE:
            dependants.touch(self.log, part.table, self.keys, self.place)
        is_as_said = count == self.matched
        is_certain = connection.dialect.name == "sqlite" or self.matching.is_steady
        for_sure = is_as_said and is_certain
        self._settle_foretold(connection, is_as_said=for_sure)
        for tracked in self.models():
            self._settle(connection, tracked, is_as_said=for_sure)
        if is_as_said and not is_certain:
            late.warn_of_others(self, self._passed_by(connection))
        if not count:
            return
        for tracked in part.tracked:
            if self.is_flush and part.kind is Kind.DELETE:
                late.take_of_flush(connection, self, self.matching, tracked, count)
            elif not self.is_flush and count > self.matched:
                missing = count - self.matched
                late.take(connection, self, self.matching, tracked, missing)

    def failed(self, connection: Connection) -> None:
        """Take the steps by what the rows are now."""
        self._settle_foretold(connection, is_as_said=False)
        self.new_keys.clear()  # a statement that fails gives no row another key
        for tracked in self.models():
            self._settle(connection, tracked, is_as_said=False)

    def _settle_foretold(self, connection: Connection, *, is_as_said: bool) -> None:
        """Take the steps of rows whose outcome is known; or hold them, to be read."""
        for tracked, them in self.foretold.items():
            if not is_as_said:
                constants = self.part.constants.get(tracked)
                for key, state, values in them:
                    row = Found(state, values)
                    self.hold(connection, tracked, key, row)
                    if constants is not None:
                        self._compute(tracked, key, row, constants, self.parameters[0])
                continue
            self.log.netting.add_many(
                (tracked.association, self.place),
                self._foretold_changes(tracked, them),
                self.stamp,
            )
        self.foretold.clear()

    def _foretold_changes(
        self, tracked: TrackedModel, them: list[tuple[Key, State, Values]]
    ) -> Iterator[tuple[Key, State, Values, State, Values | None]]:
        them.reverse()
        if self.part.kind is Kind.DELETE:
            while them:  # and let each go as it is taken
                key, state, values = them.pop()
                yield key, state, values, State.ABSENT, None
            return
        constants = self.part.constants.get(tracked, {})
        sets_values = not constants.keys().isdisjoint(tracked.values)
        no_values = Values(None, None, None)
        after = {
            state: _with_constants(
                tracked, Found(state, no_values), constants, self.parameters[0]
            ).state
            for state in (State.ENABLED, State.DISABLED)
        }
        while them:
            key, state, values = them.pop()
            new = values
            if sets_values:
                row = Found(state, values)
                new = _with_constants(
                    tracked, row, constants, self.parameters[0]
                ).values
            yield key, state, values, after[state], new

    def _passed_by(self, connection: Connection) -> int:
        """Return how many rows that matched were not touched.

        Others decided meanwhile that the statement should touch others in their stead.
        """
        count, unchanged = 0, []
        for subject, before in self.before.items():
            step = self.log.netting.latest(subject)
            now = before[0] if step is None else step.after
            if subject in self.stamps:
                continue
            if self.part.kind is Kind.DELETE:
                count += now is not State.ABSENT
            elif subject in self.computed:
                count += now is not self.computed[subject][0]
            elif now is before[0]:
                unchanged.append(subject.key)
        if unchanged and connection.dialect.name == "postgresql":
            written = counters.made_here(
                connection,
                self.part.table,
                unchanged,
                self.place,
                is_committed=self.log.is_autocommit,
            )
            count += len(unchanged) - len(written)
        return count

    def _settle(
        self, connection: Connection, tracked: TrackedModel, *, is_as_said: bool
    ) -> None:
        """Take the steps of one model's rows, of which it is known what they were."""
        unknown: list[Key] = []
        gone = is_as_said and self.part.kind is Kind.DELETE
        for subject, before in self.before.items():
            if subject.association != tracked.association:
                continue
            if gone and subject not in self.stamps:
                self.log.step(subject, before, GONE, self.stamp)
            elif is_as_said and subject in self.computed:
                stamp = self.stamps.get(subject, self.stamp)
                self.log.step(subject, before, self.computed[subject], stamp)
            else:
                unknown.append(subject.key)
        if tracked in self.part.tracked:
            unknown += self.new_keys
        self.read_again(connection, tracked, unknown)


def _are_stored(constants: Mapping[Field, str], parameters: Mapping[str, Any]) -> bool:
    """Return whether the values of parameters are known, and stored as they are."""
    return all(
        name in parameters and type(parameters[name]) in field.stored
        for field, name in constants.items()
    )


def _passes_by(connection: Connection) -> bool:
    """Return whether an UPDATE passes by rows that others have locked and it spares.

    MariaDB's does, under READ COMMITTED; a locking SELECT would wait for them.
    """
    return connection.dialect.name in MARIADB and is_read_committed(connection)


def _with_constants(
    tracked: TrackedModel,
    row: Found,
    constants: Mapping[Field, str],
    parameters: Mapping[str, Any],
) -> Found:
    """Return a row that is there after an UPDATE has set constants."""
    present: Any = tracked.present
    enabled: Any = tracked.enabled
    state, values = row
    if present in constants or enabled in constants:
        is_present = parameters[constants[present]] if present in constants else True
        is_enabled = (
            parameters[constants[enabled]]
            if enabled in constants
            else state is State.ENABLED
        )
        state = tracked.state(is_present, is_enabled)
    if not constants.keys().isdisjoint(tracked.values):
        new: list[Any] = [
            parameters[constants[one]] if one in constants else old  # type: ignore[index]
            for one, old in zip(tracked.values, values, strict=True)
        ]
        values = Values(*new)
    return Found(state, values)
