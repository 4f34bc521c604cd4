"""Moving rows of the outbox to the journal, or to what was rejected."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from hydro_hooks.tables import outbox

# Written into the statement: each is a number of the database's own, and a driver takes
# longer over fifty parameters than over one text.
SEQS: Final[BindParameter[Any]] = bindparam(
    "seqs", expanding=True, literal_execute=True
)
_DELETE: Final = delete(outbox).where(outbox.c.seq.in_(SEQS))


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
    connection.execute(_DELETE, {"seqs": seqs})


def copy_rows(
    connection: Connection, table: Table, seqs: Sequence[int], values: dict[str, Any]
) -> None:
    """Copy rows of the outbox into `table`, as `move_rows()` does before it deletes."""
    told = {f"the_{name}": value for name, value in values.items()}
    connection.execute(_copy(table, tuple(values)), {"seqs": seqs, **told})


@functools.cache
def _copy(table: Table, added: tuple[str, ...]) -> Insert:
    shared = [column.name for column in table.columns if column.name in outbox.columns]
    source = select(
        *(outbox.columns[name] for name in shared),
        *(bindparam(f"the_{name}", type_=table.columns[name].type) for name in added),
    ).where(outbox.c.seq.in_(SEQS))
    return insert(table).from_select([*shared, *added], source)
