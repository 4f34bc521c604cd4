"""Keys of rows: what comes after one, and which one an event's text stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from hydro_hooks.detection.rows import Key
from hydro_hooks.event import SHORTENED, key_as_text


def is_after(columns: Sequence[ColumnElement[Any]], key: Key) -> ColumnElement[bool]:
    """Return the condition that a row comes after a key, column by column.

    Not as a comparison of tuples, for which MariaDB uses no index.
    """
    first, *others = columns
    beyond: ColumnElement[bool] = first > key[0]
    if not others:
        return beyond
    return or_(beyond, and_(first == key[0], is_after(others, key[1:])))


def key_in(text: str, columns: Sequence[ColumnElement[Any]]) -> Key | None:
    """Return the key that an event's `subject_id` stands for.

    None where there is no way back: it was shortened, or its type has no such way.
    """
    try:
        parts = [text] if len(columns) == 1 else json.loads(text)
        key = tuple(
            _parsed(column, part) for column, part in zip(columns, parts, strict=True)
        )
    except (TypeError, ValueError, ArithmeticError):
        return None
    if text.endswith(SHORTENED) or key_as_text(key) != text:
        return None
    return key


def _parsed(column: ColumnElement[Any], part: Any) -> Any:
    """Return a part of a key as its column's type has it.

    Raises:
        TypeError, ValueError, ArithmeticError: It is no such value.
    """
    try:
        kind = column.type.python_type
    except NotImplementedError:
        kind = str
    if isinstance(part, kind):
        return part
    return getattr(kind, "fromisoformat", kind)(part)
