"""Making our tables, and the version of them that a database has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    func,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable, DropTable

from hydro_hooks.binds import check_bind
from hydro_hooks.errors import DatabaseError
from hydro_hooks.tables import gateway_metadata, meta, metadata, outbox, rejected
from hydro_hooks.write_lock import begin_immediate

VERSIONS: Final = {
    1: "hydro_outbox, hydro_journal, hydro_rejected, hydro_shard",
    2: "hydro_meta, where this version is kept, and indexes on subjects",
}
"""What each version of the tables brought."""

BROUGHT: Final[dict[int, tuple[Table | Index, ...]]] = {
    2: (
        meta,
        *(
            index
            for table in (outbox, rejected)
            for index in table.indexes
            if (index.name or "").endswith("_subject")
        ),
    )
}
"""The same, but for the first version."""

LATEST: Final = max(VERSIONS)

MAKE_TABLES: Final = (
    "make the tables with hydro_hooks.create_tables(engine) or a migration"
)

VERSION: Final = "version"
"""Its name in `hydro_meta`."""


_nothing = Table("hydro_nothing", MetaData(), Column("id", Integer))
_LOCK_NAME: Final = "hydro_hooks.create_tables"
_LOCK_NUMBER: Final = int.from_bytes(b"hydro_h", "big")
_LOCK_SECONDS: Final = 86400
"""MariaDB's own patience with the lock of a table (`lock_wait_timeout`)."""


def create_tables(bind: Engine | Connection) -> None:
    """Create the tables of the app's database where they are missing.

    For where migrations are not in use; `hydro_hooks.integrations.alembic` is for
    where they are. Several processes that start may call it at once, with an engine.

    Args:
        bind: An engine; or a connection, whose transaction is left to the caller, and
            may not see what others make meanwhile (SQLite, AUTOCOMMIT, SERIALIZABLE).

    Raises:
        TypeError: It is neither, or of an asynchronous engine and used outside of
            `run_sync()`.
    """
    check_bind(
        "create_tables()",
        bind,
        Engine,
        Connection,
        in_async="await connection.run_sync(create_tables)",
    )
    if isinstance(bind, Connection):
        with _alone(bind):
            _create(bind)
        return
    with bind.connect() as connection:
        if bind.dialect.name == "postgresql":
            # Whose statements see what another made while this one waited.
            connection.execution_options(isolation_level="READ COMMITTED")
        if bind.dialect.name == "sqlite":
            connection.begin()
            begin_immediate(connection, CreateTable(_nothing), DropTable(_nothing))
        with _alone(connection):
            _create(connection)
            connection.commit()


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    upgrade(connection, LATEST)  # of what was there, which may be but some of it


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Wait for others that make the tables, who would come between look and make."""
    dialect = connection.dialect.name
    if dialect == "postgresql":  # held to the end of the transaction
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))
    if dialect not in ("mariadb", "mysql"):
        yield
        return
    # Each statement that makes something ends the transaction there.
    connection.execute(select(func.get_lock(_LOCK_NAME, _LOCK_SECONDS)))
    try:
        yield
    finally:
        connection.execute(select(func.release_lock(_LOCK_NAME)))


def upgrade(connection: Connection, version: int) -> None:
    """Bring tables that are there to a version, unless they are of a later one."""
    present = stored_version(connection)
    for number in range((present or version) + 1, version + 1):
        for part in BROUGHT[number]:
            part.create(connection, checkfirst=True)
        store_version(connection, number)


def downgrade(connection: Connection, version: int) -> None:
    """Bring tables back to a version, unless they are of an earlier one."""
    for number in range(stored_version(connection) or version, version, -1):
        if number - 1 in BROUGHT:  # else there is nothing to keep it in
            store_version(connection, number - 1)
        for part in BROUGHT[number]:
            part.drop(connection, checkfirst=True)


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


def remedy_for(missing: list[str]) -> str:
    """Return what to do about missing tables, as the end of a sentence."""
    if outbox.name in missing or meta.name not in missing:
        return "make them with hydro_hooks.create_tables(engine) or a migration"
    return (
        "the tables are those of an older hydro_hooks: call create_tables(engine), or"
        f" write op.upgrade_hydro_tables({LATEST}) in a migration"
    )


def missing_columns(bind: Engine | Connection) -> list[str]:
    """Return what the tables lack that are there, such as `it has no column x`."""
    there = inspect(bind)
    names = set(there.get_table_names())
    lines = []
    for name, table in metadata.tables.items():
        if name not in names:
            continue
        columns = {column["name"] for column in there.get_columns(name)}
        missing = [
            column.name for column in table.columns if column.name not in columns
        ]
        if missing:
            lines.append(f"{name} has no column {', '.join(missing)}")
    return lines


def check_tables(bind: Engine | Connection) -> None:
    """Raise `DatabaseError` unless a database has our tables, with all columns."""
    missing = missing_tables(bind)
    place = f"the database at {bind.engine.url!r}"
    if missing:
        message = f"{place} has no {', '.join(missing)}; {remedy_for(missing)}"
        raise DatabaseError(message)
    lacking = missing_columns(bind)
    if lacking:
        message = (
            f"{place} has other tables than this hydro_hooks: {'; '.join(lacking)}; add"
            " what is missing by a migration"
        )
        raise DatabaseError(message)


@contextlib.contextmanager
def naming_missing_tables(bind: Engine | Connection) -> Iterator[None]:
    """Name the tables that are missing where the block fails for want of them.

    Raises:
        DatabaseError: There are such tables.
    """
    try:
        yield
    except DBAPIError as error:
        # By another connection: on PostgreSQL a failure ends the transaction.
        try:
            check_tables(bind.engine)
        except DatabaseError as missing:
            raise missing from error
        raise


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


def lock(connection: Connection) -> None:
    """Wait until no other transaction holds `hydro_meta`, and hold it to the end."""
    connection.execute(
        select(meta.c.value).where(meta.c.name == VERSION).with_for_update()
    )


def store(connection: Connection, name: str, value: str) -> None:
    """Set an entry of `hydro_meta`."""
    connection.execute(meta.delete().where(meta.c.name == name))
    connection.execute(meta.insert().values(name=name, value=value))
