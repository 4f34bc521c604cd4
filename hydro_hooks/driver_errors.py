"""What the error of a driver means, whichever driver it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from sqlalchemy.exc import DBAPIError

_IN_FAILED_TRANSACTION: Final = "25P02"
_CONFLICTS: Final = frozenset({"40001", "40P01", "1213", "1205", "1020"})
"""Serialization failures, deadlocks, lock time-outs: SQLSTATE or MariaDB's number."""

_NO_SUCH_TABLE: Final = ("42P01", "1146", "no such table")


def words_of(error: DBAPIError) -> str:
    """Return what the database says, but for the row at fault.

    PostgreSQL tells of that from the second line on.
    """
    return str(error.orig).partition("\n")[0]


def is_given_up(error: Exception) -> bool:
    """Return whether PostgreSQL has given the transaction up: COMMIT does nothing."""
    return _IN_FAILED_TRANSACTION in _codes(error)


def is_conflict(error: DBAPIError) -> bool:
    """Return whether the transaction lost against another one."""
    return not _CONFLICTS.isdisjoint(_codes(error)) or _is_busy(error)


def misses_table(error: Exception, names: Iterable[str]) -> bool:
    """Return whether there is no table of one of these names."""
    if not isinstance(error, DBAPIError):
        return False
    words, codes = words_of(error), _codes(error)
    return any(name in words for name in names) and any(
        sign in codes or sign in words for sign in _NO_SUCH_TABLE
    )


def _is_busy(error: DBAPIError) -> bool:
    return isinstance(error.orig, sqlite3.OperationalError) and "locked" in str(
        error.orig
    )


def _codes(error: Exception) -> set[str]:
    """Return the driver's codes of an error: an SQLSTATE, or MariaDB's number."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    given = [getattr(orig, "sqlstate", None), getattr(orig, "pgcode", None)]
    given.extend(orig.args[:1] if orig is not None else ())
    return {str(code) for code in given if code is not None}
