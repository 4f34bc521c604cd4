"""What a row is, by asking the database.

Histories of attributes cannot be trusted (an expired or deferred attribute has no old
value, and another transaction may have changed the row since it was loaded), so the
state before a change is read under the lock that the change itself is about to take.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    false,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.expression import ScalarSelect
from sqlalchemy.sql.visitors import iterate

from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import State, Values

CHUNK: Final = 500
"""Keys in one SELECT; every database takes that many parameters."""

_OPTIONS: Final = {OURS: True}


class Lock(Enum):
    """The lock of a read: that of the statement which follows, never a stronger one."""

    NONE = "none"
    UPDATE = "update"
    DELETE = "delete"


class Found(NamedTuple):
    """A row as the database has it."""

    state: State
    values: Values


def read(
    connection: Connection,
    tracked: TrackedModel,
    keys: Sequence[tuple[Any, ...]],
    lock: Lock,
) -> dict[tuple[Any, ...], Found]:
    """Return the rows that there are, by key.

    Args:
        connection: In whose transaction to look.
        tracked: The model.
        keys: Primary keys, any number.
        lock: What to lock them for.
    """
    statement = _select_by_key(tracked, lock)
    found = _execute(connection, statement, tracked, tracked, keys)
    asked = set(keys)
    if not asked.issuperset(found):
        # The database takes other keys for equal (padded or folded text): one by one,
        # what comes back is what was asked for.
        found = {}
        for key in asked:
            rows = _execute(connection, statement, tracked, tracked, [key])
            found.update((key, row) for row in rows.values())
    return found


def read_dependants(
    connection: Connection,
    tracked: TrackedModel,
    going: TrackedModel,
    keys: Sequence[tuple[Any, ...]],
) -> dict[tuple[Any, ...], Found]:
    """Return the rows of `tracked` whose values come from rows that are about to go.

    Args:
        connection: In whose transaction to look.
        tracked: The model with an expression over another table.
        going: The model of the rows that go.
        keys: Their primary keys.
    """
    statement = _select_dependants(tracked, going)
    if statement is None:
        return {}
    return _execute(connection, statement, tracked, going, keys)


def _execute(
    connection: Connection,
    statement: Select[Any],
    tracked: TrackedModel,
    keyed_by: TrackedModel,
    keys: Sequence[tuple[Any, ...]],
) -> dict[tuple[Any, ...], Found]:
    found: dict[tuple[Any, ...], Found] = {}
    for chunk in _chunks(keyed_by, keys):
        for row in connection.execute(
            statement, {"keys": chunk}, execution_options=_OPTIONS
        ):
            key, here = _found(tracked, row)
            found[key] = here
    return found


def take_write_lock(connection: Connection, tracked: TrackedModel) -> None:
    """Take SQLite's write lock by a statement that touches no row.

    A read before the first write of a transaction would make that write fail at once
    (SQLITE_BUSY) where by itself it would have waited.
    """
    table = tracked.mapper.local_table
    if isinstance(table, Table):
        connection.execute(delete(table).where(false()), execution_options=_OPTIONS)


def forget() -> None:
    """Forget the statements: the models have changed."""
    _select_by_key.cache_clear()
    _select_dependants.cache_clear()


def _chunks(
    tracked: TrackedModel, keys: Sequence[tuple[Any, ...]]
) -> Iterator[list[Any]]:
    is_single = len(tracked.mapper.primary_key) == 1
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        yield [key[0] for key in chunk] if is_single else list(chunk)


def _found(tracked: TrackedModel, row: Row[Any]) -> tuple[tuple[Any, ...], Found]:
    width = len(tracked.mapper.primary_key)
    rest = iter(row[width:])
    is_present = next(rest) if tracked.present else True
    is_enabled = next(rest) if tracked.enabled else True
    values = Values(*(next(rest) if field else None for field in tracked.values))
    return tuple(row[:width]), Found(tracked.state(is_present, is_enabled), values)


@functools.lru_cache(maxsize=256)
def _select_by_key(tracked: TrackedModel, lock: Lock) -> Select[Any]:
    statement = _select(tracked).where(_is_one_of(tracked.mapper.primary_key))
    if lock is Lock.NONE:
        return statement
    # In the order in which a flush takes the same locks, or two of them could deadlock.
    return statement.order_by(*tracked.mapper.primary_key).with_for_update(
        key_share=lock is Lock.UPDATE
    )


def _select(tracked: TrackedModel) -> Select[Any]:
    fields = (tracked.present, tracked.enabled, *tracked.values)
    columns = [field.expression for field in fields if field is not None]
    return select(*tracked.mapper.primary_key, *columns).select_from(
        tracked.mapper.persist_selectable
    )


def _is_one_of(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    keys: BindParameter[Any] = bindparam("keys", expanding=True)
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


@functools.lru_cache(maxsize=256)
def _select_dependants(
    tracked: TrackedModel, going: TrackedModel
) -> Select[Any] | None:
    readers = [
        condition
        for field in tracked.values
        if field is not None and not field.tables.isdisjoint(going.mapper.tables)
        for condition in _conditions(field, going)
    ]
    return _select(tracked).where(or_(*readers)) if readers else None


def _conditions(field: Field, going: TrackedModel) -> Iterator[ColumnElement[bool]]:
    """Yield, for each subquery of a field, whether it reads one of the rows that go."""
    for element in iterate(field.expression):
        if not isinstance(element, ScalarSelect) or not isinstance(
            element.element, Select
        ):
            continue
        inner = element.element
        for source in inner.get_final_froms():
            keys: Any = going.mapper.primary_key  # columns, typed as expressions
            sought = [source.corresponding_column(key) for key in keys]
            columns = [column for column in sought if column is not None]
            if len(columns) == len(sought):
                yield (
                    inner.with_only_columns(literal(1), maintain_column_froms=True)
                    .order_by(None)
                    .group_by(None)
                    .limit(None)
                    .where(_is_one_of(columns))
                    .exists()
                )
