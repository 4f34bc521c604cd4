"""Who made a change, when and where, noted at the moment it is made.

A change is flushed later, often inside another block or after all of them, so the cause
is stamped on the object when an attribute is set, an object is added, deleted or taken
out of a collection. A stamp belongs to one kind of change, and counts only while the
(nested) transaction is open in which it was made: what is rolled back takes it along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

from sqlalchemy.orm import InstanceState, Session, SessionTransaction

from hydro_hooks.cause import current_cause
from hydro_hooks.detection import origin
from hydro_hooks.transition import Stamp


class Kind(Enum):
    """What a stamp is for."""

    PRESENCE = "presence"
    FLAG = "flag"


class _Noted(NamedTuple):
    stamp: Stamp
    transaction: ReferenceType[SessionTransaction] | None


def now() -> Stamp:
    """Return the stamp of a change made here and now."""
    return Stamp(current_cause(), datetime.now(UTC), origin.here())


class Stamps:
    """The stamps of all objects."""

    def __init__(self) -> None:
        self._noted: WeakKeyDictionary[InstanceState[Any], dict[Kind, _Noted]] = (
            WeakKeyDictionary()
        )
        self._removed: WeakKeyDictionary[Session, list[InstanceState[Any]]] = (
            WeakKeyDictionary()
        )

    def put(self, state: InstanceState[Any], kind: Kind) -> None:
        """Stamp an object: this kind of change is made here and now."""
        session = state.session
        transaction = None if session is None else _innermost(session)
        noted = _Noted(now(), None if transaction is None else ref(transaction))
        self._noted.setdefault(state, {})[kind] = noted

    def put_removed(self, state: InstanceState[Any]) -> None:
        """Stamp an object that is deleted, or taken from a parent it needs.

        What its deletion cascades to is found in `removers()`.
        """
        self.put(state, Kind.PRESENCE)
        if state.session is not None:
            self._removed.setdefault(state.session, []).append(state)

    def get(self, state: InstanceState[Any], kind: Kind) -> Stamp | None:
        """Return an object's stamp of that kind, if it still counts."""
        noted = self._noted.get(state, {}).get(kind)
        if noted is None or not _is_open(noted.transaction, state.session):
            return None
        return noted.stamp

    def drop(self, state: InstanceState[Any], kind: Kind) -> None:
        """Forget a stamp: the change is flushed."""
        self._noted.get(state, {}).pop(kind, None)

    def removers(self, session: Session) -> Iterator[tuple[InstanceState[Any], Stamp]]:
        """Yield what the session removed and did not flush yet, latest first."""
        for state in reversed(self._removed.get(session, [])):
            stamp = self.get(state, Kind.PRESENCE)
            if stamp is not None:
                yield state, stamp

    def flushed(self, session: Session) -> None:
        """Forget what the session removed: it is flushed."""
        for state in self._removed.pop(session, ()):
            self.drop(state, Kind.PRESENCE)


def cascaded(
    removers: Iterable[tuple[InstanceState[Any], Stamp]],
) -> dict[InstanceState[Any], Stamp]:
    """Return the stamp of each object that a removed one's deletion cascades to."""
    stamps: dict[InstanceState[Any], Stamp] = {}
    for remover, stamp in removers:
        for _, _, state, _ in remover.mapper.cascade_iterator("delete", remover):
            stamps.setdefault(state, stamp)
    return stamps


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


def _is_open(
    transaction: ReferenceType[SessionTransaction] | None, session: Session | None
) -> bool:
    """Return whether the session is still in the transaction, or in one nested in it.

    A change made while the object was in no session belongs to none, and counts.
    """
    if transaction is None or session is None:
        return transaction is None
    made_in, current = transaction(), _innermost(session)
    while current is not None and current is not made_in:
        current = current.parent
    return current is not None
