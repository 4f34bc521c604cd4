"""Which tables matter, and what the database itself changes when a row of one does.

A foreign key with `ON DELETE CASCADE` takes rows along without a word to anybody; the
metadata tells of it. What is reached here is read before the statement and looked at
again after it: what the database did counts, not what the metadata says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    MetaData,
    Table,
)
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.sql.expression import Alias, TableClause

from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Key, Lock
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place, Stamp

_TAKES_ALONG: Final = "CASCADE"
_CHANGES: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


class Edge(NamedTuple):
    """A foreign key by which a change of a row reaches rows of another table."""

    child: Table
    columns: tuple[Column[Any], ...]
    refers_to: tuple[Column[Any], ...]
    takes_along: bool


class Reached(NamedTuple):
    """A row that the database may change, or remove, by itself."""

    table: Table
    key: Key
    stamp: Stamp


@dataclass(slots=True, eq=False)
class Reach:
    """What the tracked models mean for tables.

    Args:
        models: The tracked models, by association; call `forget()` when it changes.
    """

    models: Mapping[str, TrackedModel]
    tracked: dict[Table, list[TrackedModel]] = field(default_factory=dict)
    readers: dict[Table, list[TrackedModel]] = field(default_factory=dict)
    on_delete: dict[Table, list[Edge]] = field(default_factory=dict)
    on_update: dict[Table, list[Edge]] = field(default_factory=dict)
    _mattering: dict[Any, Table] = field(default_factory=dict)
    _size: int = -1

    def forget(self) -> None:
        """Decide everything anew: the models have changed."""
        self._size = -1
        self._mattering = {}
        if not self.models:  # and what was unregistered may go
            self.tracked, self.readers = {}, {}
            self.on_delete, self.on_update = {}, {}

    def renew(self) -> bool:
        """Take up tables that were defined since; return whether there were any."""
        size = sum(len(metadata.tables) for metadata in self._metadata())
        if size == self._size:
            return False
        self._size = size
        self.tracked, self.readers = {}, {}
        for tracked in self.models.values():
            for table in tracked.mapper.tables:
                if isinstance(table, Table):
                    self.tracked.setdefault(table, []).append(tracked)
            for table in {one for f in tracked.fields().values() for one in f.tables}:
                self.readers.setdefault(table, []).append(tracked)
        edges = list(self._edges())
        self.on_delete = self._reaching(
            (edge, constraint.ondelete) for edge, constraint in edges
        )
        self.on_update = self._reaching(
            (edge, constraint.onupdate) for edge, constraint in edges
        )
        mattering = (self.tracked, self.readers, self.on_delete, self.on_update)
        self._mattering = {table: table for tables in mattering for table in tables}
        return True

    def known(self, table: Any) -> Table | None:
        """Return the table of which this may be an annotated copy, if it matters."""
        return self._mattering.get(table)

    def has_namesake(self, table: Any) -> bool:
        """Return whether this stands for a table that matters, without being it.

        An alias; what `table()` makes; the table as reflected, or as another class
        declares it.
        """
        if isinstance(table, Alias):
            inner = table.element
            return self.known(inner) is not None or self.has_namesake(inner)
        if not isinstance(table, TableClause) or self.known(table) is not None:
            return False
        return any(one.schema == table.schema for one in self.named(table.name))

    def is_in(self, sql: str) -> bool:
        """Return whether the name of a table that matters stands in SQL text."""
        text = sql.lower()
        return any(table.name.lower() in text for table in self._mattering)

    def named(self, name: str) -> list[Table]:
        """Return the tables that matter with a name, in any schema, without case."""
        return [one for one in self._mattering if one.name.lower() == name.lower()]

    def referring(self, tables: Sequence[Table]) -> list[Table]:
        """Return the tables that refer to some, directly or not, and matter."""
        seen = list(tables)
        for table in seen:
            for other in table.metadata.tables.values():
                if other not in seen and any(
                    key.references(table) for key in other.foreign_keys
                ):
                    seen.append(other)
        return [one for one in seen if one in self._mattering and one not in tables]

    def concerned(self, tables: Iterable[Table]) -> list[TrackedModel]:
        """Return the models of whose rows a change of rows of tables may tell."""
        seen = list(tables)
        for table in seen:
            edges = (*self.on_delete.get(table, ()), *self.on_update.get(table, ()))
            seen += {edge.child for edge in edges if edge.child not in seen}
        models = (
            tracked
            for table in seen
            for tracked in (*self.tracked.get(table, ()), *self.readers.get(table, ()))
        )
        return list(dict.fromkeys(models))

    def asked(self, tables: Iterable[Table]) -> Iterator[ColumnElement[Any]]:
        """Yield the columns that are read to know what became of such rows."""
        for tracked in self.concerned(tables):
            yield from tracked.mapper.primary_key
            for one in tracked.fields().values():
                yield from (*one.own, *one.reads)

    def read_columns(self, table: Table) -> frozenset[Column[Any]]:
        """Return the columns of a table that subqueries of tracked models read."""
        return frozenset(
            column
            for tracked in self.readers.get(table, ())
            for one in tracked.fields().values()
            for column in one.reads
            if column.table is table
        )

    def _metadata(self) -> set[MetaData]:
        return {
            table.metadata
            for tracked in self.models.values()
            for table in tracked.mapper.tables
            if isinstance(table, Table)
        }

    def _edges(self) -> Iterator[tuple[Edge, ForeignKeyConstraint]]:
        for metadata in self._metadata():
            for table in list(metadata.tables.values()):
                for constraint in table.foreign_key_constraints:
                    actions = {
                        (action or "").upper()
                        for action in (constraint.ondelete, constraint.onupdate)
                    }
                    if actions.isdisjoint(_CHANGES):
                        continue
                    try:
                        refers_to = tuple(one.column for one in constraint.elements)
                    except NoReferenceError:  # its table is not defined yet
                        continue
                    columns = tuple(one.parent for one in constraint.elements)
                    yield Edge(table, columns, refers_to, takes_along=True), constraint

    def _reaching(
        self, edges: Iterable[tuple[Edge, str | None]]
    ) -> dict[Table, list[Edge]]:
        """Return, by parent, the edges that lead to a table that matters."""
        acting: list[Edge] = []
        for edge, action in edges:
            what = (action or "").upper()
            if what in _CHANGES:
                acting.append(edge._replace(takes_along=what == _TAKES_ALONG))
        reaching: dict[Table, list[Edge]] = {}
        remaining = acting
        while True:
            leading = [
                edge
                for edge in remaining
                if edge.child in self.tracked
                or edge.child in self.readers
                or (edge.takes_along and edge.child in reaching)
            ]
            if not leading:
                return reaching
            for edge in leading:
                parent = edge.refers_to[0].table
                if isinstance(parent, Table):
                    reaching.setdefault(parent, []).append(edge)
            remaining = [edge for edge in remaining if edge not in leading]

    def follow(
        self,
        connection: Connection,
        edges: Mapping[Table, Sequence[Edge]],
        table: Table,
        stamps: Mapping[Key, Stamp],
        place: Place | None,
    ) -> Iterator[Reached]:
        """Yield the rows that a change of rows of `table` reaches, level by level.

        Args:
            connection: Where the statement is about to run.
            edges: `on_delete` or `on_update`.
            table: Of the rows that the statement names.
            stamps: Their primary keys, and who changes each.
            place: The schema translation in force.
        """
        seen: set[tuple[Table, Key]] = {(table, key) for key in stamps}
        level = [(table, dict(stamps))]
        while level:
            parent, made = level.pop(0)
            for edge in edges.get(parent, ()):
                below: dict[Key, Stamp] = {}
                for key, stamp in _children(connection, edge, parent, made, place):
                    if (edge.child, key) not in seen:
                        seen.add((edge.child, key))
                        yield Reached(edge.child, key, stamp)
                        below[key] = stamp
                if below and edge.takes_along and edge.child in edges:
                    level.append((edge.child, below))


def _children(
    connection: Connection,
    edge: Edge,
    parent: Table,
    made: Mapping[Key, Stamp],
    place: Place | None,
) -> Iterator[tuple[Key, Stamp]]:
    """Yield the keys of the children of some rows, and who changed their parent."""
    by_value = _referred_to(connection, edge, parent, made, place)
    if not by_value:
        return
    key = tuple(edge.child.primary_key)
    lock = Lock.DELETE if edge.takes_along else Lock.UPDATE
    default = next(iter(by_value.values()))
    for child in rows.read_columns(
        connection, [*key, *edge.columns], edge.columns, list(by_value), lock, place
    ):
        value = tuple(child[column] for column in edge.columns)
        yield tuple(child[column] for column in key), by_value.get(value, default)


def _referred_to(
    connection: Connection,
    edge: Edge,
    parent: Table,
    made: Mapping[Key, Stamp],
    place: Place | None,
) -> dict[Key, Stamp]:
    key = tuple(parent.primary_key)
    if edge.refers_to == key:
        return dict(made)
    wanted = dict.fromkeys((*key, *edge.refers_to))
    found: dict[Key, Stamp] = {}
    for row in rows.read_columns(
        connection, list(wanted), key, list(made), Lock.NONE, place
    ):
        value = tuple(row[column] for column in edge.refers_to)
        if None not in value:
            found[value] = made[tuple(row[column] for column in key)]
    return found
