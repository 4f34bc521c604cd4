"""What kind of values a column gives, and whether these can be what they are taken for.

A wrong kind fails nowhere: a date counts as true wherever it is set, and a number is
recorded as a host. So it is refused when the model is registered.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, Column, ColumnElement, Float, TypeDecorator
from sqlalchemy import Enum as OneOf
from sqlalchemy.sql.elements import BinaryExpression


class Kind(Enum):
    """The kinds that are told apart, each as a message names it."""

    BOOLEAN = "a Boolean"
    NUMBER = "a number"
    FLOAT = "a floating-point number"
    TEXT = "text"
    DATE = "a date"
    TIME = "a time"
    INTERVAL = "an interval"
    JSON = "JSON"
    BYTES = "bytes"
    UUID = "a UUID"
    ARRAY = "an array"
    UNKNOWN = "of an unknown type"


_BY_PYTHON: Final[dict[type, Kind]] = {
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    str: Kind.TEXT,
    datetime: Kind.DATE,
    date: Kind.DATE,
    time: Kind.TIME,
    timedelta: Kind.INTERVAL,
    bytes: Kind.BYTES,
    UUID: Kind.UUID,
    list: Kind.ARRAY,
}

_HOSTS: Final = frozenset({Kind.TEXT, Kind.UNKNOWN})
_IDS: Final = frozenset({Kind.NUMBER, Kind.TEXT, Kind.UUID, Kind.UNKNOWN})
_FLAGS: Final = frozenset({Kind.NUMBER, Kind.UNKNOWN})


def kind_of(expression: ColumnElement[Any]) -> Kind:
    """Return the kind of what an expression gives.

    A type of the program's own is of the kind of the type that it builds upon, but for
    one that makes something else of text or bytes: that may be anything.
    """
    kind, converts = expression.type, False
    while isinstance(kind, TypeDecorator) and _python_type(kind) not in _BY_PYTHON:
        converts |= _converts(kind)
        kind = kind.impl_instance
    found = _BY_PYTHON.get(_python_type(kind), Kind.UNKNOWN)
    if isinstance(kind, OneOf):
        found = Kind.TEXT
    elif isinstance(kind, Float):
        found = Kind.FLOAT
    elif isinstance(kind, JSON) and not isinstance(expression, BinaryExpression):
        found = Kind.JSON  # a part of a document may be anything
    if converts and found in {Kind.TEXT, Kind.BYTES}:
        return Kind.UNKNOWN
    return found


def _python_type(kind: Any) -> type:
    try:
        found: type = kind.python_type
    except NotImplementedError:  # SQLAlchemy 2.0, of a type that does not say
        return object
    return found


def _converts(kind: TypeDecorator[Any]) -> bool:
    return type(kind).process_result_value is not TypeDecorator.process_result_value


_WHEREVER_SET: Final = "which would count as true wherever it is set"
_TRUTH: Final[dict[Kind, tuple[str, str]]] = {
    Kind.FLOAT: ("of which every value but 0 would count as true", "{} > 0"),
    Kind.TEXT: (
        "of which every value but the empty one would count as true",
        "{} == 'active'",
    ),
    Kind.JSON: (
        "which would count as true unless it is empty",
        '{}["enabled"].as_boolean()',
    ),
    Kind.DATE: (_WHEREVER_SET, "{}.is_(None)"),
    Kind.TIME: (_WHEREVER_SET, "{}.is_(None)"),
}
"""When values of a kind count as true, and an expression that says what is meant."""

_ANY_TRUTH: Final = (_WHEREVER_SET, "{}.is_not(None)")


def problem_as_flag(expression: ColumnElement[Any], place: str) -> str | None:
    """Return why an expression cannot be a flag, and what to do; None: it can.

    Args:
        expression: What is given.
        place: How the program writes it, such as `Installation.disabled_at`.
    """
    kind = kind_of(expression)
    if kind is Kind.BOOLEAN:
        return None
    what, truth = f"{kind.value} ({expression.type!r})", _TRUTH.get(kind, _ANY_TRUTH)
    if isinstance(expression, Column) and expression.primary_key:
        return "is the primary key, which is set in every row; give the flag's column"
    if isinstance(expression, Column) and expression.foreign_keys:
        targets = sorted(key.target_fullname for key in expression.foreign_keys)
        what, truth = f"a foreign key (of {targets[0]})", _ANY_TRUTH
    elif kind in _FLAGS:
        return None
    true_when, example = truth
    condition = example.format(place)
    return f"is {what}, {true_when}; give an expression, such as {condition}"


def problem_as_value(argument: str, expression: ColumnElement[Any]) -> str | None:
    """Return why an expression cannot be a host or an id; None: it can.

    Args:
        argument: `jira_hostname`, or the name of an id.
        expression: What is given. A primary key is an id, of whatever kind.
    """
    kind = kind_of(expression)
    is_host = argument == "jira_hostname"
    if kind in (_HOSTS if is_host else _IDS):
        return None
    if not is_host and isinstance(expression, Column) and expression.primary_key:
        return None
    wanted = "text" if is_host else "numbers or text"
    return f"is {kind.value} ({expression.type!r}); give a column of {wanted}"
