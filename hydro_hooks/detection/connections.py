"""What a connection's database does of its own accord, where the three differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from hydro_hooks.outbox import OURS

MARIADB: Final = frozenset({"mysql", "mariadb"})

_DEADLOCK: Final = 1213
_WAITED_TOO_LONG: Final = 1205


def is_read_committed(connection: Connection) -> bool:
    """Return whether each statement of the connection sees what is committed."""
    level = connection.get_execution_options().get("isolation_level")
    return (level or connection.default_isolation_level) == "READ COMMITTED"


def sees_snapshot(connection: Connection) -> bool:
    """Return whether only locking reads see the present (MariaDB)."""
    return connection.dialect.name in MARIADB and not is_read_committed(connection)


def is_autocommit(connection: Connection) -> bool:
    """Return whether the database commits each statement by itself."""
    level = _level(connection)
    return level == "AUTOCOMMIT" or (level is None and _is_driver_at_it(connection))


def _level(connection: Connection) -> str | None:
    """Return the isolation level that SQLAlchemy was told of; None: of none."""
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        # What create_engine(isolation_level=...) was told; no public word of it.
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return level


def _is_driver_at_it(connection: Connection) -> bool:
    """Return whether the driver itself was told to (connect_args)."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        is_manual = getattr(driver, "isolation_level", "") is None
        return is_manual and not getattr(driver, "in_transaction", True)
    told = getattr(driver, "get_autocommit", None)
    return bool(told()) if told else getattr(driver, "autocommit", None) is True


def has_rolled_back(connection: Connection, error: BaseException | None) -> bool:
    """Return whether the database has rolled back the transaction by itself."""
    if _level(connection) == "AUTOCOMMIT":
        return False  # there is none
    if connection.dialect.name in MARIADB:
        args = () if error is None else error.args
        return bool(args) and args[0] == _DEADLOCK
    if connection.dialect.name == "sqlite":
        driver = connection.connection.dbapi_connection
        return not getattr(driver, "in_transaction", True)
    return False


def has_waited_in_vain(connection: Connection, error: BaseException | None) -> bool:
    """Return whether MariaDB has given up waiting for a lock."""
    args = () if error is None else error.args
    return connection.dialect.name in MARIADB and args[:1] == (_WAITED_TOO_LONG,)


@contextlib.contextmanager
def unharmed(connection: Connection) -> Iterator[None]:
    """Let an error inside leave the transaction as it was; it is raised all the same.

    PostgreSQL would refuse all that follows, but for a savepoint.
    """
    is_needed = connection.dialect.name == "postgresql" and not is_autocommit(
        connection
    )

    def tell(word: str) -> None:
        if is_needed:
            connection.exec_driver_sql(
                f"{word} hydro_hooks", execution_options={OURS: True}
            )

    tell("SAVEPOINT")
    try:
        yield
    except Exception:
        tell("ROLLBACK TO SAVEPOINT")
        raise
    finally:
        tell("RELEASE SAVEPOINT")
