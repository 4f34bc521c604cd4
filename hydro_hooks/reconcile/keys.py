"""Keys of rows: what comes after one, and which one an event's text stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import EnumType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Enum,
    String,
    and_,
    cast,
    literal,
    or_,
    type_coerce,
)
from sqlalchemy.types import NullType, TypeEngine

from hydro_hooks.detection.rows import Key
from hydro_hooks.event import SHORTENED, key_as_text


def in_order(
    columns: Sequence[ColumnElement[Any]], dialect: Dialect
) -> list[ColumnElement[Any]]:
    """Return by what rows are ordered, so that keys compare as they are ordered.

    As the database has it, not the columns' types: a row that another program wrote may
    be stored otherwise than its type would write it. MariaDB orders an ENUM by its
    number, and compares it by its text.
    """
    return [
        type_coerce(
            cast(column, String) if _is_enum(column.type, dialect) else column,
            NullType(),
        )
        for column in columns
    ]


def _is_enum(kind: TypeEngine[Any], dialect: Dialect) -> bool:
    # What a variant, or a type of the program's own, is in the end tells its DDL.
    return isinstance(kind, Enum) or kind.compile(dialect).startswith("ENUM")


def is_after(ordered: Sequence[ColumnElement[Any]], last: Key) -> ColumnElement[bool]:
    """Return the condition that a row comes after another, column by column.

    Not as a comparison of tuples, for which MariaDB uses no index.

    Args:
        ordered: `in_order()` of the key's columns.
        last: What they are in the other row.
    """
    first, value = ordered[0], literal(last[0], NullType())
    beyond: ColumnElement[bool] = first > value
    if not ordered[1:]:
        return beyond
    return or_(beyond, and_(first == value, is_after(ordered[1:], last[1:])))


def binders(
    columns: Sequence[ColumnElement[Any]], dialect: Dialect
) -> list[Callable[[Any], Any] | None]:
    """Return what turns values of columns into the driver's; None: nothing has to."""
    return [
        column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns
    ]


def bound_key(bound: Sequence[Callable[[Any], Any] | None], key: Key) -> Key | None:
    """Return a key as the driver gets it; None where its type does not take it."""
    try:
        return tuple(
            value if bind is None else bind(value)
            for bind, value in zip(bound, key, strict=True)
        )
    except Exception:  # a type of the program's own raises what it likes
        return None


def key_in(
    text: str,
    columns: Sequence[ColumnElement[Any]],
    bound: Sequence[Callable[[Any], Any] | None],
    like: Key | None,
) -> Key | None:
    """Return the key that an event's `subject_id` stands for.

    None where there is no way back: it was shortened, or its type has no such way.

    Args:
        text: The event's.
        columns: Of the key.
        bound: Their `binders()`, which have to take it.
        like: A key that was read: of its classes are all.
    """
    try:
        parts = [text] if len(columns) == 1 else json.loads(text)
        key = tuple(
            _parsed(column, part, None if like is None else like[at])
            for at, (column, part) in enumerate(zip(columns, parts, strict=True))
        )
    except Exception:  # a type of the program's own raises what it likes
        return None
    if (
        bound_key(bound, key) is None
        or text.endswith(SHORTENED)
        or key_as_text(key) != text
    ):
        return None
    return key


def _parsed(column: ColumnElement[Any], part: Any, like: Any) -> Any:
    """Return a part of a key as its column's type has it.

    Raises:
        Exception: It is no such value.
    """
    if like is not None:
        kind: Any = type(like)  # which the type need not say, or says of what it stores
    else:
        try:
            kind = column.type.python_type
        except NotImplementedError:
            kind = str
    if isinstance(kind, EnumType):
        return next(one for one in list[Any](kind) if str(one) == part)
    if isinstance(part, kind):
        return part
    return getattr(kind, "fromisoformat", kind)(part)
