"""Which rows an INSERT makes, or changes where it meets one that is there already.

Keys that the program gives are known before the statement. Keys that the database makes
are told by the result of a single row; of many rows they are found by where the
database's own counter stood before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Insert,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.sql.expression import SelectBase

from hydro_hooks.detection import rows
from hydro_hooks.detection.parameters import (
    name_of_value,
    named,
    parameters_in,
    values_of,
)
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.sql_tokens import COMMENT
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place

Given = Mapping[Column[Any], Any]
"""What the program gives of one new row, as far as it is known beforehand."""

_MEETS: Final = re.compile(
    r"(?: \bON\s+CONFLICT | \bON\s+DUPLICATE\s+KEY | \bINSERT\s+OR\s+\w+"
    r" | \bINSERT\s+(?:LOW_PRIORITY\s+|HIGH_PRIORITY\s+)?IGNORE"
    r" | \A\s*REPLACE )\b",
    re.IGNORECASE | re.VERBOSE,
)
_LEAVES: Final = re.compile(
    r"\b(?: DO\s+NOTHING | INSERT\s+OR\s+IGNORE | INSERT\s+IGNORE )\b",
    re.IGNORECASE | re.VERBOSE,
)
_CHANGES: Final = re.compile(
    r"\b(?: ON\s+DUPLICATE\s+KEY | DO\s+UPDATE )\b", re.IGNORECASE | re.VERBOSE
)
_REPLACES: Final = re.compile(
    r"\A\s*(?: INSERT\s+OR\s+REPLACE | REPLACE )\b", re.IGNORECASE | re.VERBOSE
)


class Inserting:
    """The rows that one INSERT makes.

    Args:
        table: Where to.
        sql: The statement's text.
    """

    def __init__(self, table: Table, sql: str) -> None:
        sql = COMMENT.sub(" ", sql)
        self.table = table
        self.key: tuple[Column[Any], ...] = tuple(table.primary_key)
        self.meets = _MEETS.search(sql) is not None
        # INSERT IGNORE ... ON DUPLICATE KEY UPDATE changes what it meets.
        self.leaves = _LEAVES.search(sql) is not None and not _CHANGES.search(sql)
        self.replaces = _REPLACES.search(sql) is not None
        self.returns = "RETURNING" in sql.upper()
        self.unique_sets = [self.key, *_unique_sets(table)]

    @property
    def wanted(self) -> list[Column[Any]]:
        """The columns by which a row is known."""
        sets = self.unique_sets if self.meets else [self.key]
        return list(dict.fromkeys(column for one in sets for column in one))

    def keys_in(self, given: Sequence[Given]) -> list[Key]:
        """Return the keys that the program gives, of those rows that have one."""
        return [
            key
            for row in given
            if None not in (key := tuple(row.get(column) for column in self.key))
        ]

    def met_keys(
        self, connection: Connection, given: Sequence[Given], place: Place | None
    ) -> list[Key]:
        """Return the keys of the rows that share a unique value with one given."""
        found: dict[Key, None] = {}
        for columns, values in self._unique_values(given):
            for row in rows.read_columns(
                connection, self.key, columns, values, Lock.NONE, place
            ):
                found[tuple(row.values())] = None
        return list(found)

    def repeats(self, given: Sequence[Given]) -> Iterator[bool]:
        """Yield, for each set of unique columns, whether values are given twice."""
        for columns in self.unique_sets:
            values = [tuple(row.get(column) for column in columns) for row in given]
            known = [value for value in values if None not in value]
            yield len(known) > len(set(known))

    def _unique_values(
        self, given: Sequence[Given]
    ) -> Iterator[tuple[tuple[Column[Any], ...], list[Key]]]:
        for columns in self.unique_sets:
            values = [
                value
                for row in given
                if None not in (value := tuple(row.get(column) for column in columns))
            ]
            if values:
                yield columns, list(dict.fromkeys(values))

    def met(
        self,
        connection: Connection,
        tracked: TrackedModel,
        given: Sequence[Given],
        lock: Lock,
        place: Place | None,
    ) -> dict[Key, Found]:
        """Return the rows that share a unique value with one that is given."""
        found: dict[Key, Found] = {}
        for columns, values in self._unique_values(given):
            statement = rows.locked(
                select(*rows.columns_of(tracked))
                .select_from(tracked.mapper.persist_selectable)
                .where(rows.is_one_of(columns)),
                lock,
                None,
            )
            for chunk in rows.chunks(values):
                result = connection.execute(
                    statement, {"keys": chunk}, execution_options=rows.options(place)
                )
                found.update(rows.found_in(tracked, result.fetchall()))
        return found


def _unique_sets(table: Table) -> Iterator[tuple[Column[Any], ...]]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield tuple(constraint.columns)
    for index in table.indexes:
        if index.unique:
            columns = tuple(one for one in index.expressions if isinstance(one, Column))
            if len(columns) == len(index.expressions):
                yield columns


def is_told(element: Insert, parameters: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the result of an INSERT will tell the key of its row."""
    return (
        len(parameters) == 1
        and not element._multi_values  # noqa: SLF001 - there is no other word of these
        and not element._inline  # noqa: SLF001
        and not element._returning  # noqa: SLF001
        and element.select is None
    )


def given_by(
    element: Insert,
    wanted: Sequence[Column[Any]],
    parameters: Sequence[Mapping[str, Any]],
) -> list[Given]:
    """Return what the parameters of an INSERT say of its rows.

    Args:
        element: The statement.
        wanted: The columns that are asked for.
        parameters: Of each execution.
    """
    many = element._multi_values  # noqa: SLF001 - there is no other word of these
    if not many:
        return [
            {column: row[column.key] for column in wanted if column.key in row}
            for row in parameters
        ]
    count = sum(len(one) for one in many)
    given: list[Given] = []
    for row in parameters:
        for number in range(count):
            names = {column: f"{column.key}_m{number}" for column in wanted}
            if number == 0:
                names.update({c: c.key for c in wanted if c.key in row})
            given.append({c: row[name] for c, name in names.items() if name in row})
    return given


class Selected(NamedTuple):
    """The SELECT of an INSERT ... SELECT.

    Attributes:
        statement: The SELECT, whose parameters wait for values.
        names: Of its parameters; true: a list.
        columns: Keys of the columns that it fills, in its order.
    """

    statement: Any
    names: Mapping[str, bool]
    columns: tuple[str, ...]

    @property
    def is_asked(self) -> bool:
        """Return whether the rows are those of a SELECT."""
        return True

    def given(
        self,
        connection: Connection,
        wanted: Sequence[Column[Any]],
        parameters: Mapping[str, Any],
        place: Place | None,
    ) -> list[Given]:
        """Return what it gives of the rows, by asking it beforehand."""
        at = {c: self.columns.index(c.key) for c in wanted if c.key in self.columns}
        if not at:
            return []
        result = connection.execute(
            self.statement,
            values_of(self.names, parameters),
            execution_options=rows.options(place),
        )
        return [{c: row[n] for c, n in at.items()} for row in result.fetchall()]


class Named(NamedTuple):
    """What an INSERT in a CTE gives of its row: its parameters have other names there.

    Attributes:
        names: Of the parameters, by the key of the column.
    """

    names: Mapping[str, str]

    @property
    def is_asked(self) -> bool:
        """Return whether the rows are those of a SELECT."""
        return False

    def given(
        self,
        _connection: Connection,
        wanted: Sequence[Column[Any]],
        parameters: Mapping[str, Any],
        _place: Place | None,
    ) -> list[Given]:
        """Return what the parameters say of the row."""
        names = {c: self.names[c.key] for c in wanted if c.key in self.names}
        return [{c: parameters[name] for c, name in names.items()}]


def named_values(
    table: Table, element: Insert, names: Mapping[Any, str]
) -> Named | None:
    """Return what an INSERT of one row in a CTE gives; None for other forms.

    Args:
        table: Where to.
        element: The statement.
        names: Of the parameters, as the whole was compiled.
    """
    values = element._values  # noqa: SLF001 - there is no other word of these
    if element._multi_values or not values:  # noqa: SLF001
        return None
    given = {table.c[str(getattr(one, "key", one))]: values[one] for one in values}
    return Named(
        {
            column.key: name_of_value(column, value, names)
            for column, value in given.items()
            if isinstance(value, BindParameter)
        }
    )


def selected_by(element: Insert, names: Mapping[Any, str]) -> Selected | None:
    """Return the SELECT of an INSERT ... SELECT; None where it has none.

    Args:
        element: The statement.
        names: Of its parameters, as it was compiled.
    """
    columns = element._select_names  # noqa: SLF001 - what from_select() was given
    if not isinstance(element.select, SelectBase) or columns is None:
        return None
    return Selected(
        named(element.select, names),
        dict(parameters_in(element.select, names)),
        tuple(columns),
    )
