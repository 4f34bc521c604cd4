"""A field: one thing that is read of a row, from what the user said it is.

Attributes are looked up without configuring mappers: when `register()` runs, another
model that this one is related to may not be imported yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Boolean, Column, ColumnElement, Enum, Integer, String, Table
from sqlalchemy.orm import ColumnProperty, Mapper, QueryableAttribute
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import ScalarSelect, SelectBase
from sqlalchemy.sql.visitors import replacement_traverse

from hydro_hooks.errors import MappingError

Meaning: TypeAlias = "str | QueryableAttribute[Any] | ColumnElement[Any] | SelectBase"
"""An attribute's name, the attribute, or an SQL expression over the row."""


_STORED: Final[dict[type[Any], frozenset[type]]] = {
    Boolean: frozenset({bool, int, type(None)}),
    Integer: frozenset({int, type(None)}),
    String: frozenset({str, type(None)}),
}


def stored_as_given(column: ColumnElement[Any]) -> frozenset[type]:
    """Return the types of the values that a column stores as the program gives them.

    None of them where the column's type is one that converts values, or the program's.
    """
    for kind, types in _STORED.items():
        if isinstance(column.type, kind) and not isinstance(column.type, Enum):
            return types
    return frozenset()


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


def flag_of(mapper: Mapper[Any], argument: str, meaning: Meaning) -> Field:
    """Return the field of a flag, whose value counts as true or false.

    Raises:
        MappingError: As for `field_of()`; text, or of another table.
    """
    field = field_of(mapper, argument, meaning)
    kind = field.expression.type
    if isinstance(kind, String):
        problem = (
            f"is text ({kind!r}), of which every value but the empty one would count as"
            f" true; give an expression, such as {mapper.class_.__name__}.status =="
            " 'active'"
        )
        raise MappingError(mapper.class_.__name__, argument, problem)
    if field.tables:
        problem = "reads another table; give an expression over the row's own columns"
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
    expression = _expression(meaning)
    if expression is None:
        problem = (
            f"is {meaning!r}; give an attribute's name, a column attribute or an SQL"
            " expression over the row"
        )
        raise MappingError(name, argument, problem)
    expression = _plain(mapper, expression)
    own, foreign, reads = _reads(mapper, expression)
    outside = [column for column in own if column.table not in mapper.tables]
    if outside:
        problem = (
            f"reads {outside[0]}, which is not a column of {name}; follow it with a"
            " scalar subquery: select(...).where(...).scalar_subquery()"
        )
        raise MappingError(name, argument, problem)
    watched = frozenset(mapper.get_property_by_column(column).key for column in own)
    # A type of the program's own may store another value than the object has.
    is_column = isinstance(expression, Column)
    stored = stored_as_given(expression) if is_column else frozenset()
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
    attribute = getattr(model, name, None)
    if attribute is None:
        known = ", ".join(sorted(column.key for column in _column_attributes(mapper)))
        problem = f"is {name!r}, which {model.__name__} does not have; it has {known}"
        raise MappingError(model.__name__, argument, problem)
    is_property = isinstance(attribute, property)
    if is_property or not hasattr(attribute, "__clause_element__"):
        problem = (
            f"is {name!r}, which the database does not know; name a column attribute or"
            " a hybrid property"
        )
        raise MappingError(model.__name__, argument, problem)
    if isinstance(attribute, QueryableAttribute) and _is_relationship(attribute):
        problem = (
            f"is {name!r}, a relationship; name a column, or give a scalar subquery"
            " that follows it"
        )
        raise MappingError(model.__name__, argument, problem)
    return attribute


def _column_attributes(mapper: Mapper[Any]) -> Iterator[Any]:
    for column in mapper.columns:
        yield mapper.get_property_by_column(column)


def _is_relationship(attribute: QueryableAttribute[Any]) -> bool:
    prop = getattr(attribute, "property", None)
    return prop is not None and not isinstance(prop, ColumnProperty)


def _expression(meaning: Any) -> ColumnElement[Any] | None:
    if hasattr(meaning, "__clause_element__"):
        meaning = meaning.__clause_element__()
    if isinstance(meaning, SelectBase):
        meaning = meaning.scalar_subquery()
    return meaning if isinstance(meaning, ColumnElement) else None


def _plain(mapper: Mapper[Any], expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an expression over the table's own columns.

    Those of a mapped attribute make the ORM add conditions of its own to a SELECT, such
    as a subclass' kind; a row that does not fulfil them is to be read all the same.
    """
    mine = {column: column for table in mapper.tables for column in table.columns}

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, ScalarSelect):
            return element
        return mine.get(element) if isinstance(element, Column) else None

    plain: ColumnElement[Any] = replacement_traverse(expression, {}, replace)
    return plain


def _reads(
    mapper: Mapper[Any], expression: ClauseElement
) -> tuple[set[Column[Any]], set[Table], set[Column[Any]]]:
    """Return an expression's columns of the row, other tables, and their columns.

    Inside a subquery only the row's own columns belong to the row: the subquery is
    correlated to it.
    """
    mine = {column for table in mapper.tables for column in table.columns}
    own: set[Column[Any]] = set()
    foreign: set[Table] = set()
    reads: set[Column[Any]] = set()
    stack: list[tuple[Any, bool]] = [(expression, False)]
    while stack:
        element, is_inside = stack.pop()
        if isinstance(element, Column):
            if element in mine or not is_inside:
                own.add(element)
            else:
                reads.add(element)
        elif isinstance(element, Table):
            if element not in mapper.tables:
                foreign.add(element)
        else:
            inside = is_inside or isinstance(element, SelectBase)
            stack.extend((child, inside) for child in element.get_children())
    return own, foreign, reads
