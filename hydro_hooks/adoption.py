"""Databases that are not as we need them for a good reason: nothing is recorded there.

An old migration that runs on a new database changes rows long before the one that makes
our tables, or a column of a field; it has to go on as it did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import ColumnElement, Connection

logger = logging.getLogger("hydro_hooks")

excused: Final[list[Callable[[Connection, Iterable[ColumnElement[Any]]], bool]]] = []
"""Asked at a change of tracked rows, with the columns that are to be read: is it made
where our tables, or one of these, cannot be yet?"""

_warned: Final = WeakSet[Connection]()


def is_before_tables(
    connection: Connection, columns: Iterable[ColumnElement[Any]] = ()
) -> bool:
    """Return whether nothing is to be recorded on a connection, and warn of it once.

    Args:
        connection: Where rows change.
        columns: That would be read of them.
    """
    if not excused or not any(ask(connection, columns) for ask in excused):
        return False
    if connection not in _warned:
        _warned.add(connection)
        logger.warning(
            "What a migration changes while hydro_hooks has no tables, or a column of a"
            " tracked model is missing, is not recorded: op.create_hydro_tables() or"
            " another migration has not run, or is undone. Once all is there,"
            " hydro-hooks reconcile --record records what is in the tracked tables"
        )
    return True
