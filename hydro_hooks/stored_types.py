"""What a column's type keeps of a value: just as the program gave it, or otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CHAR,
    NCHAR,
    Boolean,
    ColumnElement,
    Enum,
    Integer,
    String,
    Uuid,
)
from sqlalchemy.types import TypeEngine

_STORED: Final[dict[type[Any], frozenset[type]]] = {
    Boolean: frozenset({bool, int, type(None)}),
    Integer: frozenset({int, type(None)}),
    String: frozenset({str, type(None)}),
}


def stored_as_given(kind: TypeEngine[Any]) -> frozenset[type]:
    """Return the types of the values that a column stores as the program gives them.

    None of them where the column's type is one that converts values, or the program's,
    on any database.
    """
    return _of_each(_stored, kind)


def given_back(column: ColumnElement[Any]) -> frozenset[type]:
    """Return the types of the values that a key comes back with as it was given.

    None of them where it may come back as another: padded, cut, rounded, converted.
    """
    return _of_each(_given_back, column.type)


def _of_each(
    types_of: Callable[[TypeEngine[Any]], frozenset[type]], kind: TypeEngine[Any]
) -> frozenset[type]:
    """Return what holds of a type and of its variants for single databases."""
    kinds = [kind, *kind._variant_mapping.values()]  # noqa: SLF001 - there is no public word of it
    first, *others = [
        # A subclass of the program's may convert values by processors of its own.
        types_of(one) if type(one).__module__.startswith("sqlalchemy.") else frozenset()
        for one in kinds
    ]
    return first.intersection(*others)


def _stored(kind: TypeEngine[Any]) -> frozenset[type]:
    for stored, types in _STORED.items():
        if isinstance(kind, stored) and not isinstance(kind, Enum):
            return types
    return frozenset()


def _given_back(kind: TypeEngine[Any]) -> frozenset[type]:
    if isinstance(kind, (CHAR, NCHAR)):
        return frozenset()
    if isinstance(kind, Uuid):
        return frozenset({UUID}) if kind.as_uuid else frozenset()
    if isinstance(kind, Boolean):
        return frozenset({bool})
    return _stored(kind)
