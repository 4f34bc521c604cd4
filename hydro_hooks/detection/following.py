"""One execution of a statement, followed: what its rows were before, and are after.

Nothing is concluded from what a statement says where the database can be asked: the rows
that it may change are read under its own lock, it runs, and what became of them is read
again, unless all that it did is known (every row of a DELETE is gone, every row of an
UPDATE has the constants) and the row count agrees.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import InvalidRequestError

from hydro_hooks.detection import dependants, inserting, outcome, rows
from hydro_hooks.detection.following_text import given_by_text
from hydro_hooks.detection.inserting import Given, Mark
from hydro_hooks.detection.parts import Kind, Part
from hydro_hooks.detection.raw_sql import Raw
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.transactions import GONE, Known, TransactionLog
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place, Stamp, State, Subject, Values

logger = logging.getLogger("hydro_hooks")


@dataclass(slots=True, kw_only=True, eq=False)
class Following:
    """One part of one execution.

    Args:
        part: What it does.
        reach: Which tables matter.
        log: Of the transaction.
        place: The schema translation in force.
        parameters: Of each set that it is executed with.
        stamp: Who executes it.
        before: What the rows were that it may change.
        computed: What those of `before` are afterwards, if all goes as it says.
        stamps: Who changed a row, where it was not who executes.
        matched: How many rows it should report; negative when that is not known.
        given: What the program gives of the rows of an INSERT.
        stood: Where the table's counter stood before an INSERT.
        foretold: Rows of which the statement says itself what becomes of them, by
            model; kept small, since there may be very many.
        new_keys: Keys that an UPDATE gives to rows.
        keys: Of the rows that the statement names, where more depends on them.
        is_flush: Whether a flush made it: what it names is followed there.
    """

    part: Part
    reach: Reach
    log: TransactionLog
    place: Place | None
    parameters: Sequence[Mapping[str, Any]]
    stamp: Stamp
    before: dict[Subject, Known] = field(default_factory=dict)
    computed: dict[Subject, Known] = field(default_factory=dict)
    stamps: dict[Subject, Stamp] = field(default_factory=dict)
    matched: int = 0
    given: list[Given] = field(default_factory=list)
    stood: Mark | None = None
    new_keys: list[Key] = field(default_factory=list)
    foretold: dict[TrackedModel, list[tuple[Key, State, Values]]] = field(
        default_factory=dict
    )
    keys: list[Key] = field(default_factory=list)
    is_flush: bool = False

    def take_text(self, raw: Raw) -> None:
        """Take what an INSERT written as text says of its rows."""
        if self.part.inserting is not None:
            self.given = given_by_text(
                self.part.table, self.part.inserting.wanted, raw, self.parameters
            )

    # Before it runs ---------------------------------------------------------------

    def begin(
        self, connection: Connection, parents: Mapping[Key, Stamp] | None = None
    ) -> None:
        """Read what the part is about to change.

        Args:
            connection: Where it is about to run.
            parents: Of a flush that deletes rows: who deleted which.
        """
        part = self.part
        if part.kind is Kind.INSERT:
            self._begin_insert(connection)
            return
        if not self.is_flush:
            for tracked in part.tracked:
                self._read_matching(connection, tracked)
        if part.goes_beyond:
            self.keys = self._named(connection)
            self._go_beyond(
                connection, dict.fromkeys(self.keys, self.stamp) | dict(parents or {})
            )

    def _named(self, connection: Connection) -> list[Key]:
        assert self.part.matching is not None  # noqa: S101 - an UPDATE or DELETE
        matching = self.part.matching
        named = (
            key
            for parameters in self.parameters
            for key in matching.keys(connection, parameters, self.place)
        )
        return list(dict.fromkeys(named))

    def _read_matching(self, connection: Connection, tracked: TrackedModel) -> None:
        part, matching = self.part, self.part.matching
        assert matching is not None  # noqa: S101 - an UPDATE or DELETE
        lock = Lock.DELETE if part.kind is Kind.DELETE else Lock.UPDATE
        is_foretold = self._is_foretold(tracked)
        rows_of_model = self.foretold.setdefault(tracked, [])
        matched = 0
        for parameters, key, row, new_key in self._matching(connection, tracked, lock):
            matched += 1
            if is_foretold:
                rows_of_model.append((key, row.state, row.values))
                continue
            self._hold(connection, tracked, key, row)
            if new_key:
                self.new_keys.append(new_key)
            constants = part.constants.get(tracked)
            if constants is not None:
                self._compute(tracked, key, row, constants, parameters)
        self.matched = max(self.matched, matched)

    def _is_foretold(self, tracked: TrackedModel) -> bool:
        """Return whether one outcome is that of all rows, if the row count agrees."""
        part = self.part
        if tracked.reads_tables or part.edges.get(part.table):
            return False
        if part.kind is Kind.DELETE:
            return True
        constants = part.constants.get(tracked)
        return (
            constants is not None
            and len(self.parameters) == 1
            and tracked.present is None
            and self.parameters[0].keys() >= set(constants.values())
        )

    def _matching(
        self, connection: Connection, tracked: TrackedModel, lock: Lock
    ) -> Iterator[tuple[Mapping[str, Any], Key, Found, Key]]:
        matching = self.part.matching
        assert matching is not None  # noqa: S101 - an UPDATE or DELETE
        if matching.is_by_key:
            named = {
                tracked.key(key): parameters
                for parameters in self.parameters
                for key in matching.named_keys(parameters)
            }
            found = rows.read(connection, tracked, list(named), lock, self.place)
            for key, row in found.items():
                yield named[key], key, row, ()
            return
        for parameters in self.parameters:
            for key, row, new_key in matching.found(
                connection, tracked, parameters, lock, self.place
            ):
                yield parameters, key, row, new_key

    def _hold(
        self, connection: Connection, tracked: TrackedModel, key: Key, row: Found
    ) -> None:
        subject = Subject(tracked.association, key, self.place)
        if self.log.netting.latest(subject) is None:
            row = dependants.as_others_saw(connection, self.log, tracked, subject, row)
        self.before.setdefault(subject, row)

    def _compute(
        self,
        tracked: TrackedModel,
        key: Key,
        row: Found,
        constants: Mapping[Any, str],
        parameters: Mapping[str, Any],
    ) -> None:
        if row.state is State.ABSENT or not parameters.keys() >= set(
            constants.values()
        ):
            return  # its flag is not known, or what is set
        after = outcome.after(
            tracked, _with_constants(tracked, row, constants, parameters)
        )
        self.computed[Subject(tracked.association, key, self.place)] = after

    def _go_beyond(self, connection: Connection, stamps: Mapping[Key, Stamp]) -> None:
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
                found = rows.read(
                    connection, tracked, list(made), Lock.NONE, self.place
                )
                for key, row in found.items():
                    self._hold(connection, tracked, key, row)
                    self.stamps[Subject(tracked.association, key, self.place)] = made[
                        key
                    ]
            if table in self.reach.readers:
                dependants.touch(self.log, table, made, self.place)

    def _begin_insert(self, connection: Connection) -> None:
        part, row = self.part, self.part.inserting
        assert row is not None  # noqa: S101 - an INSERT
        self.given = self._given(connection)
        if (row.meets or self._may_keep_some(connection)) and not self.is_flush:
            for tracked in part.tracked:
                self._read_met(connection, tracked)
        if part.edges:
            replaced = row.met_keys(connection, self.given, self.place)
            self._go_beyond(connection, dict.fromkeys(replaced, self.stamp))
        keys = row.keys_in(self.given)
        is_told = part.element is not None and inserting.is_told(
            part.element, self.parameters
        )
        if (row.meets or not is_told) and (not keys or len(keys) < len(self.given)):
            self.stood = inserting.mark(connection, part.table, self.place)

    def _may_keep_some(self, connection: Connection) -> bool:
        """Return whether the rows before one that fails are kept."""
        return len(self.parameters) > 1 and connection.dialect.name != "postgresql"

    def _given(self, connection: Connection) -> list[Given]:
        part, row = self.part, self.part.inserting
        assert row is not None  # noqa: S101 - an INSERT
        if part.element is None:
            return self.given
        if part.selected is None:
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
        row = self.part.inserting
        assert row is not None  # noqa: S101 - an INSERT
        # On MariaDB a locking read of a key that is not there blocks other INSERTs.
        is_gapped = connection.dialect.name in _MARIADB and not _is_read_committed(
            connection
        )
        leaves = row.leaves or not row.meets
        lock = Lock.NONE if leaves or is_gapped else Lock.UPDATE
        found = row.met(connection, tracked, self.given, lock, self.place)
        if is_gapped and found and not leaves:
            found = rows.read(connection, tracked, list(found), Lock.UPDATE, self.place)
        for key, one in found.items():
            self._hold(connection, tracked, key, one)

    # After it ran -------------------------------------------------------------------

    def end(self, connection: Connection, rowcount: int, result: Any | None) -> None:
        """Take the steps that the part made.

        Args:
            connection: Where it ran.
            rowcount: What the driver says; negative where it does not.
            result: SQLAlchemy's, where there is one.
        """
        part = self.part
        count = rowcount if part.is_whole and rowcount >= 0 else None
        if part.kind is Kind.INSERT:
            self._end_insert(connection, count, result)
            return
        if part.readers and part.kind is Kind.UPDATE:
            dependants.touch(self.log, part.table, self.keys, self.place)
        is_as_said = count is not None and count == self.matched
        self._settle_foretold(connection, is_as_said=is_as_said)
        for tracked in self._models():
            self._settle(connection, tracked, is_as_said=is_as_said)
            if count is not None and count > self.matched and not self.is_flush:
                self._take_late(connection, tracked, count - self.matched)

    def failed(self, connection: Connection) -> None:
        """Take the steps of a statement that failed and kept some of its rows."""
        if self.part.kind is Kind.INSERT:
            row = self.part.inserting
            if row is not None and (row.meets or self._may_keep_some(connection)):
                self._end_insert(connection, None, None)
            return
        self._settle_foretold(connection, is_as_said=False)
        self.new_keys.clear()  # a statement that fails gives no row another key
        for tracked in self._models():
            self._settle(connection, tracked, is_as_said=False)

    def _settle_foretold(self, connection: Connection, *, is_as_said: bool) -> None:
        """Take the steps of rows whose outcome is known; or hold them, to be read."""
        for tracked, them in self.foretold.items():
            if not is_as_said:
                for key, state, values in them:
                    self._hold(connection, tracked, key, Found(state, values))
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

    def _models(self) -> list[TrackedModel]:
        associations = dict.fromkeys(subject.association for subject in self.before)
        return [self.reach.models[association] for association in associations] or list(
            self.part.tracked
        )

    def _settle(
        self, connection: Connection, tracked: TrackedModel, *, is_as_said: bool
    ) -> None:
        """Take the steps of one model's rows, of which it is known what they were."""
        unknown: list[Key] = list(self.new_keys) if tracked in self.part.tracked else []
        gone = is_as_said and self.part.kind is Kind.DELETE
        for subject, before in self.before.items():
            if subject.association != tracked.association:
                continue
            if gone and subject not in self.stamps:
                self.log.step(subject, before, GONE, self.stamp)
            elif is_as_said and subject in self.computed:
                self.log.step(subject, before, self.computed[subject], self.stamp)
            else:
                unknown.append(subject.key)
        if unknown:
            found = rows.read(
                connection,
                tracked,
                list(dict.fromkeys(unknown)),
                Lock.NONE,
                self.place,
            )
            for key in dict.fromkeys(unknown):
                self._compare(tracked, key, found.get(key))

    def _compare(self, tracked: TrackedModel, key: Key, found: Found | None) -> None:
        subject = Subject(tracked.association, key, self.place)
        stamp = self.stamps.get(subject, self.stamp)
        before = self.before.get(subject, GONE)
        self.log.step(subject, before, outcome.after(tracked, found), stamp)

    def _take_late(
        self, connection: Connection, tracked: TrackedModel, missing: int
    ) -> None:
        """Look for rows that came to match between our read and the statement.

        Only under READ COMMITTED. See `outcome.before_late()`.
        """
        if len(tracked.mapper.tables) > 1 or len(self.parameters) > 1:
            # It counts rows that are none of the model's, or one row several times.
            return
        if self.part.kind is Kind.UPDATE:
            for key, row in self._matching_now(connection, tracked):
                if Subject(tracked.association, key, self.place) not in self.before:
                    missing -= 1
                    self._step_late(connection, tracked, key, row)
        if missing > 0:
            logger.warning(
                "%d row(s) of %s that another transaction brought in during the"
                " statement at %s are not recorded; hydro-hooks reconcile finds them",
                missing,
                tracked.model.__name__,
                self.stamp.origin or "an unknown place",
            )

    def _matching_now(
        self, connection: Connection, tracked: TrackedModel
    ) -> Iterator[tuple[Key, Found]]:
        matching, [parameters] = self.part.matching, self.parameters
        assert matching is not None  # noqa: S101 - an UPDATE
        if matching.is_by_key:
            named = [tracked.key(key) for key in matching.named_keys(parameters)]
            found = rows.read(connection, tracked, named, Lock.NONE, self.place)
            yield from found.items()
            return
        for key, row, _ in matching.found(
            connection, tracked, parameters, Lock.NONE, self.place
        ):
            yield key, row

    def _step_late(
        self, connection: Connection, tracked: TrackedModel, key: Key, row: Found
    ) -> None:
        subject = Subject(tracked.association, key, self.place)
        before = outcome.before_late(connection, subject, row)
        self.log.step(subject, before, outcome.after(tracked, row), self.stamp)

    def _end_insert(
        self, connection: Connection, count: int | None, result: Any | None
    ) -> None:
        part, row = self.part, self.part.inserting
        assert row is not None  # noqa: S101 - an INSERT
        keys = self._inserted(connection, count, result)
        if part.readers:
            dependants.touch(self.log, part.table, keys, self.place)
        if self.is_flush:
            return
        for tracked in part.tracked:
            asked = dict.fromkeys(tracked.key(key) for key in keys)
            if row.meets:
                met = row.met(connection, tracked, self.given, Lock.NONE, self.place)
                asked.update(dict.fromkeys(met))
            asked.update(
                (subject.key, None)
                for subject in self.before
                if subject.association == tracked.association
            )
            found = rows.read(connection, tracked, list(asked), Lock.NONE, self.place)
            if row.meets and not self._is_renewed(tracked, found):
                self._leave_others(connection, tracked, asked, count)
            for key in asked:
                self._compare(tracked, key, found.get(key))
        for tracked in self._models():
            if tracked not in part.tracked:
                self._settle(connection, tracked, is_as_said=False)

    def _is_renewed(self, tracked: TrackedModel, found: Mapping[Key, Found]) -> bool:
        """Return whether a row that was met has gone: another took its place."""
        return any(
            subject.association == tracked.association and subject.key not in found
            for subject in self.before
        )

    def _inserted(
        self, connection: Connection, count: int | None, result: Any | None
    ) -> list[Key]:
        """Return the keys of the rows that an INSERT made, or may have made."""
        row = self.part.inserting
        assert row is not None  # noqa: S101 - an INSERT
        keys = row.keys_in(self.given)
        if self.stood is not None:
            new = inserting.beyond(
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
        if not row.meets and count is not None and len(set(keys)) < count:
            logger.warning(
                "%d of the %d row(s) that were inserted into %s at %s cannot be found"
                " and are not recorded; hydro-hooks reconcile finds them",
                count - len(set(keys)),
                count,
                self.part.table.name,
                self.stamp.origin or "an unknown place",
            )
        return keys

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
            made = inserting.made_here(
                connection,
                self.part.table,
                new,
                self.place,
                is_committed=self.log.is_autocommit,
            )
        elif (
            connection.dialect.name in _MARIADB
            and (count, len(self.given), len(new)) == (_TWICE, 1, 1)
            and self.part.inserting is not None
            and not self.part.inserting.returns
        ):
            made = {new[0]: False}
        else:
            return
        # A row that is given twice is made by the one and changed by the other.
        is_repeated = self.part.inserting is not None and any(
            self.part.inserting.repeats(self.given)
        )
        for key in new:
            is_new = made.get(key)
            if is_new or (is_new is False and is_repeated):
                continue
            del asked[key]
            if is_new is False:
                found = rows.read(connection, tracked, [key], Lock.NONE, self.place)
                for one in found.values():
                    self._step_late(connection, tracked, key, one)


def _with_constants(
    tracked: TrackedModel,
    row: Found,
    constants: Mapping[Field, str],
    parameters: Mapping[str, Any],
) -> Found:
    """Return a row that is there after an UPDATE has set constants."""
    present, enabled = tracked.present, tracked.enabled
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
        values = Values(
            *[
                old if one not in constants else parameters[constants[one]]
                for one, old in zip(tracked.values, values, strict=True)
            ]
        )
    return Found(state, values)


_MARIADB: Final = frozenset({"mysql", "mariadb"})
_TWICE: Final = 2
"""How often MariaDB counts a row that an INSERT met and changed."""


def _is_read_committed(connection: Connection) -> bool:
    level = connection.get_execution_options().get("isolation_level")
    return (level or connection.default_isolation_level) == "READ COMMITTED"


def _told(result: Any) -> list[Key]:
    """Return the key that the result of a single INSERT tells."""
    try:
        told = result.inserted_primary_key_rows
    except InvalidRequestError:
        return []
    return [tuple(key) for key in told or () if None not in key]


def _first_number(connection: Connection, result: Any) -> int | None:
    if connection.dialect.name not in _MARIADB:
        return None
    number: int | None = result.lastrowid
    return number or None
