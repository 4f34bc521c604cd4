"""Alembic: operations that make, upgrade and drop our tables, and autogenerate.

In env.py:

    import hydro_hooks.integrations.alembic
    target_metadata = [Base.metadata, hydro_hooks.metadata]

`alembic revision --autogenerate` then writes what is missing, be it the tables or what
a newer hydro_hooks wants of them, in one line:

    op.create_hydro_tables()
    op.upgrade_hydro_tables(2)

Where env.py has called `register()`, what migrations change is recorded, once the
tables are there, and the columns of its fields; until then, and after they are
dropped, a warning says that it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, Final

from alembic import context
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import UpgradeOps
from alembic.util import PriorityDispatchResult
from sqlalchemy import ColumnElement, Connection, MetaData, Table, func, inspect, select

from hydro_hooks import adoption, creation
from hydro_hooks.errors import DatabaseError
from hydro_hooks.registration import record_now
from hydro_hooks.tables import gateway_metadata, meta, metadata, outbox

_KEEP_THEM: Final = (
    "have those that wait delivered (hydro-hooks relay), write the journal out"
    " (hydro-hooks journal export), and write op.drop_hydro_tables(with_events=True)"
)

_OURS: Final = metadata.tables.keys() | gateway_metadata.tables.keys()


@Operations.register_operation("create_hydro_tables")
class CreateHydroTables(MigrateOperation):
    """`op.create_hydro_tables()`: the tables in their latest version.

    What is there already is left as it is.
    """

    @classmethod
    def create_hydro_tables(cls, operations: Operations) -> None:
        """Make the tables."""
        operations.invoke(cls())

    def reverse(self) -> MigrateOperation:
        """Return what undoes it."""
        return DropHydroTables()

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("create_hydro_tables",)


@Operations.register_operation("drop_hydro_tables")
class DropHydroTables(MigrateOperation):
    """`op.drop_hydro_tables()`: they go, unless they hold events.

    Args:
        with_events: Whether the events may go too. The record is meant to be for ever:
            first have it delivered (`hydro-hooks relay`) and written out (`hydro-hooks
            journal export`, which has the delivered ones).

    Raises:
        DatabaseError: They hold events, which may not go, or a script is written
            (`--sql`), which cannot see whether they do.
    """

    def __init__(self, *, with_events: bool = False) -> None:
        self.with_events = with_events

    @classmethod
    def drop_hydro_tables(
        cls, operations: Operations, *, with_events: bool = False
    ) -> None:
        """Drop the tables."""
        operations.invoke(cls(with_events=with_events))

    def reverse(self) -> MigrateOperation:
        """Return what undoes it, but for the events."""
        return CreateHydroTables()


class _Move(MigrateOperation):
    def __init__(self, version: int) -> None:
        if version not in creation.VERSIONS:
            message = (
                f"there is no version {version!r} of hydro_hooks' tables; this one"
                f" knows {', '.join(map(str, creation.VERSIONS))}"
            )
            raise DatabaseError(message)
        self.version = version


@Operations.register_operation("upgrade_hydro_tables")
class UpgradeHydroTables(_Move):
    """`op.upgrade_hydro_tables(version)`: the tables become of that version.

    Where they are of that version or a later one nothing is done.

    Raises:
        DatabaseError: There is no such version, or there are no tables.
    """

    @classmethod
    def upgrade_hydro_tables(cls, operations: Operations, version: int) -> None:
        """Bring the tables to a version."""
        operations.invoke(cls(version))

    def reverse(self) -> MigrateOperation:
        """Return what undoes it."""
        return DowngradeHydroTables(self.version - 1)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("upgrade_hydro_tables", self.version)


@Operations.register_operation("downgrade_hydro_tables")
class DowngradeHydroTables(_Move):
    """`op.downgrade_hydro_tables(version)`: the tables become of that version again.

    Where they are of that version or an earlier one nothing is done.

    Raises:
        DatabaseError: There is no such version, or there are no tables.
    """

    @classmethod
    def downgrade_hydro_tables(cls, operations: Operations, version: int) -> None:
        """Bring the tables back to a version."""
        operations.invoke(cls(version))

    def reverse(self) -> MigrateOperation:
        """Return what undoes it."""
        return UpgradeHydroTables(self.version + 1)


@Operations.implementation_for(CreateHydroTables)
def _create(operations: Operations, _: CreateHydroTables) -> None:
    if not _writes_a_script(operations):
        creation.create_tables(operations.get_bind())
        return
    for table in metadata.sorted_tables:
        operations.impl.create_table(table)
    _write_version(operations, creation.LATEST)


@Operations.implementation_for(DropHydroTables)
def _drop(operations: Operations, operation: DropHydroTables) -> None:
    if _writes_a_script(operations):
        if not operation.with_events:
            message = (
                "a script cannot see whether the tables hold events, which would be"
                f" lost; run the migration on the database itself, or {_KEEP_THEM}"
            )
            raise DatabaseError(message)
        for table in reversed(metadata.sorted_tables):
            operations.impl.drop_table(table)
        return
    connection = operations.get_bind()
    record_now(connection)  # what is pending is of these tables too
    if not operation.with_events:
        _refuse_events(connection)
    metadata.drop_all(connection)


@Operations.implementation_for(UpgradeHydroTables)
def _upgrade(operations: Operations, operation: UpgradeHydroTables) -> None:
    if not _writes_a_script(operations):
        creation.upgrade(_with_tables(operations), operation.version)
        return
    # Tables that a script before it, or this one, has made are of the latest version.
    parts = creation.BROUGHT.get(operation.version, ())
    impl = operations.migration_context.impl
    for part in parts:
        if isinstance(part, Table):
            impl.create_table(part, if_not_exists=True)
        else:
            impl.create_index(part, if_not_exists=True)
    if parts:  # else it is the first one, which has nothing to keep a version in
        _write_version(operations, operation.version)


@Operations.implementation_for(DowngradeHydroTables)
def _downgrade(operations: Operations, operation: DowngradeHydroTables) -> None:
    if not _writes_a_script(operations):
        creation.downgrade(_with_tables(operations), operation.version)
        return
    for part in creation.BROUGHT.get(operation.version + 1, ()):
        if isinstance(part, Table):
            operations.impl.drop_table(part)
        else:
            operations.impl.drop_index(part)


def _writes_a_script(operations: Operations) -> bool:
    """Return whether SQL is written for later, and no database is there."""
    return operations.migration_context.as_sql


def _with_tables(operations: Operations) -> Connection:
    connection = operations.get_bind()
    if creation.stored_version(connection) is None:
        message = "hydro_hooks has no tables here; make them: op.create_hydro_tables()"
        raise DatabaseError(message)
    return connection


def _write_version(operations: Operations, version: int) -> None:
    # As text: a script has no parameters.
    operations.execute(f"DELETE FROM {meta.name} WHERE name = '{creation.VERSION}'")  # noqa: S608 - our own words
    operations.execute(
        f"INSERT INTO {meta.name} (name, value)"  # noqa: S608 - the same
        f" VALUES ('{creation.VERSION}', '{version}')"
    )


def _refuse_events(connection: Connection) -> None:
    held = []
    missing = creation.missing_tables(connection)
    for table in metadata.sorted_tables:
        if table.name not in missing and "payload" in table.c:
            count = connection.scalar(select(func.count()).select_from(table))
            held += [f"{table.name} holds {count:,} event(s)"] if count else []
    if held:
        message = (
            f"{', '.join(held)}, which would be lost; nothing was dropped: first"
            f" {_KEEP_THEM}"
        )
        raise DatabaseError(message)


def compare(found: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """Put one line of ours in the place of what Alembic makes of our tables."""
    upgrade.ops = [
        op for op in upgrade.ops if getattr(op, "table_name", None) not in _OURS
    ]
    wanted = found.metadata or []
    all_wanted = [wanted] if isinstance(wanted, MetaData) else wanted
    if not any(outbox.name in one.tables for one in all_wanted):
        return PriorityDispatchResult.CONTINUE
    assert found.connection is not None  # noqa: S101 - autogenerate looks at a database
    version = creation.stored_version(found.connection)
    if version is None:
        upgrade.ops.append(CreateHydroTables())
    for number in range((version or creation.LATEST) + 1, creation.LATEST + 1):
        upgrade.ops.append(UpgradeHydroTables(number))
    return PriorityDispatchResult.CONTINUE


@renderers.dispatch_for(CreateHydroTables)
def _render_create(context: AutogenContext, _op: CreateHydroTables) -> str:
    return _rendered(context, "create_hydro_tables()")


@renderers.dispatch_for(DropHydroTables)
def _render_drop(context: AutogenContext, _op: DropHydroTables) -> str:
    refuses = "  # refuses while they hold events"
    return _rendered(context, "drop_hydro_tables()") + refuses


@renderers.dispatch_for(UpgradeHydroTables)
def _render_upgrade(context: AutogenContext, op: UpgradeHydroTables) -> str:
    return _rendered(context, f"upgrade_hydro_tables({op.version})")


@renderers.dispatch_for(DowngradeHydroTables)
def _render_downgrade(context: AutogenContext, op: DowngradeHydroTables) -> str:
    return _rendered(context, f"downgrade_hydro_tables({op.version})")


def _rendered(context: AutogenContext, call: str) -> str:
    # The migration has what it needs, whatever becomes of env.py.
    context.imports.add(f"import {__name__}")
    return f"op.{call}"


def _migrates_too_early(
    connection: Connection, columns: Iterable[ColumnElement[Any]]
) -> bool:
    migrated = None
    # Alembic raises NameError outside of env.py, and a bare Exception at its beginning.
    with contextlib.suppress(Exception):
        migrated = context.get_context().connection
    if connection is not migrated:
        return False
    has_tables = inspect(connection).has_table(outbox.name)
    return not has_tables or _lacks(connection, columns)


def _lacks(connection: Connection, columns: Iterable[ColumnElement[Any]]) -> bool:
    """Return whether the database has not all of these columns yet."""
    inspector = inspect(connection)
    known: dict[Any, set[str]] = {}
    for column in columns:
        table: Any = getattr(column, "table", None)
        if not isinstance(table, Table):
            continue  # of a mapped join, whose own tables are asked for beside it
        if table not in known:
            is_there = inspector.has_table(table.name, schema=table.schema)
            its = inspector.get_columns(table.name, table.schema) if is_there else ()
            known[table] = {one["name"].lower() for one in its}
        if column.name.lower() not in known[table]:
            return True
    return False


adoption.excused.append(_migrates_too_early)
