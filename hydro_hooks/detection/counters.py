"""Keys that the database makes: which numbers of a table's counter are ours.

The result of an INSERT of one row tells its key. Of many rows nobody does, so where the
counter stood before is asked first, and what lies beyond it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Table,
    bindparam,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy import Sequence as DatabaseSequence

from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Key
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place

_NEXTVAL: Final = re.compile(
    r"nextval\('(?P<name>(?:[^']|'')+)'(?:::(?:regclass|text))*\)", re.IGNORECASE
)


class Mark(NamedTuple):
    """Where a database's counter for a table stood; `value`: the last number given."""

    column: Column[Any]
    value: int


def mark(connection: Connection, table: Table, place: Place | None) -> Mark | None:
    """Return where the counter of a table's key stands; None where it has none."""
    if len(table.primary_key) != 1:
        return None
    [column] = table.primary_key
    if not isinstance(getattr(column.type, "impl", column.type), Integer):
        return None
    asked = {
        "sqlite": _asked_sqlite,
        "postgresql": _asked_postgresql,
        "mysql": _asked_mariadb,
        "mariadb": _asked_mariadb,
    }.get(connection.dialect.name)
    value = None if asked is None else asked(connection, column, place)
    return None if value is None else Mark(column, value)


def beyond(
    connection: Connection,
    stood: Mark,
    place: Place | None,
    *,
    count: int | None,
    first: int | None,
    is_committed: bool,
) -> list[Key] | None:
    """Return the keys that this transaction's INSERT took from the counter.

    Args:
        connection: Where it ran.
        stood: Where the counter stood before.
        place: The schema translation in force.
        count: How many rows it made; None where that is not known.
        first: The first number of the last statement, where the driver tells it.
        is_committed: Whether it is committed already (AUTOCOMMIT).

    Returns:
        None where another transaction took numbers meanwhile, and which are whose
        cannot be told.
    """
    column, number = stood.column, _number(stood.column)
    statement = select(number, column).where(number > bindparam("stood", stood.value))
    is_told = connection.dialect.name == "postgresql" and not is_committed
    if is_told:
        statement = statement.where(_is_ours())
    if connection.dialect.name == "postgresql":
        # Keys that the program gave may lie beyond what the sequence has reached.
        reached = _asked_postgresql(connection, column, place)
        statement = statement.where(number <= bindparam("reached", reached))
    result = connection.execute(
        statement.order_by(number), execution_options=rows.options(place)
    )
    found = [tuple(row) for row in result]
    is_shared = connection.dialect.name != "sqlite" and not is_told
    if is_shared and count is not None and count != len(found):
        # One statement takes consecutive numbers (innodb_autoinc_lock_mode 1).
        its = range(0) if first is None else range(first, first + count)
        found = [row for row in found if row[0] in its]
        if len(found) != count:
            return None
    return [row[1:] for row in found]


def _number(column: Column[Any]) -> ColumnElement[int]:
    # What the database counts by, whatever a type of the program's makes of it.
    return type_coerce(column, Integer())


def made_here(
    connection: Connection,
    table: Table,
    keys: Sequence[Key],
    place: Place | None,
    *,
    is_committed: bool,
) -> dict[Key, bool]:
    """Return which of some rows this transaction wrote (PostgreSQL).

    Args:
        connection: Of the transaction.
        table: Of the rows.
        keys: Their primary keys.
        place: The schema translation in force.
        is_committed: Whether they are committed already (AUTOCOMMIT); then all are
            taken to be its own.

    Returns:
        By key; true where the row is new, false where it was there and is changed.
    """
    key = tuple(table.primary_key)
    statement = select(*key, literal_column("xmax::text")).where(rows.is_one_of(key))
    if not is_committed:
        statement = statement.where(_is_ours())
    found: dict[Key, bool] = {}
    for chunk in rows.chunks(keys):
        result = connection.execute(
            statement, {"keys": chunk}, execution_options=rows.options(place)
        )
        found.update((tuple(row[:-1]), row[-1] == "0") for row in result.fetchall())
    return found


def _is_ours() -> ColumnElement[bool]:
    # A row of another transaction is seen only when that is over.
    return (
        func.txid_status(func.txid_current() - literal_column("age(xmin)"))
        == "in progress"
    )


def _asked_sqlite(
    connection: Connection, column: Column[Any], place: Place | None
) -> int | None:
    highest = connection.scalar(
        select(func.max(_number(column))), execution_options=rows.options(place)
    )
    return highest or 0


def _asked_postgresql(
    connection: Connection, column: Column[Any], place: Place | None
) -> int | None:
    default = column.server_default
    named = _NEXTVAL.fullmatch(str(getattr(default, "arg", "")).strip())
    if isinstance(column.default, DatabaseSequence):
        full: str | None = connection.dialect.identifier_preparer.format_sequence(
            column.default
        )
    elif named is not None:
        full = named["name"].replace("''", "'")
    else:
        quote = connection.dialect.identifier_preparer.quote
        table = column.table
        assert isinstance(table, Table)  # noqa: S101 - a key's table is one
        schema = dict(place or ()).get(table.schema, table.schema)
        name = (
            quote(table.name)
            if schema is None
            else f"{quote(schema)}.{quote(table.name)}"
        )
        full = connection.scalar(
            text("SELECT pg_get_serial_sequence(:table, :column)"),
            {"table": name, "column": column.name},
            execution_options={OURS: True},
        )
    if full is None:
        return None
    last: int | None = connection.scalar(
        text(f"SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {full}"),  # noqa: S608 - PostgreSQL's own, quoted
        execution_options={OURS: True},
    )
    return last


def _asked_mariadb(
    connection: Connection, column: Column[Any], place: Place | None
) -> int | None:
    table = column.table
    assert isinstance(table, Table)  # noqa: S101 - a key's table is one
    schema = dict(place or ()).get(table.schema, table.schema)
    following = connection.scalar(
        text(
            "SELECT auto_increment FROM information_schema.tables WHERE table_name ="
            " :table AND table_schema = coalesce(:schema, database())"
        ),
        {"table": table.name, "schema": schema},
        execution_options={OURS: True},
    )
    return None if following is None else following - 1
