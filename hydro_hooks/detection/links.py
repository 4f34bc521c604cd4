"""Who linked two objects, or took them apart, by rows of a tracked `secondary` table.

No object stands for such a row: a flush writes it for a relationship whose collection
has changed, perhaps in another block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Table
from sqlalchemy.orm import InstanceState, RelationshipProperty, Session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.collections import collection_adapter

from hydro_hooks.detection import stamps
from hydro_hooks.detection.rows import Key
from hydro_hooks.detection.stamps import Stamps
from hydro_hooks.transition import Stamp

_KEPT: Final = "hydro_hooks_links"
"""Attribute of an object's state that keeps who linked what to it: by relationship."""


class Links:
    """The links of all objects.

    Args:
        made: Who removed which object.
    """

    def __init__(self, made: Stamps) -> None:
        self._stamps = made
        self._relations: dict[Table, list[RelationshipProperty[Any]]] = {}
        self._flushed: WeakKeyDictionary[Session, set[InstanceState[Any]]] = (
            WeakKeyDictionary()
        )

    def follow(self, relation: RelationshipProperty[Any]) -> Callable[..., None]:
        """Take up a relationship; return what is to hear of changes of it."""
        assert isinstance(relation.secondary, Table)  # noqa: S101 - a tracked one
        self._relations.setdefault(relation.secondary, []).append(relation)

        def changed(state: InstanceState[Any], *others: Any) -> None:
            kept = state.__dict__.setdefault(_KEPT, {}).setdefault(relation, {})
            stamp = stamps.now()
            for other in others[:-1]:  # without the initiator
                if hasattr(other, "_sa_instance_state"):
                    kept[instance_state(other)] = stamp

        return changed

    def forget(self) -> None:
        """Forget the relationships: the models have changed."""
        self._relations.clear()

    def of(self, table: Table) -> dict[Key, Stamp]:
        """Return who made or removed which row of a table, in the flush in progress."""
        relations = self._relations.get(table, ())
        session = stamps.flushing_here() if relations else None
        if session is None:
            return {}
        found: dict[Key, Stamp] = {}
        for relation in relations:
            for state, other, stamp in self._changed(session, relation):
                key = _key(relation, state, other)
                if key is not None:
                    found[key] = stamp
        return found

    def _changed(
        self, session: Session, relation: RelationshipProperty[Any]
    ) -> Iterator[tuple[InstanceState[Any], InstanceState[Any], Stamp]]:
        for state in (*session._new, *session.identity_map.all_states()):  # noqa: SLF001 - Session.new copies
            kept: Mapping[Any, Any] = getattr(state, _KEPT, {})
            if relation in kept:
                self._flushed.setdefault(session, set()).add(state)
                for other, stamp in kept[relation].items():
                    yield state, other, stamp
        for removed in self._stamps.removals(session):
            for state, stamp in removed.items():
                if state.mapper.isa(relation.parent):
                    for other in _linked(relation, state):
                        yield state, other, stamp

    def flushed(self, session: Session, _context: object) -> None:
        """Forget what was linked: it is flushed."""
        for state in self._flushed.pop(session, ()):
            state.__dict__.pop(_KEPT, None)


def _linked(
    relation: RelationshipProperty[Any], state: InstanceState[Any]
) -> list[InstanceState[Any]]:
    """Return the states of the objects that are linked to one, as far as loaded."""
    value = state.dict.get(relation.key)
    if value is None:
        return []
    adapter = collection_adapter(value) if relation.uselist else None
    return [instance_state(one) for one in ([value] if adapter is None else adapter)]


def _key(
    relation: RelationshipProperty[Any],
    state: InstanceState[Any],
    other: InstanceState[Any],
) -> Key | None:
    """Return the key of the row that links two objects; None where it has its own."""
    values: dict[Any, Any] = {}
    for pairs, one in (
        (relation.synchronize_pairs, state),
        (relation.secondary_synchronize_pairs, other),
    ):
        for column, linking in pairs or ():
            values[linking] = _value(one, column)
    assert isinstance(relation.secondary, Table)  # noqa: S101 - see follow()
    key = tuple(values.get(column) for column in relation.secondary.primary_key)
    return None if None in key else key


def _value(state: InstanceState[Any], column: Column[Any] | Any) -> Any:
    attribute = state.mapper.get_property_by_column(column).key
    return state.dict.get(attribute)
