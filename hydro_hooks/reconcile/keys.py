"""Keys of rows: what comes after one, and which one an event's text stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Enum,
    String,
    TypeDecorator,
    and_,
    cast,
    literal,
    or_,
)

from hydro_hooks.detection.rows import Key
from hydro_hooks.event import SHORTENED, key_as_text


def is_after(columns: Sequence[ColumnElement[Any]], key: Key) -> ColumnElement[bool]:
    """Return the condition that a row comes after a key, column by column.

    Not as a comparison of tuples, for which MariaDB uses no index.
    """
    value = literal(key[0], columns[0].type)
    first, last = in_order([columns[0], value])
    beyond: ColumnElement[bool] = first > last
    if not columns[1:]:
        return beyond
    return or_(beyond, and_(first == last, is_after(columns[1:], key[1:])))


def in_order(columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return by what rows are ordered, so that keys compare as they are ordered.

    MariaDB orders an ENUM by its number, and compares it by its text.
    """
    return [
        cast(column, String) if isinstance(column.type, Enum) else column
        for column in columns
    ]


def binders(
    columns: Sequence[ColumnElement[Any]], dialect: Dialect
) -> list[Callable[[Any], Any] | None]:
    """Return what turns values of columns into the driver's; None: nothing has to."""
    return [
        column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns
    ]


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
        like: A key that was read: of its classes are those whose types do not say.
    """
    try:
        parts = [text] if len(columns) == 1 else json.loads(text)
        key = tuple(
            _parsed(column, part, None if like is None else like[at])
            for at, (column, part) in enumerate(zip(columns, parts, strict=True))
        )
        for bind, value in zip(bound, key, strict=True):
            if bind is not None:
                bind(value)
    except Exception:  # a type of the program's own raises what it likes
        return None
    if text.endswith(SHORTENED) or key_as_text(key) != text:
        return None
    return key


def _parsed(column: ColumnElement[Any], part: Any, like: Any) -> Any:
    """Return a part of a key as its column's type has it.

    Raises:
        TypeError, ValueError, ArithmeticError: It is no such value.
    """
    if like is not None and isinstance(column.type, TypeDecorator):
        kind: Any = type(like)  # which it need not say, or says of what it stores
    else:
        try:
            kind = column.type.python_type
        except NotImplementedError:
            kind = str
    if isinstance(part, kind):
        return part
    return getattr(kind, "fromisoformat", kind)(part)
