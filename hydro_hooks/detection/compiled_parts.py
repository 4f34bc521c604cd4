"""What a compiled statement does to tables that matter, decided once.

A statement may hide others in its CTEs; each INSERT, UPDATE or DELETE in it that
matters is a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Column,
    Delete,
    Insert,
    Table,
    TextualSelect,
    Update,
)
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import FromClause, Join

from hydro_hooks.detection.inserting import (
    Named,
    Selected,
    named_values,
    selected_by,
)
from hydro_hooks.detection.matching import Matching
from hydro_hooks.detection.parameters import NotFollowedError
from hydro_hooks.detection.parts import Part, delete_part, insert_part, update_part
from hydro_hooks.detection.reach import Reach

_OR_REPLACE: Final = re.compile(r"\s*UPDATE\s+OR\s+REPLACE\b", re.IGNORECASE)


def parts_of(compiled: Any, sql: str, reach: Reach) -> tuple[Part, ...] | None:
    """Return the parts of a statement; none where nothing that matters is touched.

    Args:
        compiled: SQLAlchemy's compiled statement.
        sql: Its text.
        reach: Which tables matter.

    Returns:
        The parts; None where it has another object for a table that matters: then its
        text says what it does.
    """
    parts: list[Part] = []
    top = inner(compiled.statement)
    if isinstance(top, (Insert, Update, Delete)):
        if reach.has_namesake(top.table):
            return None
        state = compiled.compile_state
        # With what the ORM adds: the kind of a subclass, the options of the session.
        element = state.statement
        others = tuple(getattr(state, "_extra_froms", ()))
        # Parameters of a DELETE only look like columns that are set.
        named = () if compiled.isdelete else compiled.column_keys or ()
        keys: dict[Any, Any] = dict.fromkeys(named)
        keys.update(getattr(state, "_dict_parameters", None) or {})
        table = getattr(state, "dml_table", element.table)
        targets = list(_targets(table, keys, others))
        # MariaDB counts the rows of all the tables that one UPDATE changes together.
        is_whole = len(targets) == 1
        for target, sources in targets:
            parts.extend(
                _parts(
                    element, target, sources, keys, compiled, sql, reach, whole=is_whole
                )
            )
    for cte in compiled.ctes or ():
        element = cte.element
        if isinstance(element, (Insert, Update, Delete)):
            keys = dict(getattr(element, "_values", None) or {})
            where = getattr(element, "whereclause", None)
            others = tuple(
                one
                for one in (() if where is None else where._from_objects)  # noqa: SLF001 - as the compiler itself finds them
                if one != element.table
            )
            parts.extend(
                _parts(
                    element,
                    element.table,
                    others,
                    keys,
                    compiled,
                    sql,
                    reach,
                    whole=False,
                )
            )
    return tuple(parts)


def inner(statement: Any) -> Any:
    """Return what is executed in a statement that says how to read its rows."""
    while isinstance(statement, (FromStatement, TextualSelect)):
        statement = statement.element
    return statement


def _targets(
    table: Any, keys: Mapping[Any, Any], others: tuple[FromClause, ...]
) -> Iterator[tuple[Any, tuple[FromClause, ...]]]:
    """Yield the tables that are changed, each with what else is read.

    MariaDB's UPDATE may set columns of several tables.
    """
    first = table.left if isinstance(table, Join) else table
    joined = (table.right,) if isinstance(table, Join) else ()
    sources = (*joined, *others)
    yield first, sources
    set_here = {
        key.table
        for key in keys
        if isinstance(key, Column) and isinstance(key.table, Table)
    }
    for other in set_here - {first}:
        if other in set(sources):
            yield other, (first, *(one for one in sources if one != other))


def _parts(
    element: Any,
    table: Any,
    others: tuple[FromClause, ...],
    keys: Mapping[Any, Any],
    compiled: Any,
    sql: str,
    reach: Reach,
    *,
    whole: bool,
) -> Iterator[Part]:
    # An annotated copy of the table is equal to it.
    known = reach.known(table)
    if known is None:
        return
    if isinstance(element, Insert):
        part = insert_part(known, sql, reach, whole=whole)
        if part is not None:
            yield replace(
                part,
                element=element,
                computed=frozenset(_computed(known, element)),
                selected=_selected(known, element, compiled.bind_names, whole=whole),
            )
        return
    names = compiled.bind_names
    values = values_set(known, keys)
    replaces = isinstance(element, Update) and _OR_REPLACE.match(sql)
    found = (
        delete_part(known, reach, whole=whole)
        if replaces or isinstance(element, Delete)
        else update_part(known, values, names, reach, whole=whole)
    )
    if found is None:
        return
    if replaces:
        yield replace(found, problem="it deletes the rows that are in its way")
        return
    try:
        new_key = {one: values[one] for one in known.primary_key if one in values}
        matching = Matching(known, element.whereclause, others, names, new_key)
        yield replace(found, matching=matching)
    except NotFollowedError as error:
        yield replace(found, problem=str(error))


def _computed(table: Table, element: Insert) -> Iterator[Column[Any]]:
    """Yield the columns that an INSERT fills with SQL expressions."""
    many = element._multi_values  # noqa: SLF001 - there is no other word of these
    rows = [row for some in many for row in some if isinstance(row, Mapping)]
    for row in (element._values or {}, *rows):  # noqa: SLF001
        for column, value in row.items():
            is_sql = isinstance(value, ClauseElement)
            if is_sql and not isinstance(value, BindParameter):
                yield table.c[str(getattr(column, "key", column))]


def _selected(
    table: Table, element: Insert, names: Mapping[Any, str], *, whole: bool
) -> Selected | Named | None:
    try:
        selected = selected_by(element, names)
    except NotFollowedError:
        return None  # what it gives is not known before it ran
    if selected is None and not whole:
        return named_values(table, element, names)
    return selected


def values_set(table: Table, keys: Mapping[Any, Any]) -> dict[Column[Any], Any]:
    """Return the columns of a table that an UPDATE sets, and to what.

    Args:
        table: The table.
        keys: Columns, or their keys, with the expression; None for a parameter that
            has the column's key for its name.
    """
    values: dict[Column[Any], Any] = {}
    for key, value in keys.items():
        column = table.c.get(key) if isinstance(key, str) else key
        if isinstance(column, Column) and column in table.c.values():
            values[table.c[column.key]] = value
    return values
