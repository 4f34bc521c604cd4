"""The steps of each connection's transaction, for as long as it lasts.

Kept by the transaction object, weakly: a rollback, a close or an invalidation takes the
steps along without any code of ours (`Connection.get_transaction()` is a new object for
each transaction; a Session joined into an outer one shares it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, RootTransaction
from sqlalchemy.orm import InstanceState

from hydro_hooks.models import TrackedModel
from hydro_hooks.netting import Netting
from hydro_hooks.transition import Stamp, State, Subject, Values


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """An object that the flush in progress may change in a way that matters.

    Args:
        tracked: What its class means.
        state: The object's.
        key: Primary key of its row before the flush.
        is_delete: Whether the row goes.
        changed: Names of the watched attributes that the flush writes.
        before: State and values of the row before the flush; None until read.
        stamp: Who removed it; None until known, and of what is not removed.
    """

    tracked: TrackedModel
    state: InstanceState[Any]
    key: tuple[Any, ...]
    is_delete: bool = False
    changed: frozenset[str] = frozenset()
    before: tuple[State, Values | None] | None = None
    stamp: Stamp | None = None

    @property
    def subject(self) -> Subject:
        """The row."""
        return Subject(self.tracked.association, self.key)


@dataclass(slots=True, kw_only=True, eq=False)
class TransactionLog:
    """What is known of one transaction of one connection.

    Args:
        netting: The steps.
        in_flight: Objects between their before_* and after_* events: a statement that
            runs meanwhile is the flush's own.
        fresh: Candidates of the flush in progress that were not looked at yet.
        read: Candidates whose row was read, by object.
        before: Values of rows from before the transaction touched what their
            expressions read.
        is_writing: Whether the database's write lock is ours for certain (SQLite).
    """

    netting: Netting = field(default_factory=Netting)
    in_flight: int = 0
    fresh: list[Candidate] = field(default_factory=list)
    read: dict[InstanceState[Any], Candidate] = field(default_factory=dict)
    before: dict[Subject, Values] = field(default_factory=dict)
    is_writing: bool = False

    def abandon_flush(self) -> None:
        """Forget the flush in progress: it failed, and its savepoint is rolled back."""
        self.in_flight = 0
        self.fresh.clear()
        self.read.clear()


class TransactionLogs:
    """The logs of all transactions in progress."""

    def __init__(self) -> None:
        self._logs: WeakKeyDictionary[RootTransaction, TransactionLog] = (
            WeakKeyDictionary()
        )

    def __bool__(self) -> bool:
        return bool(self._logs)

    def of(self, connection: Connection) -> TransactionLog:
        """Return the log of the connection's transaction, begun where there is none."""
        transaction = connection.get_transaction()
        if transaction is None:
            message = "a tracked row changed outside any transaction"
            raise RuntimeError(message)
        log = self._logs.get(transaction)
        if log is None:
            log = self._logs[transaction] = TransactionLog()
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
        return None if transaction is None else self._logs.pop(transaction, None)
