"""An SQL expression over a row: of what it is made, and what it reads.

Nothing here configures mappers.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import GenerativeSelect, ScalarSelect, SelectBase
from sqlalchemy.sql.selectable import AliasedReturnsRows
from sqlalchemy.sql.visitors import iterate, replacement_traverse


def expression_of(meaning: Any) -> ColumnElement[Any] | None:
    """Return the SQL that is meant, of one row at most; None: it is no expression."""
    if hasattr(meaning, "__clause_element__"):
        meaning = meaning.__clause_element__()
    if isinstance(meaning, SelectBase):
        meaning = meaning.scalar_subquery()
    if isinstance(meaning, ScalarSelect):
        meaning = _of_one_row(meaning)
    return meaning if isinstance(meaning, ColumnElement) else None


def _of_one_row(subquery: ScalarSelect[Any]) -> ScalarSelect[Any]:
    """Return a subquery that gives no second row, which databases refuse.

    The program's own statement, which it is asked for, has to go on.
    """
    inner = subquery.element
    if (
        isinstance(inner, GenerativeSelect)
        and inner._limit_clause is None  # noqa: SLF001 - there is no public word of it
        and inner._fetch_clause is None  # noqa: SLF001 - nor of this
    ):
        return inner.limit(1).scalar_subquery()
    return subquery


def selects_from_itself(mapper: Mapper[Any], expression: ClauseElement) -> bool:
    """Return whether a subquery reads nothing but the model's table: not the row."""
    elements = list(iterate(expression))
    sources = [one for one in elements if isinstance(one, (Table, AliasedReturnsRows))]
    return any(isinstance(one, Select) for one in elements) and all(
        one in mapper.tables for one in sources
    )


def plain(mapper: Mapper[Any], expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an expression over the table's own columns.

    Those of a mapped attribute make the ORM add conditions of its own to a SELECT, such
    as a subclass' kind; a row that does not fulfil them is to be read all the same.
    """
    mine = {column: column for table in mapper.tables for column in table.columns}

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, ScalarSelect):
            return element
        return mine.get(element) if isinstance(element, Column) else None

    result: ColumnElement[Any] = replacement_traverse(expression, {}, replace)
    return result


def reads_of(
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
