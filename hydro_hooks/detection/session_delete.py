"""A hook into `Session.delete()`, which fires no event and is flushed later.

The one thing that is wrapped rather than listened to: between the call and the flush
nothing else tells in which block the object was deleted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from sqlalchemy.orm import InstanceState, Session

_wrapped: Final[dict[str, tuple[Any, Any]]] = {}

Deleted: TypeAlias = Callable[[InstanceState[Any]], None]
IsWanted: TypeAlias = Callable[[InstanceState[Any]], bool]


def attach(is_wanted: IsWanted, deleted: Deleted) -> None:
    """Call `deleted` for each object that a session is newly told to delete.

    Args:
        is_wanted: Which objects to tell of.
        deleted: Called after `Session.delete()` has accepted the object.
    """
    _wrap("delete", _around_delete(Session.delete, is_wanted, deleted))
    delete_all = getattr(Session, "delete_all", None)
    if delete_all is not None:  # new in SQLAlchemy 2.1
        _wrap("delete_all", _around_delete_all(delete_all, is_wanted, deleted))


def _wrap(name: str, wrapper: Callable[..., None]) -> None:
    _wrapped[name] = (getattr(Session, name), wrapper)
    setattr(Session, name, wrapper)


def detach() -> None:
    """Put `Session.delete()` back as it was.

    Where somebody else has wrapped it since, theirs stays, with ours inside it; that
    one finds nothing tracked.
    """
    for name, (original, wrapper) in _wrapped.items():
        if getattr(Session, name) is wrapper:
            setattr(Session, name, original)
    _wrapped.clear()


def _around_delete(
    original: Callable[..., None], is_wanted: IsWanted, deleted: Deleted
) -> Callable[..., None]:
    @functools.wraps(original)
    def delete(self: Session, instance: object) -> None:
        new = _newly_deleted(self, [instance], is_wanted)
        original(self, instance)
        for state in new:
            deleted(state)

    return delete


def _around_delete_all(
    original: Callable[..., None], is_wanted: IsWanted, deleted: Deleted
) -> Callable[..., None]:
    @functools.wraps(original)
    def delete_all(self: Session, instances: Iterable[object]) -> None:
        given = list(instances)
        new = _newly_deleted(self, given, is_wanted)
        original(self, given)
        for state in new:
            deleted(state)

    return delete_all


def _newly_deleted(
    session: Session, instances: Iterable[object], is_wanted: IsWanted
) -> list[InstanceState[Any]]:
    """Return the states to tell of; one that was told of before keeps its stamp."""
    states = (getattr(one, "_sa_instance_state", None) for one in instances)
    return [
        state
        for state in states
        # Session.deleted copies the whole set at each call.
        if isinstance(state, InstanceState)
        and state not in session._deleted  # noqa: SLF001
        and is_wanted(state)
    ]
