"""Databases that are without our tables for a good reason: nothing is recorded there.

An old migration that runs on a new database changes rows long before the one that makes
our tables; it has to go on as it did before hydro_hooks was adopted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from sqlalchemy import Connection

logger = logging.getLogger("hydro_hooks")

excused: Final[list[Callable[[Connection], bool]]] = []
"""Asked at a change of tracked rows: is it made where our tables cannot be yet?"""

_warned: Final = WeakSet[Connection]()


def is_before_tables(connection: Connection) -> bool:
    """Return whether nothing is to be recorded on a connection, and warn of it once."""
    if not excused or not any(ask(connection) for ask in excused):
        return False
    if connection not in _warned:
        _warned.add(connection)
        logger.warning(
            "What a migration changes while hydro_hooks has no tables is not recorded:"
            " op.create_hydro_tables() has not run, or op.drop_hydro_tables() has. Once"
            " they are there, hydro-hooks reconcile --record records what is in the"
            " tracked tables"
        )
    return True
