"""SQLite's write lock, taken at the start of a transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Executable


def begin_immediate(connection: Connection, *writing: Executable) -> None:
    """Make an SQLite transaction what BEGIN IMMEDIATE makes it.

    A transaction that reads first and writes later fails at once when another wrote in
    between; one that starts by writing waits its turn.

    Args:
        connection: In a transaction in which nothing was done yet.
        writing: What takes the lock, and changes nothing, where the driver, an event
            of the engine or another user of the driver's connection said BEGIN.
    """
    driver: Any = connection.connection.driver_connection  # sqlite3, or one like it
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    for statement in writing:
        connection.execute(statement)
