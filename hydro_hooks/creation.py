"""Making our tables, and the version of them that a database has."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, inspect, select

from hydro_hooks.errors import DatabaseError
from hydro_hooks.tables import gateway_metadata, meta, metadata, outbox

VERSIONS: Final = {
    1: "hydro_outbox, hydro_journal, hydro_rejected, hydro_shard",
    2: "hydro_meta, where this version is kept",
}
"""What each version of the tables brought."""

LATEST: Final = max(VERSIONS)

VERSION: Final = "version"
"""Its name in `hydro_meta`."""


def create_tables(bind: Engine | Connection) -> None:
    """Create the tables of the app's database where they are missing.

    For where migrations are not in use; `hydro_hooks.integrations.alembic` is for
    where they are.

    Args:
        bind: An engine, or a connection, whose transaction is left to the caller.
    """
    if isinstance(bind, Engine):
        with bind.begin() as connection:
            create_tables(connection)
        return
    metadata.create_all(bind)
    if (stored_version(bind) or 0) < LATEST:
        store_version(bind, LATEST)


def create_gateway_tables(engine: Engine) -> None:
    """Create the tables of the gateway's database where they are missing.

    Raises:
        DatabaseError: It is the database of an app, which has a journal of its own.
    """
    if inspect(engine).has_table(outbox.name):
        message = (
            f"the database has a table {outbox.name}, so it belongs to an app; give the"
            " gateway a database of its own"
        )
        raise DatabaseError(message)
    gateway_metadata.create_all(engine)


def missing_tables(bind: Engine | Connection) -> list[str]:
    """Return the names of the app's tables that the database does not have."""
    there = set(inspect(bind).get_table_names())
    return [name for name in metadata.tables if name not in there]


def stored_version(connection: Connection) -> int | None:
    """Return which version of the tables a database has; None: it has none of them.

    Raises:
        DatabaseError: What it says of itself is no number.
    """
    there = inspect(connection)
    if not there.has_table(outbox.name):
        return None
    if not there.has_table(meta.name):
        return 1
    found = stored(connection, VERSION)
    if found is not None and not found.isdecimal():
        message = f"{meta.name} says that the tables are of version {found!r}"
        raise DatabaseError(message)
    return int(found or 1)


def store_version(connection: Connection, version: int) -> None:
    """Note which version of the tables a database has."""
    store(connection, VERSION, str(version))


def stored(connection: Connection, name: str) -> str | None:
    """Return an entry of `hydro_meta`, if it is there."""
    return connection.scalar(select(meta.c.value).where(meta.c.name == name))


def store(connection: Connection, name: str, value: str) -> None:
    """Set an entry of `hydro_meta`."""
    connection.execute(meta.delete().where(meta.c.name == name))
    connection.execute(meta.insert().values(name=name, value=value))
