"""Moving rows of the outbox to the journal, or to what was rejected."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Table,
    any_,
    bindparam,
    delete,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from hydro_hooks.tables import outbox

_ARRAY: Final[BindParameter[Any]] = bindparam("seqs", type_=ARRAY(BigInteger))

# Written into the statement: each is a number of the database's own, and a driver takes
# longer over fifty parameters than over one text.
_LIST: Final[BindParameter[Any]] = bindparam(
    "seqs", expanding=True, literal_execute=True
)


def is_among_seqs(dialect: str) -> ColumnElement[bool]:
    """Return whether a row of the outbox is among the `seqs` that are given.

    Args:
        dialect: Its name. PostgreSQL takes them as one parameter, so that the statement
            is the same each time, and has been planned.
    """
    if dialect == "postgresql":
        return outbox.c.seq == any_(_ARRAY)
    return outbox.c.seq.in_(_LIST)


def move_rows(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Move rows of the outbox into `table`, inside the database.

    Args:
        connection: In a `transaction()`.
        table: With the columns of the outbox, less some, and those of `values`.
        seqs: Which rows, at least one.
        values: What else is to be known of them, by column.
    """
    copy_rows(connection, table, seqs, values)
    connection.execute(_delete(connection.dialect.name), {"seqs": list(seqs)})


def copy_rows(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Copy rows of the outbox into `table`, as `move_rows()` does before it deletes."""
    told = {f"the_{name}": value for name, value in values.items()}
    statement = _copy(connection.dialect.name, table, tuple(values))
    connection.execute(statement, {"seqs": list(seqs), **told})


@functools.cache
def _delete(dialect: str) -> Delete:
    return delete(outbox).where(is_among_seqs(dialect))


@functools.cache
def _copy(dialect: str, table: Table, added: tuple[str, ...]) -> Insert:
    shared = [column.name for column in table.columns if column.name in outbox.columns]
    source = select(
        *(outbox.columns[name] for name in shared),
        *(bindparam(f"the_{name}", type_=table.columns[name].type) for name in added),
    ).where(is_among_seqs(dialect))
    return insert(table).from_select([*shared, *added], source)
