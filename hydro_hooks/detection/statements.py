"""What goes past the unit of work: bulk and Core statements, SQL text, savepoints.

Every statement passes here; one that touches nothing that matters costs a look-up. The
text of a savepoint statement has the name that SQLAlchemy's own event lacks, and covers
savepoints written by hand.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select, Table, TextClause
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import Compiled

from hydro_hooks.detection import origin, raw_sql, rows, stamps
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.following_text import TextMatching, given_by_text
from hydro_hooks.detection.matching import NotFollowedError
from hydro_hooks.detection.parts import (
    Kind,
    Part,
    delete_part,
    inner,
    insert_part,
    parts_of,
    update_part,
)
from hydro_hooks.detection.raw_sql import Form, Raw, Target
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.stamps import Stamps
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.detection.unit_of_work import UnitOfWork
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place

logger = logging.getLogger("hydro_hooks")

_COMMENT: Final = re.compile(r"--[^\n]*(?:\n|\Z)|/\*.*?\*/", re.DOTALL)
_SAVEPOINT: Final = re.compile(
    r"""\s* (?: (?P<set>SAVEPOINT)
             | (?P<release>RELEASE (?:\s+SAVEPOINT)?)
             | (?P<rollback>ROLLBACK (?:\s+(?:WORK|TRANSACTION))?
                 (?P<to>\s+TO (?:\s+SAVEPOINT)?)?) )
        (?: \s+ (?: ["`\[] (?P<quoted>[^"`\]]+) ["`\]] | (?P<name>\w+) ) )?
        \s* ;? \s* \Z""",
    re.IGNORECASE | re.VERBOSE,
)
_COMMITS: Final = re.compile(
    r"\s*(?:COMMIT|END|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)
_COMMITS_IMPLICITLY: Final = re.compile(
    r"""\s*(?: ALTER | CREATE (?!\s+TEMPORARY) | DROP (?!\s+TEMPORARY) | RENAME
             | TRUNCATE | (?:UN)?LOCK\s+TABLES? | BEGIN | START\s+TRANSACTION | GRANT
             | REVOKE | ANALYZE | OPTIMIZE | REPAIR | CHECK\s+TABLE | CACHE | FLUSH
             | INSTALL | UNINSTALL | SET\s+PASSWORD | LOAD\s+INDEX
             | SET\s+(?:@@|SESSION\s+)?autocommit\s*=\s*(?:1|ON|TRUE) )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_MARIADB: Final = frozenset({"mysql", "mariadb"})
_DEADLOCK: Final = 1213


class _Running:
    """One execution that is followed."""

    def __init__(self, log: TransactionLog, followed: list[Following]) -> None:
        self.log = log
        self.followed = followed
        self.rowcount = -1
        self.commits = False

    def count(self, rowcount: int) -> None:
        """Take what the driver says of one batch."""
        if rowcount >= 0:
            self.rowcount = max(self.rowcount, 0) + rowcount


class Statements:
    """The statements of all connections.

    Args:
        reach: Which tables matter.
        logs: The steps of each transaction.
        unit_of_work: Whose statements these may be.
        made: Who made which change of a session.
        conclude: Writes what a connection's transaction did so far.
    """

    def __init__(
        self,
        reach: Reach,
        logs: TransactionLogs,
        unit_of_work: UnitOfWork,
        made: Stamps,
        conclude: Callable[[Connection], None],
    ) -> None:
        self._reach = reach
        self._logs = logs
        self._unit_of_work = unit_of_work
        self._stamps = made
        self._conclude = conclude
        self._known: WeakKeyDictionary[Compiled, tuple[Part, ...]] = WeakKeyDictionary()
        self._running: WeakKeyDictionary[ExecutionContext, _Running] = (
            WeakKeyDictionary()
        )

    def forget(self) -> None:
        """Forget what was decided of statements: the models have changed."""
        self._reach.forget()
        self._known.clear()

    # What SQLAlchemy calls ----------------------------------------------------------

    def before(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
    ) -> None:
        """Read what a statement is about to change.

        Args:
            connection: Where it is about to run.
            statement: The SQL.
            parameters: The driver's.
            context: SQLAlchemy's execution context of it.
            executemany: Whether `parameters` are several sets.
        """
        compiled = context.compiled
        if context.isinsert or context.isupdate or context.isdelete:
            parts = self._parts(compiled, statement)
        elif compiled is None or _is_text(compiled):
            if OURS not in context.execution_options:
                sets = parameters if executemany else [parameters]
                self._before_text(connection, statement, sets, context)
            return
        elif getattr(compiled, "ctes", None):
            parts = self._parts(compiled, statement)
        else:
            if context.isddl and connection.dialect.name in _MARIADB:
                self._conclude(connection)
            return
        if not parts or OURS in context.execution_options or context in self._running:
            return
        self._before_parts(connection, parts, context)

    def after(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        _parameters: object,
        context: Any,
        _executemany: object,
    ) -> None:
        """Take what a statement changed; follow a savepoint.

        Args:
            connection: Where it ran.
            cursor: The driver's.
            statement: The SQL.
            context: SQLAlchemy's execution context of it.
        """
        running = self._running.get(context) if self._running else None
        if running is not None:
            running.count(cursor.rowcount)
            if not context.isinsert:
                self._end(connection, context, None)
            return
        if context.isinsert or context.isupdate or context.isdelete:
            return
        log = self._logs.find(connection)
        if log is None:
            return
        match = _SAVEPOINT.match(_COMMENT.sub(" ", statement))
        if match is not None:
            _follow(log, match)

    def executed(
        self,
        connection: Connection,
        _element: object,
        _multiparams: object,
        _params: object,
        _options: object,
        result: Any,
    ) -> None:
        """Take what an INSERT made: its result tells the keys.

        Args:
            connection: Where it ran.
            result: SQLAlchemy's.
        """
        if self._running:
            context = getattr(result, "context", None)
            if context is not None and context in self._running:
                self._end(connection, context, result)

    def failed(self, failure: ExceptionContext) -> None:
        """Look at what a failed statement has kept: the program may go on."""
        context, connection = failure.execution_context, failure.connection
        if connection is None or failure.is_disconnect:
            return
        if has_rolled_back(connection, failure.original_exception):
            log = self._logs.find(connection)
            if log is not None:
                log.rollback()
        running = None if context is None else self._running.pop(context, None)
        if running is None or connection.dialect.name == "postgresql":
            return  # PostgreSQL keeps nothing
        for one in running.followed:
            try:
                one.failed(connection)
            except Exception:  # the program's own error is on its way
                logger.exception("What a failed statement has kept could not be read")

    # ------------------------------------------------------------------------------

    def _parts(self, compiled: Any, statement: str) -> tuple[Part, ...]:
        parts = self._known.get(compiled)
        if parts is None:
            if self._reach.renew():
                self._known.clear()
            parts = self._known[compiled] = parts_of(compiled, statement, self._reach)
        return parts

    def _before_parts(
        self, connection: Connection, parts: tuple[Part, ...], context: Any
    ) -> None:
        log = self._logs.of(connection)
        is_flushed = _is_flushed(context)
        is_flush = bool(log.in_flight) and is_flushed
        place = _place(context)
        if is_flush and log.fresh:
            for part in parts:
                self._unit_of_work.before_statement(connection, log, part.table)
        followed = []
        stamp = None
        for part in parts:
            if is_flush and not part.goes_beyond:
                continue
            if part.problem is not None:
                self._warn(log, part, part.problem)
                continue
            stamp = stamp or stamps.now()
            followed.append(
                Following(
                    part=part,
                    reach=self._reach,
                    log=log,
                    place=place,
                    parameters=context.compiled_parameters,
                    stamp=stamp,
                    is_flush=is_flush,
                )
            )
        self._begin(connection, log, followed, context, is_flushed=is_flushed)

    def _begin(
        self,
        connection: Connection,
        log: TransactionLog,
        followed: list[Following],
        context: Any,
        *,
        is_flushed: bool,
    ) -> None:
        if not followed:
            return
        if not log.is_writing:
            log.is_writing = True
            if connection.dialect.name == "sqlite":
                rows.take_write_lock(connection, followed[0].part.table)
        begun = []
        for one in followed:
            parents = None
            if is_flushed and one.part.kind is Kind.DELETE:
                parents = self._stamps.removed_from(one.part.table)
            try:
                one.begin(connection, parents)
                begun.append(one)
            except NotFollowedError as error:
                self._warn(log, one.part, str(error))
        self._running[context] = _Running(log, begun)

    def _end(
        self, connection: Connection, context: ExecutionContext, result: Any | None
    ) -> None:
        running = self._running.pop(context)
        for one in running.followed:
            one.end(connection, running.rowcount, result)
        if running.commits or self._logs.writes_at_once(connection):
            self._conclude(connection)
            if running.commits:
                connection.dialect.do_commit(connection.connection)

    # SQL text -----------------------------------------------------------------------

    def _before_text(
        self, connection: Connection, sql: str, sets: Sequence[Any], context: Any
    ) -> None:
        is_mariadb = connection.dialect.name in _MARIADB
        bare = _COMMENT.sub(" ", sql) if "--" in sql or "/*" in sql else sql
        commits = is_mariadb and _COMMITS_IMPLICITLY.match(bare) is not None
        if commits or _COMMITS.match(bare):
            self._conclude(connection)
        raw = raw_sql.understood(sql)
        if raw is None:
            return
        self._reach.renew()
        followed: list[Following] = []
        log = None
        for target, table in self._named(connection, raw):
            log = log or self._logs.of(connection)
            if raw.form is None:
                self._warn(log, _everything(table, self._reach), "its form is unknown")
                break
            part, place = self._part(connection, raw, target, table, sql)
            if part is not None:
                one = Following(
                    part=part,
                    reach=self._reach,
                    log=log,
                    place=place,
                    parameters=sets,
                    stamp=stamps.now(),
                )
                if part.inserting is not None:
                    one.given = given_by_text(table, part.inserting.wanted, raw, sets)
                followed.append(one)
        if log is not None:
            self._begin(connection, log, followed, context, is_flushed=False)
            running = self._running.get(context)
            if running is not None:
                running.commits = commits

    def _named(self, connection: Connection, raw: Raw) -> list[tuple[Target, Table]]:
        """Return the targets that matter, with their tables."""
        named = [
            (target, table)
            for target in raw.targets
            for table in self._reach.named(target.name)
        ]
        if raw.cascades:
            quote = connection.dialect.identifier_preparer.format_table
            for table in self._reach.referring([table for _, table in named]):
                text = quote(table)
                named.append((Target(table.schema, table.name, text, text), table))
        return named

    def _part(
        self,
        connection: Connection,
        raw: Raw,
        target: Target,
        table: Table,
        sql: str,
    ) -> tuple[Part | None, Place | None]:
        """Return what a statement does to one of its targets, and where that is."""
        place: Place | None = None
        schema = target.schema
        default = connection.dialect.default_schema_name
        if schema is not None and schema not in {table.schema, default}:
            place = ((table.schema, schema),)
        if raw.form is Form.INSERT:
            return insert_part(table, sql, self._reach, whole=True), place
        if raw.form is Form.UPDATE:
            part = update_part(
                table, _values_set(table, raw), {}, self._reach, whole=True
            )
        else:
            part = delete_part(table, self._reach, whole=raw.form is Form.DELETE)
            if part is not None and raw.form is Form.TRUNCATE:
                part = replace(part, edges={})
        if part is None:
            return None, place
        matching: Any = TextMatching(table, sql, raw, target)
        return replace(part, matching=matching, constants={}), place

    def _warn(self, log: TransactionLog, part: Part, problem: str) -> None:
        """Say loudly that a statement is not followed."""
        reached = [*part.tracked, *part.readers]
        for edge in part.edges.get(part.table, ()):
            reached.extend(self._reach.tracked.get(edge.child, ()))
        for tracked in reached:
            log.doubted.add(tracked.association)
        names = ", ".join(dict.fromkeys(one.model.__name__ for one in reached))
        logger.warning(
            "A statement on %s may change rows of %s that are not recorded, at %s: %s;"
            " hydro-hooks reconcile finds them",
            part.table.name,
            names or part.table.name,
            origin.here() or "an unknown place",
            problem,
        )


def has_rolled_back(connection: Connection, error: BaseException) -> bool:
    """Return whether the database has rolled back the transaction by itself."""
    if connection.dialect.name in _MARIADB:
        return bool(error.args) and error.args[0] == _DEADLOCK
    if connection.dialect.name == "sqlite":
        driver = connection.connection.dbapi_connection
        return not getattr(driver, "in_transaction", True)
    return False


def _everything(table: Table, reach: Reach) -> Part:
    return Part(
        kind=Kind.DELETE,
        table=table,
        is_whole=False,
        tracked=tuple(reach.tracked.get(table, ())),
        readers=tuple(reach.readers.get(table, ())),
        edges=reach.on_delete,
    )


def _values_set(table: Table, raw: Raw) -> Mapping[Any, Any]:
    if raw.columns is None:
        return dict.fromkeys(table.columns)
    return {one: None for one in table.columns if one.name.lower() in raw.columns}


def _place(context: Any) -> Place | None:
    """Return the schema translation in force, if there is one."""
    translation = context.execution_options.get("schema_translate_map")
    return tuple(translation.items()) if translation else None


def _is_text(compiled: Any) -> bool:
    statement = compiled.statement
    if type(statement) is Select:  # by far the most
        return False
    return isinstance(inner(statement), TextClause)


def _is_flushed(context: ExecutionContext) -> bool:
    """Return whether a flush itself made the statement, not a hook in it."""
    return "compiled_cache" in context.execution_options


def _follow(log: TransactionLog, match: re.Match[str]) -> None:
    name = (match["quoted"] or match["name"] or "").lower()
    if match["set"]:
        log.savepoint(name)
    elif match["release"]:
        log.netting.release(name)
    elif match["to"]:
        log.rollback_to(name)
    else:
        log.rollback()
