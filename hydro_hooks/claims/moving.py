"""Moving rows of the outbox to the journal, or to what was rejected."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    String,
    Table,
    TextClause,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from hydro_hooks.claims.transactions import clock
from hydro_hooks.tables import journal, outbox, rejected

# One text: a driver takes longer over fifty parameters, or a list of them.
_ARRAY: Final = cast(bindparam("seqs", type_=String), ARRAY(BigInteger))

# Written into the statement: each is a number of the database's own.
_LIST: Final[BindParameter[Any]] = bindparam(
    "seqs", type_=BigInteger, expanding=True, literal_execute=True
)

_MOVED_AT: Final = {journal: "settled_at", rejected: "rejected_at"}


def is_among_seqs(dialect: str, table: Table = outbox) -> ColumnElement[bool]:
    """Return whether a row is among the `seqs` that are given.

    Args:
        dialect: Its name. PostgreSQL takes them as one parameter, so that the statement
            is the same each time, and has been planned.
        table: Of the row.
    """
    if dialect == "postgresql":
        return table.c.seq == any_(_ARRAY)
    return table.c.seq.in_(_LIST)


def is_not_among_seqs(dialect: str) -> ColumnElement[bool]:
    """Return whether a row, which is read for another reason, is none of the `seqs`.

    PostgreSQL makes an array anew for each row that it compares, a hash table once.
    """
    if dialect == "postgresql":
        return outbox.c.seq.not_in(select(func.unnest(_ARRAY)))
    return outbox.c.seq.not_in(_LIST)


def as_given(dialect: str, seqs: Sequence[int]) -> Any:
    """Return the parameter `seqs` of a statement with `is_among_seqs()`."""
    if dialect == "postgresql":
        return f"{{{','.join(map(str, seqs))}}}"
    return list(seqs)


def move_rows(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Move rows of the outbox into `table`, inside the database.

    Args:
        connection: In a `transaction()`.
        table: `hydro_journal`, or `hydro_rejected`.
        seqs: Which rows, at least one.
        values: What else is to be known of them, by column; not when they were moved,
            which the database knows.
    """
    copy_rows(connection, table, seqs, values)
    delete_rows(connection, outbox, seqs)


def copy_rows(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Copy rows of the outbox into `table`, as `move_rows()` does before it deletes."""
    dialect = connection.dialect.name
    told = {f"the_{name}": value for name, value in values.items()}
    statement = insert_rows(dialect, table, tuple(values))
    connection.execute(statement, {"seqs": as_given(dialect, seqs), **told})


def delete_rows(connection: Connection, table: Table, seqs: Sequence[int]) -> None:
    """Delete the rows of a table with these numbers, and wait for no others."""
    dialect = connection.dialect.name
    if dialect in ("mariadb", "mysql"):
        connection.execute(_delete_by_key(table), {"seqs": json.dumps(list(seqs))})
    else:
        is_meant = is_among_seqs(dialect, table)
        given = {"seqs": as_given(dialect, seqs)}
        connection.execute(delete(table).where(is_meant), given)


@functools.cache
def _delete_by_key(table: Table) -> TextClause:
    """Return MariaDB's DELETE that looks up one key after the other.

    For a list of keys it may read a small table whole, and so wait for each
    transaction of the app that has an event in it.
    """
    name = table.name
    return text(
        f"DELETE {name} FROM"
        " JSON_TABLE(:seqs, '$[*]' COLUMNS (seq BIGINT PATH '$')) AS meant"
        f" STRAIGHT_JOIN {name} FORCE INDEX (PRIMARY) ON {name}.seq = meant.seq"
    )


@functools.cache
def insert_rows(
    dialect: str, table: Table, added: tuple[str, ...], rows: FromClause = outbox
) -> Insert:
    """Return what inserts rows of the outbox into `table`.

    Args:
        dialect: Its name.
        table: `hydro_journal`, or `hydro_rejected`.
        added: Columns that get the parameters `the_COLUMN`.
        rows: Where to read them; of the outbox only those with `seqs`.
    """
    shared = [column.name for column in table.columns if column.name in outbox.columns]
    source = select(
        *(rows.c[name] for name in shared),
        *(bindparam(f"the_{name}", type_=table.c[name].type) for name in added),
        select(clock(dialect)).scalar_subquery(),  # once for all rows
    )
    if rows is outbox:
        source = source.where(is_among_seqs(dialect))
    return insert(table).from_select([*shared, *added, _MOVED_AT[table]], source)
