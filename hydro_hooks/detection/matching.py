"""Which rows an UPDATE or DELETE will touch: its own WHERE, asked before it runs.

The SELECT is made once per compiled statement; the values of its parameters are those
of the execution at hand, since a compiled statement is used again with others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    bindparam,
    exists,
    select,
    type_coerce,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, Grouping
from sqlalchemy.sql.expression import SelectBase
from sqlalchemy.sql.visitors import iterate

from hydro_hooks.detection import rows
from hydro_hooks.detection.parameters import (
    PREFIX,
    Parameters,
    expanded,
    name_of_value,
    named,
    parameters_in,
    values_of,
)
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place


class Matching:
    """The rows that one UPDATE or DELETE touches.

    Args:
        table: Whose rows they are.
        where: Its condition; None: all rows.
        others: What else it reads to find them (UPDATE ... FROM, DELETE ... USING).
        names: Of its parameters, as the statement was compiled.
        new_key: Of an UPDATE of the primary key: what to, by column; None: a parameter
            with the column's key for its name.

    Attributes:
        is_steady: Whether nothing but a row itself decides whether it is touched, so
            that others cannot change that once it is locked.

    Raises:
        NotFollowedError: To find its rows it runs another statement that changes some.
    """

    def __init__(
        self,
        table: Table,
        where: ColumnElement[Any] | None,
        others: Sequence[FromClause],
        names: Mapping[Any, str],
        new_key: Mapping[Column[Any], Any] | None = None,
    ) -> None:
        self.table = table
        self._key = None if where is None or others else _key_in(table, where, names)
        self._is_joined = bool(others) and where is not None
        self.is_steady = not others and not _has_select(where)
        if others and where is not None:
            # Rows that it only reads are not locked, nor do they multiply others.
            where = exists().select_from(*others).where(where)
        self._where = None if where is None else named(where, names)
        self._names = {} if where is None else dict(parameters_in(where, names))
        self._new_key: list[ColumnElement[Any]] = []
        for column in table.primary_key if new_key else ():
            value, its_names = _new_value(column, new_key or {}, names)
            self._new_key.append(value)
            self._names.update(its_names)
        self._selects: dict[object, Select[Any]] = {}

    @property
    def is_by_key(self) -> bool:
        """Return whether the statement names its rows by primary key."""
        return self._key is not None and not self._new_key

    @property
    def sets_key(self) -> bool:
        """Return whether the statement gives its rows other keys."""
        return bool(self._new_key)

    def keys(
        self,
        connection: Connection,
        parameters: Parameters,
        place: Place | None,
        lock: Lock = Lock.NONE,
    ) -> list[Key]:
        """Return the primary keys of the rows; those it names itself are not locked."""
        if self._key is not None:
            return self.named_keys(parameters)
        key = tuple(self.table.primary_key)
        statement = self._select(("keys", lock), key, self.table, lock)
        return self._asked(connection, statement, parameters, place)

    def new_keys(
        self,
        connection: Connection,
        parameters: Parameters,
        place: Place | None,
        lock: Lock,
    ) -> list[Key]:
        """Return the keys that an UPDATE is about to give to its rows."""
        statement = self._select(("new keys", lock), self._new_key, self.table, lock)
        return self._asked(connection, statement, parameters, place)

    def _asked(
        self,
        connection: Connection,
        statement: Select[Any],
        parameters: Parameters,
        place: Place | None,
    ) -> list[Key]:
        result = connection.execute(
            statement, self._given(parameters), execution_options=rows.options(place)
        )
        return [tuple(row) for row in result.fetchall()]

    def named_keys(self, parameters: Parameters) -> list[Key]:
        """Return the primary keys that the statement's parameters name."""
        assert self._key is not None  # noqa: S101 - for the type checker
        if isinstance(self._key, str):
            return [(value,) for value in expanded(parameters, self._key)]
        return [tuple(parameters[name] for name in self._key)]

    def found(
        self,
        connection: Connection,
        tracked: TrackedModel,
        parameters: Parameters,
        lock: Lock,
        place: Place | None,
    ) -> Iterator[tuple[Key, Found, Key]]:
        """Yield the rows of a tracked model, under the statement's own lock.

        Args:
            connection: Where the statement is about to run.
            tracked: A model with rows in the table.
            parameters: Of the execution.
            lock: The lock.
            place: The schema translation in force.

        Yields:
            The key, the row, and the key that an UPDATE gives it, if it sets that.
        """
        columns = rows.columns_of(tracked)
        source = tracked.mapper.persist_selectable
        statement = self._select(
            (tracked, lock), (*columns, *self._new_key), source, lock
        )
        result = connection.execute(
            statement, self._given(parameters), execution_options=rows.options(place)
        )
        width = len(columns)
        while some := result.fetchmany(rows.CHUNK):  # never all at once
            for (key, row), whole in zip(
                rows.found_in(tracked, some), some, strict=True
            ):
                yield key, row, tuple(whole[width:]) if self._new_key else ()

    def _select(
        self,
        name: object,
        columns: Sequence[ColumnElement[Any]],
        source: FromClause,
        lock: Lock,
    ) -> Select[Any]:
        known = self._selects.get(name)
        if known is not None:
            return known
        statement = select(*columns).select_from(source)
        if self._where is not None:
            condition = self._where
            if self._is_joined:
                condition = condition.correlate(source, *_tables_of(source))
            statement = statement.where(condition)
        of = None if source is self.table else self.table
        known = self._selects[name] = rows.locked(statement, lock, of)
        return known

    def _given(self, parameters: Parameters) -> dict[str, Any]:
        return values_of(self._names, parameters)


def _new_value(
    column: Column[Any], new_key: Mapping[Column[Any], Any], names: Mapping[Any, str]
) -> tuple[ColumnElement[Any], dict[str, bool]]:
    """Return what an UPDATE sets a column to, and the parameters in it."""
    if column not in new_key:
        return column, {}
    value = new_key[column]
    if value is None or isinstance(value, BindParameter):
        name = column.key
        if value is not None:
            name = name_of_value(column, value, names)
        return bindparam(PREFIX + name, type_=column.type), {name: False}
    # As the column will give it back, whatever the expression is of.
    return type_coerce(named(value, names), column.type), dict(
        parameters_in(value, names)
    )


def _has_select(where: ColumnElement[Any] | None) -> bool:
    elements = () if where is None else iterate(where)
    return any(isinstance(element, SelectBase) for element in elements)


def _tables_of(source: FromClause) -> Iterator[Table]:
    for element in iterate(source):
        if isinstance(element, Table):
            yield element


def _key_in(
    table: Table, where: ColumnElement[Any], names: Mapping[Any, str]
) -> tuple[str, ...] | str | None:
    """Return the parameters that name the rows by key; one name: a list of keys."""
    key = set(table.primary_key)
    found: dict[Any, str] = {}
    for part in _conjuncts(where):
        if not isinstance(part, BinaryExpression):
            return None
        left, right = part.left, part.right
        if isinstance(left, BindParameter):
            left, right = right, left
        name = names.get(right) if isinstance(right, BindParameter) else None
        if name is None or left not in key or left in found:
            return None
        if part.operator is operators.in_op:
            return name if len(key) == 1 and where is part else None
        if part.operator is not operators.eq:
            return None
        found[left] = name
    if len(found) != len(key):
        return None
    return tuple(found[column] for column in table.primary_key)


def _conjuncts(where: Any) -> Iterator[ColumnElement[Any]]:
    if isinstance(where, Grouping):
        yield from _conjuncts(where.element)
    elif isinstance(where, BooleanClauseList) and where.operator is operators.and_:
        for part in where.clauses:
            yield from _conjuncts(part)
    else:
        yield where
