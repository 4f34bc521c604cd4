"""What a row is, by asking the database.

Histories of attributes cannot be trusted (an expired or deferred attribute has no old
value, and another transaction may have changed the row since it was loaded), so the
state before a change is read under the lock that the change itself is about to take.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    bindparam,
    delete,
    false,
    select,
    tuple_,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from hydro_hooks.detection.connections import MARIADB
from hydro_hooks.driver_errors import is_conflict
from hydro_hooks.models import TrackedModel
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place, State, Values

CHUNK: Final = 500
"""Keys in one SELECT; every database takes that many parameters."""

Key: TypeAlias = tuple[Any, ...]
"""The values of a primary key, in the table's order."""


class Lock(Enum):
    """The lock of a read: that of the statement which follows, never a stronger one.

    `OWN` is of rows that the transaction has locked or written itself. At REPEATABLE
    READ, MariaDB shows what others committed before that to locking reads alone, also
    where an UPDATE has just met it: one that changes nothing makes no version.
    """

    NONE = "none"
    OWN = "own"
    UPDATE = "update"
    DELETE = "delete"


class Found(NamedTuple):
    """A row as the database has it."""

    state: State
    values: Values


def options(place: Place | None) -> dict[str, Any]:
    """Return the execution options of a statement of ours."""
    if place is None:
        return {OURS: True}
    return {OURS: True, "schema_translate_map": dict(place)}


def read(
    connection: Connection,
    tracked: TrackedModel,
    keys: Sequence[Key],
    lock: Lock,
    place: Place | None = None,
) -> dict[Key, Found]:
    """Return the rows that there are, by key.

    Args:
        connection: In whose transaction to look.
        tracked: The model.
        keys: Primary keys, any number.
        lock: What to lock them for.
        place: The schema translation in force.
    """
    lock = lock_here(connection, lock)
    found = _read(connection, tracked, keys, lock, place)
    missing = [key for key in keys if key not in found]
    if missing and lock is not Lock.NONE and connection.dialect.name == "postgresql":
        # It may have waited for a row that was deleted and made anew meanwhile. The
        # program's statement will see the new one, and so does a second look.
        found |= _read(connection, tracked, missing, lock, place)
    return found


def _read(
    connection: Connection,
    tracked: TrackedModel,
    keys: Sequence[Key],
    lock: Lock,
    place: Place | None,
) -> dict[Key, Found]:
    if not keys:
        return {}
    if len(keys) == 1 and tracked.is_plain and place is None:
        return _read_one(connection, tracked, keys[0], lock)
    statement = _select_by_key(tracked, lock)
    found = dict(_rows(connection, statement, tracked, keys, place))
    asked = set(keys)
    if not asked.issuperset(found):
        # The database takes other keys for equal (padded or folded text): one by one,
        # what comes back is what was asked for.
        found = {}
        for key in asked:
            rows = _rows(connection, statement, tracked, [key], place)
            found.update((key, row) for _, row in rows)
    return found


def read_as_stored(
    connection: Connection,
    tracked: TrackedModel,
    keys: Sequence[Key],
    lock: Lock,
    place: Place | None,
) -> dict[Key, Found]:
    """Return the rows that there are, by the keys that the database has for them."""
    statement = _select_by_key(tracked, lock_here(connection, lock))
    return dict(_rows(connection, statement, tracked, keys, place))


def read_as_spelled(
    connection: Connection,
    tracked: TrackedModel,
    keys: Sequence[Key],
    place: Place | None,
) -> dict[Key, Found]:
    """Return the rows that have these very keys, not only keys that count as equal."""
    asked = set(keys)
    found = read_as_stored(connection, tracked, keys, Lock.NONE, place)
    return {key: row for key, row in found.items() if key in asked}


def _rows(
    connection: Connection,
    statement: Select[Any],
    tracked: TrackedModel,
    keys: Sequence[Key],
    place: Place | None,
) -> Iterator[tuple[Key, Found]]:
    for chunk in chunks(keys):
        result = connection.execute(
            statement, {"keys": chunk}, execution_options=options(place)
        )
        yield from found_in(tracked, result)


def columns_of(tracked: TrackedModel) -> list[ColumnElement[Any]]:
    """Return what is selected of a row: its key, its flags, its values."""
    fields = (tracked.present, tracked.enabled, *tracked.values)
    columns = [field.expression for field in fields if field is not None]
    return [*tracked.mapper.primary_key, *columns]


def found_in(
    tracked: TrackedModel, rows: Iterable[Sequence[Any]]
) -> Iterator[tuple[Key, Found]]:
    """Yield rows of `columns_of()` as keys, states and values."""
    width = len(tracked.mapper.primary_key)
    has_present, has_enabled = tracked.present is not None, tracked.enabled is not None
    flags = width + has_present + has_enabled
    fields = tracked.values
    places = [sum(one is not None for one in fields[:at]) for at in range(len(fields))]
    at = [
        None if field is None else flags + place
        for field, place in zip(fields, places, strict=True)
    ]
    first, second, third = at
    state = tracked.state
    for row in rows:
        is_present = row[width] if has_present else True
        is_enabled = row[flags - 1] if has_enabled else True
        values = Values(
            None if first is None else row[first],
            None if second is None else row[second],
            None if third is None else row[third],
        )
        yield tuple(row[:width]), Found(state(is_present, is_enabled), values)


def take_write_lock(connection: Connection, table: Table, place: Place | None) -> None:
    """Take SQLite's write lock by a statement that touches no row.

    A read before the first write of a transaction would make that write fail at once
    (SQLITE_BUSY) where by itself it would have waited.

    Args:
        connection: Where it is taken.
        table: One that the program is about to write to.
        place: The schema translation in force.
    """
    if place is not None:
        nothing = delete(table).where(false())
        connection.execute(nothing, execution_options=options(place))
        return
    name = connection.dialect.identifier_preparer.format_table(table)
    connection.exec_driver_sql(
        f"DELETE FROM {name} WHERE 0",  # noqa: S608 - a quoted name of the program's
        execution_options={OURS: True},
    )


def explain(failure: ExceptionContext) -> None:
    """Tell whoever reads the traceback whose statement has failed, and what to do."""
    error = failure.sqlalchemy_exception
    if isinstance(error, DBAPIError) and not is_conflict(error):
        error.add_note(
            "hydro_hooks asked this to know what the program's statement changes:"
            " hooks.check(engine) names a field that the database refuses. In a"
            " migration that is older than a column of the model, set"
            " TRACKING_DISABLED=true"
        )


def forget() -> None:
    """Forget the statements: the models have changed."""
    _select_by_key.cache_clear()
    _one_by_key.clear()


def chunks(keys: Sequence[Key]) -> Iterator[list[Any]]:
    """Yield the keys in parts, as `is_one_of()` wants them."""
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        yield [key[0] for key in chunk] if len(chunk[0]) == 1 else list(chunk)


def is_one_of(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """Return the condition that the columns are among the parameter `keys`."""
    keys: BindParameter[Any] = bindparam("keys", expanding=True)
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


def lock_here(connection: Connection, lock: Lock) -> Lock:
    """Return the lock, or none where one's own rows are seen without."""
    is_seen = lock is Lock.OWN and connection.dialect.name not in MARIADB
    return Lock.NONE if is_seen else lock


def locked(statement: Select[Any], lock: Lock, table: Table | None) -> Select[Any]:
    """Return a SELECT that locks the rows of `table`, or all that it reads."""
    if lock is Lock.NONE:
        return statement
    if lock is Lock.OWN:
        return statement.with_for_update(read=True)
    return statement.with_for_update(key_share=lock is Lock.UPDATE, of=table)


@functools.lru_cache(maxsize=256)
def _select_by_key(tracked: TrackedModel, lock: Lock) -> Select[Any]:
    key = tracked.mapper.primary_key
    statement = select(*columns_of(tracked)).select_from(
        tracked.mapper.persist_selectable
    )
    statement = statement.where(is_one_of(key))
    if lock is not Lock.NONE:
        # In the order in which a flush takes them, or two of them could deadlock.
        statement = statement.order_by(*key)
    return locked(statement, lock, None)


class _OneByKey:
    """The SELECT of one row, compiled once per dialect: most flushes change one."""

    def __init__(self, tracked: TrackedModel, lock: Lock, dialect: Dialect) -> None:
        key = tracked.mapper.primary_key
        names = [f"key_{number}" for number in range(len(key))]
        statement = select(*columns_of(tracked)).select_from(
            tracked.mapper.persist_selectable
        )
        for column, name in zip(key, names, strict=True):
            statement = statement.where(column == bindparam(name, type_=column.type))
        compiled = locked(statement, lock, None).compile(dialect=dialect)
        self.sql = str(compiled)
        self._names = names
        self._order = compiled.positiontup

    def parameters(self, key: Key) -> Any:
        """Return a key as the driver wants it."""
        given = dict(zip(self._names, key, strict=True))
        if self._order is None:
            return given
        return tuple(given[name] for name in self._order)


_one_by_key: WeakKeyDictionary[Dialect, dict[tuple[TrackedModel, Lock], _OneByKey]] = (
    WeakKeyDictionary()
)


def _read_one(
    connection: Connection, tracked: TrackedModel, key: Key, lock: Lock
) -> dict[Key, Found]:
    known = _one_by_key.setdefault(connection.dialect, {})
    statement = known.get((tracked, lock))
    if statement is None:
        statement = known[tracked, lock] = _OneByKey(tracked, lock, connection.dialect)
    result = connection.exec_driver_sql(
        statement.sql, statement.parameters(key), execution_options={OURS: True}
    )
    found = [row for _, row in found_in(tracked, result.fetchall())]
    return {key: found[0]} if found else {}


def read_columns(
    connection: Connection,
    wanted: Sequence[Column[Any]],
    by: Sequence[Column[Any]],
    keys: Sequence[Key],
    lock: Lock,
    place: Place | None,
) -> Iterator[Mapping[Column[Any], Any]]:
    """Yield columns of the rows of a table whose columns `by` are among `keys`."""
    statement = select(*wanted).where(is_one_of(by))
    statement = locked(statement, lock, None)
    for chunk in chunks(keys):
        rows = connection.execute(
            statement, {"keys": chunk}, execution_options=options(place)
        )
        for row in rows.fetchall():
            yield dict(zip(wanted, row, strict=True))
