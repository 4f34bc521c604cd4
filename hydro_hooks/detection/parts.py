"""What an INSERT, UPDATE or DELETE does to a table that matters.

Nothing here looks at the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from sqlalchemy import (
    BindParameter,
    Column,
    Insert,
    Table,
)

from hydro_hooks.detection.inserting import Inserting, Named, Selected
from hydro_hooks.detection.matching import Matching
from hydro_hooks.detection.parameters import name_of_value
from hydro_hooks.detection.reach import Edge, Reach
from hydro_hooks.detection.text_matching import TextMatching
from hydro_hooks.detection.text_rows import TextRows
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel

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
        selected: Of an INSERT ... SELECT, one in a CTE, or one written as text, what
            tells of its rows.
        constants: Of an UPDATE, by model, what it sets where all that matters is set to
            parameters; a model that is not here has to be read again.
        computed: Columns that an INSERT fills with what the database computes.
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
    selected: Selected | TextRows | Named | None = None
    computed: frozenset[Column[Any]] = frozenset()
    problem: str | None = None

    @property
    def goes_beyond(self) -> bool:
        """Return whether it changes more than the rows that it names."""
        return bool(self.readers) or self.table in self.edges


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
        problem=None if inserting.key else "its table has no primary key",
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
    # What the transaction has brought in is known by key, which may not go astray.
    is_read = not values.keys().isdisjoint(
        {*reach.read_columns(table), *table.primary_key}
    )
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
