"""The steps of each connection's transaction, for as long as it lasts.

Kept by the transaction object, weakly: a rollback, a close or an invalidation takes the
steps along without any code of ours (`Connection.get_transaction()` is a new object for
each transaction; a Session joined into an outer one shares it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, RootTransaction, Table
from sqlalchemy.orm import InstanceState

from hydro_hooks.detection.connections import is_autocommit
from hydro_hooks.models import TrackedModel
from hydro_hooks.netting import Netting
from hydro_hooks.transition import Place, Stamp, State, Step, Subject, Values

Known: TypeAlias = tuple[State, Values | None]
"""A row's state, and its values where they are known."""

GONE: Final[Known] = (State.ABSENT, None)


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """An object that the flush in progress may change in a way that matters.

    Args:
        tracked: What its class means.
        state: The object's.
        key: Primary key of its row before the flush.
        place: The schema translation in force.
        is_delete: Whether the row goes.
        changed: Names of the watched attributes that the flush writes.
        before: State and values of the row before the flush; None until read.
        is_missing: Whether the row was not there when it was read.
        departure: Who removed it, or the object whose row it takes; None until known.
        arrival: Who gave the row this key, or this object; None until known.
    """

    tracked: TrackedModel
    state: InstanceState[Any]
    key: tuple[Any, ...]
    place: Place | None = None
    is_delete: bool = False
    changed: frozenset[str] = frozenset()
    before: Known | None = None
    is_missing: bool = False
    departure: Stamp | None = None
    arrival: Stamp | None = None

    @property
    def subject(self) -> Subject:
        """The row."""
        return Subject(self.tracked.association, self.key, self.place)


Fresh: TypeAlias = tuple[TrackedModel, tuple[Any, ...], bool]
"""Of an object that was not looked at yet: its model, its key, whether its row goes."""


def written(tracked: TrackedModel, state: InstanceState[Any]) -> frozenset[str]:
    """Return the watched attributes of an object that its flush writes.

    Asked before the statement: an SQL expression is forgotten once it has run.
    """
    changed = tracked.watched & state.committed_state.keys()
    if state.key is None:  # it takes over a deleted object's row, with all it has
        return changed
    if state.committed_state and tracked.follows_update:
        return changed | tracked.follows_update
    if not changed:
        return changed
    return frozenset(
        name for name in changed if state.attrs[name].history.has_changes()
    )


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class TransactionLog:
    """What is known of one transaction of one connection.

    Args:
        netting: The steps.
        in_flight: Objects between their before_* and after_* events: a statement that
            runs meanwhile is the flush's own.
        fresh: Objects of the flush in progress that were not looked at yet.
        read: Candidates whose row was read, by object.
        has_missing: Whether a row was not there when it was read to be deleted.
        renumbered: Those of `read` whose row gets another key, by the key it leaves.
        doubted: Associations whose rows may have changed past the unit of work: what is
            known of them is read again at the commit.
        before: Values of rows from before the transaction touched what their
            expressions read.
        touched: Rows of tables that such expressions read, which the transaction made
            or changed, by table and place.
        place: The schema translation that the flush in progress is made under.
        is_autocommit: Whether the database commits each statement by itself.
        writes_at_once: Whether what changes has to be written at once: in AUTOCOMMIT,
            and when a listener of the program changes more during the commit.
        is_writing: Whether the database's write lock is ours for certain (SQLite).
    """

    netting: Netting = field(default_factory=Netting)
    in_flight: int = 0
    fresh: dict[InstanceState[Any], Fresh] = field(default_factory=dict)
    read: dict[InstanceState[Any], Candidate] = field(default_factory=dict)
    has_missing: bool = False
    renumbered: dict[Subject, Candidate] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    before: dict[Subject, Values] = field(default_factory=dict)
    touched: dict[tuple[Table, Place | None], set[tuple[Any, ...]]] = field(
        default_factory=dict
    )
    place: Place | None = None
    is_autocommit: bool = False
    writes_at_once: bool = False
    is_writing: bool = False
    _flushes: dict[
        str,
        tuple[
            int,
            dict[InstanceState[Any], Fresh],
            dict[InstanceState[Any], Candidate],
        ],
    ] = field(default_factory=dict)

    def consider(
        self,
        tracked: TrackedModel,
        state: InstanceState[Any],
        key: tuple[Any, ...] | None,
        *,
        is_delete: bool = False,
    ) -> None:
        """Note an object to look at; `key` is that of its row, where it has one."""
        if key is not None:
            self.fresh[state] = (tracked, key, is_delete)

    def step(self, subject: Subject, before: Known, after: Known, stamp: Stamp) -> None:
        """Take a step of a subject."""
        self.netting.add(Step(subject, before[0], after[0], before[1], after[1], stamp))

    def savepoint(self, name: str) -> None:
        """Follow a savepoint that was set, be it by a hook inside a flush."""
        self.netting.savepoint(name)
        self._flushes[name] = (self.in_flight, dict(self.fresh), dict(self.read))

    def rollback_to(self, name: str) -> None:
        """Follow a rollback: a flush that began after the savepoint has failed."""
        self.netting.rollback_to(name)
        flush = self._flushes.get(name, (0, {}, {}))
        self.in_flight, self.fresh, self.read = flush[0], dict(flush[1]), dict(flush[2])
        self.renumbered = {
            subject: candidate
            for subject, candidate in self.renumbered.items()
            if candidate.state in self.read
        }

    def rollback(self) -> None:
        """Follow a ROLLBACK that the program wrote itself."""
        self.netting.clear()
        self._flushes.clear()
        self.rollback_to("")


_Latest: TypeAlias = "tuple[ref[RootTransaction], ref[TransactionLog]]"


class TransactionLogs:
    """The logs of all transactions in progress."""

    def __init__(self) -> None:
        self._logs: WeakKeyDictionary[RootTransaction, TransactionLog] = (
            WeakKeyDictionary()
        )
        self._committing: WeakSet[RootTransaction] = WeakSet()
        # Asked for again and again while one transaction works.
        self._latest: _Latest | None = None

    def of(self, connection: Connection) -> TransactionLog:
        """Return the log of the connection's transaction, begun where there is none."""
        transaction = connection.get_transaction()
        latest = self._latest
        if latest is not None and latest[0]() is transaction is not None:
            log = latest[1]()
            if log is not None:
                return log
        if transaction is None:
            message = "a tracked row changed outside any transaction"
            raise RuntimeError(message)
        log = self._logs.get(transaction)
        if log is None:
            log = self._logs[transaction] = TransactionLog()
            log.is_autocommit = is_autocommit(connection)
            log.writes_at_once = log.is_autocommit or transaction in self._committing
        self._latest = (ref(transaction), ref(log))
        return log

    def find(self, connection: Connection) -> TransactionLog | None:
        """Return the log of the connection's transaction, if it has one."""
        if not self._logs:
            return None
        transaction = connection.get_transaction()
        return None if transaction is None else self._logs.get(transaction)

    def take(self, connection: Connection) -> TransactionLog | None:
        """Return the log and forget it."""
        transaction = connection.get_transaction() if self._logs else None
        if transaction is None:
            return None
        self._latest = None
        return self._logs.pop(transaction, None)

    def committing(self, connection: Connection) -> None:
        """Note that the connection's transaction is about to be committed.

        Where the program listens too, it may change more then.
        """
        if len(connection.dispatch.commit) > 1:
            transaction = connection.get_transaction()
            if transaction is not None:
                self._committing.add(transaction)
