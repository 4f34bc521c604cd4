"""The app's database: does it answer, has it our tables, may we write, what time is it.

Each look raises what SQLAlchemy says where the database does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    delete,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, DBAPIError

from hydro_hooks import claims, creation, tables
from hydro_hooks.binds import shown
from hydro_hooks.claims.moving import copy_rows
from hydro_hooks.claims.transactions import clock
from hydro_hooks.diagnosis.findings import Finding, failed, passed
from hydro_hooks.diagnosis.sample import sample_event
from hydro_hooks.errors import DatabaseError
from hydro_hooks.event import Event
from hydro_hooks.outbox import PAYLOAD_SCHEMA, record

MAX_SKEW: Final = timedelta(seconds=5)
"""How far the clocks may be apart."""

MAX_WAIT_SECONDS: Final = 3
"""The longest wait for a lock."""

LOCK_REMEDY: Final = "end the transaction of another process that holds it"

NO_SHARD: Final = -1
"""A number that no shard has."""

_NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_MIGRATION: Final = "a migration with op.create_hydro_tables()"


def has_known_kind(url: URL) -> None:
    """Raise `ConfigurationError` unless the relay knows this kind of database."""
    clock(url.get_dialect().name)


def never_wait_long(engine: Engine) -> None:
    """Have its connections give up where another holds a table for long.

    SQLite does by itself, by the `timeout` of its URL.
    """
    if engine.dialect.name == "sqlite":
        return
    statement = (
        f"SET SESSION lock_wait_timeout = {MAX_WAIT_SECONDS},"
        f" innodb_lock_wait_timeout = {MAX_WAIT_SECONDS}"
    )
    if engine.dialect.name == "postgresql":
        statement = f"SET lock_timeout = '{MAX_WAIT_SECONDS}s'"

    def prepare(dbapi_connection: Any, _record: object) -> None:
        # Any: a connection of whichever driver.
        cursor = dbapi_connection.cursor()
        cursor.execute(statement)
        cursor.close()
        dbapi_connection.commit()  # else the first rollback takes it back

    event.listen(engine, "connect", prepare)


def examine_server(engine: Engine) -> Finding:
    """Say which server answers."""
    with engine.connect() as connection:
        dialect = connection.dialect
        is_mariadb = getattr(dialect, "is_mariadb", False)
    name = _NAMES.get(dialect.name, "MariaDB" if is_mariadb else "MySQL")
    version = ".".join(str(part) for part in dialect.server_version_info or ())
    return passed(f"{name} {version} answers at {_place(engine.url)}")


def _place(url: URL) -> str:
    name = url.database or ""
    if name.startswith("file:"):  # the command line opens SQLite's files that way
        url = url.set(database=unquote(urlsplit(name).path))
    return shown(url)


def examine_tables(engine: Engine) -> Finding:
    """Say which tables or columns are missing, and which migration would bring them."""
    missing = creation.missing_tables(engine)
    with engine.connect() as connection:
        version = creation.stored_version(connection)
    faults = [_unknown(version)] if version and version > creation.LATEST else []
    if version is None:
        faults.append(
            f"{_missing(missing)}: give the app's database, and make them by"
            f" create_tables(engine) or {_MIGRATION}"
        )
    elif version < creation.LATEST:
        faults.append(_outdated(version))
    elif missing:
        faults.append(
            f"{_missing(missing)}, though hydro_meta says that version {version} is"
            " there: make what was dropped by create_tables(engine)"
        )
    lacking = creation.missing_columns(engine)
    if lacking:
        faults.append(f"{'; '.join(lacking)}: add what is missing by a migration")
    unsafe = _without_transactions(engine)
    if unsafe:
        faults.append(
            f"{', '.join(unsafe)} cannot roll back: ALTER TABLE ... ENGINE = InnoDB"
        )
    if faults:
        return failed("; ".join(faults))
    count = len(tables.metadata.tables)
    return passed(f"all {count} are there, with all their columns (version {version})")


def _missing(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} missing"


def _outdated(version: int) -> str:
    latest = creation.LATEST
    steps = "; ".join(
        f"version {number} brings {what}"
        for number, what in creation.VERSIONS.items()
        if number > version
    )
    return (
        f"the tables are of version {version}, and this hydro_hooks wants {latest}:"
        f" {steps}. A migration with op.upgrade_hydro_tables({latest}) is missing"
        " (alembic revision --autogenerate writes it); without Alembic, call"
        " create_tables(engine)"
    )


def _unknown(version: int) -> str:
    return (
        f"the tables are of version {version}, and this hydro_hooks knows"
        f" {creation.LATEST} at most: install a newer hydro_hooks here"
    )


def _without_transactions(engine: Engine) -> list[str]:
    """Return our tables whose storage engine knows no transactions."""
    if engine.dialect.name not in {"mysql", "mariadb"}:
        return []
    statement = text(
        "SELECT t.table_name FROM information_schema.tables t"
        " JOIN information_schema.engines e ON e.engine = t.engine"
        " WHERE t.table_schema = DATABASE() AND e.transactions <> 'YES'"
    )
    with engine.connect() as connection:
        found = set(connection.scalars(statement))
    return [name for name in tables.metadata.tables if name in found]


def examine_writing(engine: Engine) -> Finding:
    """Say whether all may be done that recording and delivering do, then undo it.

    An event is written, moved and deleted in one transaction, which is rolled back;
    what stays is a number of `hydro_outbox` that no event will have. The tables are to
    be there, and to know transactions.

    Raises:
        DatabaseError: Something of it is refused.
    """
    step = ""
    try:
        with claims.transaction(engine) as connection:
            for begun in _steps(connection, sample_event()):
                step = begun
            connection.rollback()
    except DBAPIError as error:
        words = str(error.orig).partition("\n")[0]
        remedy = _remedy(engine.dialect.name, words)
        if isinstance(error, DataError):
            remedy = (
                "a column of the table is smaller than it has to be: compare it with"
                f" what create_tables(engine) or {_MIGRATION} makes"
            )
        message = f"{step} is refused ({words}): {remedy}"
        raise DatabaseError(message) from error
    return passed("an event was written, moved and deleted, and all of it rolled back")


def _steps(connection: Connection, event: Event) -> Iterator[str]:
    """Do what recording and delivering do; say of each step first what it is."""
    yield "INSERT into hydro_outbox"
    record(connection, [event])
    outbox = tables.outbox
    is_mine = outbox.c.id == event.id
    seqs = connection.scalars(select(outbox.c.seq).where(is_mine)).all()
    shared = {"schema": PAYLOAD_SCHEMA, "attempts": 1}
    yield "INSERT into hydro_journal"
    copy_rows(connection, tables.journal, seqs, shared)
    yield "INSERT into hydro_rejected"
    copy_rows(connection, tables.rejected, seqs, {**shared, "error": "none"})
    yield "DELETE from hydro_outbox"
    connection.execute(delete(outbox).where(is_mine))
    shard = tables.shard
    nowhere = shard.c.shard == NO_SHARD
    yield "INSERT into hydro_shard"
    connection.execute(insert(shard).values(shard=NO_SHARD))
    yield "SELECT ... FOR UPDATE SKIP LOCKED from hydro_shard"
    connection.execute(
        select(shard.c.shard).where(nowhere).with_for_update(skip_locked=True)
    )
    yield "UPDATE of hydro_shard"
    connection.execute(update(shard).where(nowhere).values(attempts=1))


def _remedy(dialect: str, words: str) -> str:
    if "lock" in words.lower():
        return LOCK_REMEDY
    if dialect == "sqlite":
        return "make the file and its folder writable for this user"
    if "read-only" in words:
        return "give the URL of the server that is written to, or let this one be"
    return (
        "GRANT this user SELECT, INSERT, UPDATE and DELETE on the hydro_ tables (on"
        " PostgreSQL also USAGE on their sequences)"
    )


def examine_clock(engine: Engine) -> Finding:
    """Say how far the app's clock, which is this machine's, is from the database's."""
    statement = select(clock(engine.dialect.name))
    with engine.connect() as connection:
        connection.execute(statement)  # what is made once takes its time now
        before = datetime.now(UTC)
        theirs = connection.execute(statement).scalar_one()
        after = datetime.now(UTC)
    return compare_clocks(before, theirs, after)


def compare_clocks(before: datetime, theirs: datetime, after: datetime) -> Finding:
    """Return what a look at the database's clock tells.

    Args:
        before: Our time just before it was asked, UTC.
        theirs: The database's time.
        after: Our time once the answer was there.
    """
    doubt = (after - before) / 2
    ahead = theirs - (before + doubt)
    apart = f"{abs(ahead).total_seconds():.1f} s"
    whose = "leases go by the database's clock, the times of events by the app's"
    if abs(ahead) - doubt <= MAX_SKEW:
        return passed(f"the two clocks are {apart} apart; {whose}")
    where = "ahead of" if ahead > timedelta(0) else "behind"
    return failed(
        f"the database's clock is {apart} {where} the app's, and {whose}: set both"
        " machines by NTP"
    )
