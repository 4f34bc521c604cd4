"""What a compiled statement does to tables that matter, decided once.

A statement may hide others in its CTEs; each INSERT, UPDATE or DELETE in it that
matters is a part. Nothing here looks at the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, TypeAlias

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
from sqlalchemy.sql.expression import FromClause, Join

from hydro_hooks.detection.inserting import Inserting, Selected, selected_by
from hydro_hooks.detection.matching import Matching, NotFollowedError, name_of_value
from hydro_hooks.detection.reach import Edge, Reach
from hydro_hooks.detection.text_matching import TextMatching, TextRows
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel

_OR_REPLACE: Final = re.compile(r"\s*UPDATE\s+OR\s+REPLACE\b", re.IGNORECASE)

Constants: TypeAlias = Mapping[Field, str]
"""Fields that an UPDATE sets to a parameter, by the parameter's name."""


class Kind(Enum):
    """What a part does."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One INSERT, UPDATE or DELETE of a table that matters.

    Args:
        kind: Which.
        table: Whose rows it makes, changes or removes.
        is_whole: Whether it is the statement itself, whose row count is its own.
        tracked: The models whose subjects it may change.
        readers: The models with subqueries over what it changes.
        edges: Where the database goes on by itself, by table.
        matching: Of an UPDATE or DELETE, which rows.
        inserting: Of an INSERT, which rows.
        element: Of an INSERT, the statement.
        selected: Of an INSERT ... SELECT, or one written as text, what tells of its
            rows.
        constants: Of an UPDATE, by model, what it sets where all that matters is set to
            parameters; a model that is not here has to be read again.
        problem: Why its rows cannot be found; None where they can.
    """

    kind: Kind
    table: Table
    is_whole: bool
    tracked: tuple[TrackedModel, ...] = ()
    readers: tuple[TrackedModel, ...] = ()
    edges: Mapping[Table, list[Edge]]
    constants: Mapping[TrackedModel, Constants] = field(default_factory=dict)
    matching: Matching | TextMatching | None = None
    inserting: Inserting | None = None
    element: Insert | None = None
    selected: Selected | TextRows | None = None
    problem: str | None = None

    @property
    def goes_beyond(self) -> bool:
        """Return whether it changes more than the rows that it names."""
        return bool(self.readers) or self.table in self.edges


def parts_of(compiled: Any, sql: str, reach: Reach) -> tuple[Part, ...]:
    """Return the parts of a statement; none where nothing that matters is touched.

    Args:
        compiled: SQLAlchemy's compiled statement.
        sql: Its text.
        reach: Which tables matter.
    """
    parts: list[Part] = []
    top = inner(compiled.statement)
    if isinstance(top, (Insert, Update, Delete)):
        state = compiled.compile_state
        # With what the ORM adds: the kind of a subclass, the options of the session.
        element = state.statement
        others = tuple(getattr(state, "_extra_froms", ()))
        keys = dict.fromkeys(compiled.column_keys or ())
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
            try:
                selected = selected_by(element, compiled.bind_names)
            except NotFollowedError:
                selected = None  # what it gives is not known before it ran
            yield replace(part, element=element, selected=selected)
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


def insert_part(table: Table, sql: str, reach: Reach, *, whole: bool) -> Part | None:
    """Return what an INSERT does; None where nothing of it matters."""
    inserting = Inserting(table, sql)
    part = Part(
        kind=Kind.INSERT,
        table=table,
        is_whole=whole,
        tracked=tuple(reach.tracked.get(table, ())),
        readers=tuple(reach.readers.get(table, ())),
        # Where it replaces rows, these are deleted.
        edges=reach.on_delete if inserting.replaces else {},
        inserting=inserting,
    )
    return part if part.tracked or part.goes_beyond else None


def delete_part(table: Table, reach: Reach, *, whole: bool) -> Part | None:
    """Return what a DELETE does; None where nothing of it matters."""
    part = Part(
        kind=Kind.DELETE,
        table=table,
        is_whole=whole,
        tracked=tuple(reach.tracked.get(table, ())),
        readers=tuple(reach.readers.get(table, ())),
        edges=reach.on_delete,
    )
    return part if part.tracked or part.goes_beyond else None


def update_part(
    table: Table,
    values: Mapping[Column[Any], Any],
    names: Mapping[Any, str],
    reach: Reach,
    *,
    whole: bool,
) -> Part | None:
    """Return what an UPDATE does; None where nothing of it matters.

    Args:
        table: Whose rows it changes.
        values: The columns that it sets, and to what; see `values_set()`.
        names: Of its parameters.
        reach: Which tables matter.
        whole: Whether it is the statement itself.
    """
    edges = {
        parent: [
            edge
            for edge in found
            if parent is not table or not values.keys().isdisjoint(edge.refers_to)
        ]
        for parent, found in reach.on_update.items()
    }
    tracked = tuple(
        one
        for one in reach.tracked.get(table, ())
        if one.follows_update or not values.keys().isdisjoint(one.columns)
    )
    is_read = not values.keys().isdisjoint(reach.read_columns(table))
    part = Part(
        kind=Kind.UPDATE,
        table=table,
        is_whole=whole,
        tracked=tracked,
        readers=tuple(reach.readers.get(table, ())) if is_read else (),
        edges={parent: found for parent, found in edges.items() if found},
        constants={
            one: constants
            for one in tracked
            if (constants := _constants(one, values, names)) is not None
        },
    )
    return part if part.tracked or part.goes_beyond else None


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


def _constants(
    tracked: TrackedModel, values: Mapping[Column[Any], Any], names: Mapping[Any, str]
) -> Constants | None:
    """Return the fields that are set to parameters; None where one is set otherwise."""
    if tracked.follows_update or any(
        column in values for column in tracked.mapper.primary_key
    ):
        return None
    constants: dict[Field, str] = {}
    for one in tracked.fields().values():
        touched = one.own & values.keys()
        if not touched:
            continue
        if one.attribute is None:
            return None
        [column] = touched
        value = values[column]
        if value is None:
            constants[one] = column.key
        elif isinstance(value, BindParameter):
            constants[one] = name_of_value(column, value, names)
        else:
            return None
    return constants
