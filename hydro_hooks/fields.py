"""A field: one thing that is read of a row, from what the user said it is.

Attributes are looked up without configuring mappers: when `register()` runs, another
model that this one is related to may not be imported yet.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Column, ColumnElement, Table
from sqlalchemy.ext.associationproxy import AssociationProxy, AssociationProxyInstance
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import ColumnProperty, Mapper, QueryableAttribute
from sqlalchemy.sql.expression import SelectBase

from hydro_hooks.errors import MappingError
from hydro_hooks.expressions import (
    expression_of,
    plain,
    reads_of,
    selects_from_itself,
)
from hydro_hooks.stored_types import stored_as_given
from hydro_hooks.value_kinds import problem_as_flag, problem_as_value

Meaning: TypeAlias = "str | QueryableAttribute[Any] | ColumnElement[Any] | SelectBase"
"""An attribute's name, the attribute, or an SQL expression over the row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """One thing that is read of a row.

    Args:
        expression: What to select.
        attribute: Name of the mapped attribute that holds it, when it is a column whose
            values are stored as they are.
        stored: The types of such values; others may be converted, or be expressions.
        watched: Names of the row's own attributes that it depends on.
        own: The row's own columns behind `watched`.
        tables: Other tables that it reads, by scalar subquery.
        reads: The columns that it reads of those.
    """

    expression: ColumnElement[Any]
    attribute: str | None
    stored: frozenset[type]
    watched: frozenset[str]
    own: frozenset[Column[Any]]
    tables: frozenset[Table]
    reads: frozenset[Column[Any]]


_SUBQUERY: Final = "select(...).where(...).scalar_subquery()"


def flag_of(mapper: Mapper[Any], argument: str, meaning: Meaning) -> Field:
    """Return the field of a flag, whose value counts as true or false.

    Raises:
        MappingError: As for `field_of()`; of a kind that is no flag, or of another
            table.
    """
    name = mapper.class_.__name__
    field = field_of(mapper, argument, meaning)
    expression = field.expression
    attribute = "disabled_at"
    if isinstance(expression, Column):
        attribute = mapper.get_property_by_column(expression).key
    problem = problem_as_flag(expression, f"{name}.{attribute}")
    if problem is None and field.tables:
        problem = "reads another table; give an expression over the row's own columns"
    if problem is not None:
        raise MappingError(name, argument, problem)
    return field


def value_of(mapper: Mapper[Any], argument: str, meaning: Meaning) -> Field:
    """Return the field of a host or an id.

    Raises:
        MappingError: As for `field_of()`; of a kind that is neither, or a subquery
            that gives every row the same.
    """
    field = field_of(mapper, argument, meaning)
    problem = problem_as_value(argument, field.expression)
    if selects_from_itself(mapper, field.expression):
        problem = (
            f"is a subquery over {mapper.class_.__name__}'s table alone, so that it"
            " finds any of its rows; give the attribute, or read an aliased() of it"
        )
    elif field.tables and not field.own:
        name = mapper.class_.__name__
        key = mapper.get_property_by_column(mapper.primary_key[0]).key
        problem = (
            f"is a subquery that reads no column of {name}, so that every row would get"
            f" the same value; add .where(... == {name}.{key}) or whichever column"
            " leads there"
        )
    if problem is not None:
        raise MappingError(mapper.class_.__name__, argument, problem)
    return field


def field_of(mapper: Mapper[Any], argument: str, meaning: Meaning) -> Field:
    """Return the field that the user means.

    Args:
        mapper: Of the model.
        argument: Name of the argument, for errors.
        meaning: What the user gave.

    Raises:
        MappingError: The model does not have it, or the database does not know it.
    """
    name = mapper.class_.__name__
    if isinstance(meaning, str):
        meaning = _attribute(mapper, argument, meaning)
    elif isinstance(meaning, AssociationProxyInstance):
        raise MappingError(name, argument, _followed_by("an association proxy"))
    expression = expression_of(meaning)
    if expression is None:
        problem = (
            f"is {meaning!r}; give an attribute's name, a column attribute or an SQL"
            " expression over the row"
        )
        raise MappingError(name, argument, problem)
    expression = plain(mapper, expression)
    own, foreign, reads = reads_of(mapper, expression)
    outside = [column for column in own if column.table not in mapper.tables]
    if outside:
        problem = (
            f"reads {outside[0]}, which is not a column of {name}; follow it with a"
            f" scalar subquery: {_SUBQUERY}"
        )
        raise MappingError(name, argument, problem)
    watched = frozenset(mapper.get_property_by_column(column).key for column in own)
    # A type of the program's own may store another value than the object has.
    is_column = isinstance(expression, Column)
    stored = stored_as_given(expression.type) if is_column else frozenset()
    return Field(
        expression=expression,
        attribute=next(iter(watched)) if stored else None,
        stored=stored,
        watched=watched,
        own=frozenset(own),
        tables=frozenset(foreign),
        reads=frozenset(reads),
    )


def _attribute(mapper: Mapper[Any], argument: str, name: str) -> Any:
    model = mapper.class_
    # Not getattr() at once: that of an association proxy configures mappers.
    problem, attribute = None, inspect.getattr_static(model, name, None)
    if isinstance(attribute, AssociationProxy):
        problem = _followed_by(f"{name!r}, an association proxy")
    elif isinstance(attribute, hybrid_property):
        attribute = _hybrid(model, argument, name)
    elif attribute is None or not hasattr(attribute := getattr(model, name), _SQL):
        problem = _unknown(mapper, name, attribute)
    elif isinstance(attribute, QueryableAttribute) and _is_relationship(attribute):
        problem = (
            f"is {name!r}, a relationship; name a column, or give a scalar subquery"
            " that follows it"
        )
    if problem is not None:
        raise MappingError(model.__name__, argument, problem)
    return attribute


_SQL: Final = "__clause_element__"


def _followed_by(what: str) -> str:
    return (
        f"is {what}, which the database does not know; follow its relationship with a"
        f" scalar subquery: {_SUBQUERY}"
    )


def _hybrid(model: type[Any], argument: str, name: str) -> Any:
    """Return what a hybrid property gives of the class, which is to be SQL."""
    try:
        attribute = getattr(model, name)
        attribute.__clause_element__()
    except Exception as error:  # the program's own code runs here
        problem = (
            f"is {name!r}, a hybrid property that gives no SQL at {model.__name__}."
            f"{name} ({type(error).__name__}: {error}); give it an SQL expression, by"
            f" @{name}.inplace.expression"
        )
        raise MappingError(model.__name__, argument, problem) from error
    return attribute


def _unknown(mapper: Mapper[Any], name: str, attribute: object) -> str:
    """Return what is wrong with the name of what is no attribute, or not mapped."""
    if attribute is not None:
        return (
            f"is {name!r}, which the database does not know; name a column attribute or"
            " a hybrid property"
        )
    by_column = {
        column.name: mapper.get_property_by_column(column).key
        for column in mapper.columns
    }
    if name in by_column:
        right = by_column[name]
        return f"is {name!r}, the column of attribute {right!r}; give {right!r}"
    known = sorted(column.key for column in _column_attributes(mapper))
    text = f"is {name!r}, which {mapper.class_.__name__} does not have; it has "
    text += ", ".join(known)
    for like in difflib.get_close_matches(name, known, n=1):
        text += f"; did you mean {like!r}?"
    return text


def _column_attributes(mapper: Mapper[Any]) -> Iterator[Any]:
    for column in mapper.columns:
        yield mapper.get_property_by_column(column)


def _is_relationship(attribute: QueryableAttribute[Any]) -> bool:
    prop = getattr(attribute, "property", None)
    return prop is not None and not isinstance(prop, ColumnProperty)
