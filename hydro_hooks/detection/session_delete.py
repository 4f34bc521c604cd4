"""A hook into `Session.delete()`, which fires no event and is flushed later.

The one thing that is wrapped rather than listened to: between the call and the flush
nothing else tells in which block the object was deleted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.orm import InstanceState, Session

_NAMES: Final = tuple(
    name for name in ("delete", "delete_all") if hasattr(Session, name)
)
_wrapped: Final[dict[str, tuple[Any, Any]]] = {}


def attach(
    is_wanted: Callable[[InstanceState[Any]], bool],
    deleted: Callable[[InstanceState[Any]], None],
) -> None:
    """Call `deleted` for each object that a session is newly told to delete.

    Args:
        is_wanted: Which objects to tell of.
        deleted: Called after `Session.delete()` has accepted the object.
    """
    for name in _NAMES:
        original = getattr(Session, name)
        wrapper = _around(original, is_wanted, deleted, is_many=name != "delete")
        _wrapped[name] = (original, wrapper)
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


def _around(
    original: Callable[..., None],
    is_wanted: Callable[[InstanceState[Any]], bool],
    deleted: Callable[[InstanceState[Any]], None],
    *,
    is_many: bool,
) -> Callable[..., None]:
    @functools.wraps(original)
    def delete(session: Session, instances: Any) -> None:
        given = list(instances) if is_many else [instances]
        states = [getattr(one, "_sa_instance_state", None) for one in given]
        new = [
            state
            for state in states
            # Told before, it keeps its stamp. Session.deleted copies the whole set at
            # each call.
            if isinstance(state, InstanceState)
            and state not in session._deleted  # noqa: SLF001
            and is_wanted(state)
        ]
        original(session, given if is_many else instances)
        for state in new:
            deleted(state)

    return delete
