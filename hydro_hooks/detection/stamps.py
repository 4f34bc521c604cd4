"""Who made a change, when and where, noted at the moment it is made.

A change is flushed later, often inside another block or after all of them, so the cause
is stamped on the object when an attribute is set, an object is added, deleted or taken
out of a collection. A stamp belongs to one kind of change and dies with its flush. An
attribute that is set, or an object that is added, after a rollback is stamped anew; a
deletion is not (a cascade may repeat it), so its stamp counts only while the (nested)
transaction is open in which it was made.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

from sqlalchemy import Table
from sqlalchemy.orm import (
    InstanceState,
    QueryableAttribute,
    Session,
    SessionTransaction,
)

from hydro_hooks.cause import Reason, current_cause, current_job
from hydro_hooks.detection import origin
from hydro_hooks.transition import Stamp


class Kind(Enum):
    """What a stamp is for."""

    PRESENCE = "presence"  # an object is added, or its row gets another key
    FLAG = "flag"
    REMOVAL = "removal"


class _Removal(NamedTuple):
    """An object that is deleted, or taken from a parent that it cannot be without."""

    state: InstanceState[Any]
    parent: QueryableAttribute[Any] | None
    transaction: ReferenceType[SessionTransaction] | None

    def is_open(self, session: Session) -> bool:
        """Return whether the session is still in the transaction, or in one inside it.

        A collection may change before a transaction is begun: that counts.
        """
        if self.transaction is None:
            return True
        made_in, current = self.transaction(), _innermost(session)
        while current is not None and current is not made_in:
            current = current.parent
        return current is not None

    def counts(self, session: Session) -> bool:
        """Return whether it is still to be removed, as far as can be known."""
        if self.state.session is not session or not self.is_open(session):
            return False
        # Taken out and put into another parent, it is no orphan.
        return self.parent is None or not self.parent.hasparent(self.state)


_latest: tuple[int, Stamp] | None = None
"""The stamp made last, and in which millisecond: most changes come in runs."""


def now() -> Stamp:
    """Return the stamp of a change made here and now, to the millisecond."""
    global _latest  # noqa: PLW0603 - one assignment, whichever thread comes last
    millisecond = time.time_ns() // 1_000_000
    cause, place = current_cause(), origin.here()
    if cause.reason == Reason.UNATTRIBUTED and (job := current_job.get()):
        place = f"{job} ({place})"
    if _latest is not None:
        made_in, stamp = _latest
        if made_in == millisecond and stamp.cause is cause and stamp.origin == place:
            return stamp
    moment = datetime.fromtimestamp(millisecond / 1000, UTC)
    stamp = Stamp(cause, moment, place)
    _latest = (millisecond, stamp)
    return stamp


_KEPT: Final = "hydro_hooks_stamps"
"""Attribute of an object's state that keeps its stamps: they go when it goes."""


def _put(state: InstanceState[Any], kind: Kind, stamp: Stamp) -> None:
    made: dict[Kind, Stamp] | None = getattr(state, _KEPT, None)
    if made is None:
        setattr(state, _KEPT, {kind: stamp})
    else:
        made[kind] = stamp


class Stamps:
    """The stamps of all objects."""

    def __init__(self) -> None:
        self._removals: WeakKeyDictionary[
            Session, dict[InstanceState[Any], _Removal]
        ] = WeakKeyDictionary()

    def put(self, state: InstanceState[Any], kind: Kind) -> None:
        """Stamp an object: this kind of change is made here and now.

        A hook that marks a deleted object in its flush carries out the deletion.
        """
        _put(state, kind, self._removal_in_flush(state) or now())

    def _removal_in_flush(self, state: InstanceState[Any]) -> Stamp | None:
        session = state.session
        if session is None or not _is_flushing(session):
            return None
        removal = self._removals.get(session, {}).get(state)
        if removal is None or not removal.counts(session):
            return None
        made: dict[Kind, Stamp] = getattr(state, _KEPT, {})
        return made.get(Kind.REMOVAL)

    def put_removal(
        self,
        state: InstanceState[Any],
        parent: QueryableAttribute[Any] | None = None,
    ) -> None:
        """Stamp an object that is deleted here and now.

        Args:
            state: Of the object.
            parent: Taken out of this attribute, it is deleted as an orphan; None: the
                session was told to delete it.
        """
        session = state.session
        if session is None:
            return
        self.put(state, Kind.REMOVAL)
        pending = self._removals.setdefault(session, {})
        if pending and not next(iter(pending.values())).is_open(session):
            open_ones = {s: one for s, one in pending.items() if one.is_open(session)}
            pending = self._removals[session] = open_ones
        transaction = _innermost(session)
        made_in = None if transaction is None else ref(transaction)
        pending[state] = _Removal(state, parent, made_in)

    def take(self, state: InstanceState[Any], kind: Kind) -> Stamp | None:
        """Return an object's stamp of that kind, and forget it: it is flushed."""
        made: dict[Kind, Stamp] | None = getattr(state, _KEPT, None)
        return None if made is None else made.pop(kind, None)

    def removals(
        self, session: Session
    ) -> tuple[dict[InstanceState[Any], Stamp], dict[InstanceState[Any], Stamp]]:
        """Return who removed what in the session and did not flush it yet.

        Returns:
            The stamps of what was removed itself, and of what goes with it by cascade.
        """
        pending = self._removals.get(session, {}).values()
        own: dict[InstanceState[Any], Stamp] = {}
        cascaded: dict[InstanceState[Any], Stamp] = {}
        for removal in reversed(list(pending)):
            stamp = getattr(removal.state, _KEPT, {}).get(Kind.REMOVAL)
            if stamp is not None and removal.counts(session):
                own[removal.state] = stamp
                mapper = removal.state.mapper
                for _, _, state, _ in mapper.cascade_iterator("delete", removal.state):
                    cascaded.setdefault(state, stamp)
        return own, cascaded

    def removed_from(self, table: Table) -> dict[tuple[Any, ...], Stamp]:
        """Return who removed which row of a table, by key, in the flush in progress."""
        session = flushing_here()
        found: dict[tuple[Any, ...], Stamp] = {}
        # Never in another session: it is another thread's, and may be at work.
        for removed in () if session is None else self.removals(session):
            for state, stamp in removed.items():
                if state.identity is not None and table in state.mapper.tables:
                    found.setdefault(tuple(state.identity), stamp)
        return found

    def flushing(self, session: Session, _context: object, _some: object) -> None:
        """Note whose flush the statements are that run here from now on."""
        outer = _flushing.get()
        if outer:  # a hook in another session's flush, or that one failed
            outer = tuple(one for one in outer if _is_flushing(one()))
        _flushing.set((*outer, ref(session)))

    def flushed(self, session: Session, _context: object) -> None:
        """Forget what the session removed: it is flushed."""
        _flushing.set(_flushing.get()[:-1])
        for state in self._removals.pop(session, ()):
            self.take(state, Kind.REMOVAL)


_flushing: Final[ContextVar[tuple[ReferenceType[Session], ...]]] = ContextVar(
    "hydro_hooks_flushing", default=()
)
"""The sessions whose flushes have begun in this thread or task, the innermost last."""


def _is_flushing(session: Session | None) -> bool:
    return session is not None and session._flushing  # noqa: SLF001 - there is no public word of it


def flushing_here() -> Session | None:
    """Return the session whose flush runs here, if there is one."""
    for one in reversed(_flushing.get()):
        session = one()
        if _is_flushing(session):
            return session
    return None


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()
