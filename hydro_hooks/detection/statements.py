"""What goes past the unit of work: bulk and Core statements, SQL text, savepoints.

Every statement passes here; one that touches nothing that matters costs a look-up. The
text of a savepoint statement has the name that SQLAlchemy's own event lacks, and covers
savepoints written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select, TextClause
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import Compiled, ExecuteStyle

from hydro_hooks.adoption import is_before_tables
from hydro_hooks.detection import raw_sql, rows, sql_text, stamps, stored_keys
from hydro_hooks.detection.compiled_parts import inner, parts_of
from hydro_hooks.detection.connections import MARIADB, has_rolled_back
from hydro_hooks.detection.execution import (
    Execution,
    Problem,
    execution_in,
    keep,
)
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.following_change import FollowingChange
from hydro_hooks.detection.following_insert import FollowingInsert
from hydro_hooks.detection.links import Links
from hydro_hooks.detection.parts import Kind, Part
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.rows import Lock
from hydro_hooks.detection.stamps import Stamps
from hydro_hooks.detection.text_parts import named_in, text_parts
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.detection.unit_of_work import UnitOfWork
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place, Stamp, Subject

_SILENT: Final = "skip_user_error_events"
"""SQLAlchemy's option for the errors that its reflection of MariaDB expects. It leaves
it on the program's connection, and nothing would be told of failures any more."""

_NOT_KNOWN: Final[tuple[Part, ...]] = (None,)  # type: ignore[assignment]


class Statements:
    """The statements of all connections.

    Args:
        reach: Which tables matter.
        logs: The steps of each transaction.
        unit_of_work: Whose statements these may be.
        made: Who made which change of a session.
        links: Who linked objects by rows of a tracked table.
        conclude: Writes what a connection's transaction did so far.
    """

    def __init__(
        self,
        reach: Reach,
        logs: TransactionLogs,
        unit_of_work: UnitOfWork,
        made: Stamps,
        links: Links,
        conclude: Callable[[Connection], None],
    ) -> None:
        self._reach = reach
        self._logs = logs
        self._unit_of_work = unit_of_work
        self._stamps = made
        self._links = links
        self._conclude = conclude
        self._known: WeakKeyDictionary[Compiled, tuple[Part, ...] | None] = (
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
        is_silent = connection.get_execution_options().get(_SILENT)
        if is_silent and not statement.startswith(("SHOW ", "DESCRIBE ")):
            connection.execution_options(**{_SILENT: False})
        if OURS in context.execution_options:
            return
        compiled = context.compiled
        is_dml = context.isinsert or context.isupdate or context.isdelete
        if is_dml or getattr(compiled, "ctes", None):
            parts = self._parts(compiled, statement)
        elif compiled is None or _is_text(compiled):
            parts = None
        else:
            if context.isddl and connection.dialect.name in MARIADB:
                self._conclude(connection)
            return
        if parts is None:
            # A batch of an INSERT of many has them all in one list of VALUES.
            is_batch = context.execute_style is ExecuteStyle.INSERTMANYVALUES
            sets = parameters if executemany and not is_batch else [parameters]
            self._before_text(connection, statement, sets, context)
        elif parts and execution_in(context) is None:
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
        execution = execution_in(context)
        if execution is not None:
            execution.count(cursor.rowcount)
            if not context.isinsert:
                self._end(connection, context, execution, None)
            return
        compiled = context.compiled
        if compiled is not None and type(compiled.statement) is Select:
            return
        text = sql_text.classified(statement)
        if text is not None and text.savepoint is not None:
            log = self._logs.find(connection)
            if log is not None:
                sql_text.follow(log, text.savepoint)

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
        context = getattr(result, "context", None)
        execution = execution_in(context)
        if context is not None and execution is not None:
            self._end(connection, context, execution, result)

    def failed(self, failure: ExceptionContext) -> None:
        """Look at what a failed statement has kept: the program may go on."""
        context, connection = failure.execution_context, failure.connection
        if connection is None or failure.is_disconnect:
            return
        if has_rolled_back(connection, failure.original_exception):
            log = self._logs.find(connection)
            if log is not None:
                log.rollback()
        if context is None:
            return
        if OURS in context.execution_options:
            rows.explain(failure)
            return
        execution = execution_in(context)
        keep(context, None)
        # PostgreSQL keeps nothing.
        if execution is not None and connection.dialect.name != "postgresql":
            execution.failed(connection)
            if execution.log.writes_at_once:
                self._conclude(connection)

    # ------------------------------------------------------------------------------

    def _parts(self, compiled: Any, statement: str) -> tuple[Part, ...] | None:
        parts = self._known.get(compiled, _NOT_KNOWN)
        if parts is _NOT_KNOWN:
            if self._reach.renew():
                self._known.clear()
            parts = self._known[compiled] = parts_of(compiled, statement, self._reach)
        return parts

    def _before_parts(
        self, connection: Connection, parts: tuple[Part, ...], context: Any
    ) -> None:
        if is_before_tables(connection, self._reach.asked(one.table for one in parts)):
            return
        log = self._logs.of(connection)
        is_flushed = _is_flushed(context)
        is_flush = bool(log.in_flight) and is_flushed
        if is_flush:
            if log.fresh:
                for part in parts:
                    self._unit_of_work.before_statement(connection, log, part.table)
            parts = tuple([part for part in parts if _is_followed_in_flush(part, log)])
            if not parts:
                return
        place = _place(context)
        followed: list[Following] = []
        problems: list[Problem] = []
        for part in parts:
            if part.problem is None:
                sets = context.compiled_parameters
                followed.append(
                    self._follow(connection, log, part, place, sets, is_flush=is_flush)
                )
            else:
                problems.append(([part.table], part.problem))
        execution = Execution(log, self._reach, followed, problems)
        parents = self._stamps.removed_from if is_flushed else None
        execution.begin(connection, parents)
        keep(context, execution)

    def _follow(
        self,
        connection: Connection,
        log: TransactionLog,
        part: Part,
        place: Place | None,
        parameters: Sequence[Any],
        *,
        is_flush: bool = False,
    ) -> Following:
        known: dict[str, Any] = {
            "part": part,
            "reach": self._reach,
            "log": log,
            "place": place,
            "parameters": parameters,
            "stamp": stamps.now(),
            "is_flush": is_flush,
            "stamps": self._stamps_of_links(connection, part, place),
        }
        if part.inserting is not None:
            return FollowingInsert(row=part.inserting, **known)
        assert part.matching is not None  # noqa: S101 - it has no problem
        return FollowingChange(matching=part.matching, **known)

    def _stamps_of_links(
        self, connection: Connection, part: Part, place: Place | None
    ) -> dict[Subject, Stamp]:
        """Return who links objects by rows of the table, or takes them apart."""
        links = self._links.of(part.table)
        found: dict[Subject, Stamp] = {}
        for tracked in part.tracked if links else ():
            its = {tracked.key(key): stamp for key, stamp in links.items()}
            stored = stored_keys.as_stored(connection, tracked, its, Lock.NONE, place)
            for key, stamp in its.items():
                subject = Subject(tracked.association, stored.get(key, key), place)
                found[subject] = stamp
        return found

    def _end(
        self,
        connection: Connection,
        context: ExecutionContext,
        execution: Execution,
        result: Any | None,
    ) -> None:
        keep(context, None)
        execution.end(connection, result)
        if execution.commits or execution.log.writes_at_once:
            self._conclude(connection)
            if execution.commits:
                connection.dialect.do_commit(connection.connection)

    # SQL text -----------------------------------------------------------------------

    def _before_text(
        self, connection: Connection, sql: str, sets: Sequence[Any], context: Any
    ) -> None:
        text = sql_text.classified(sql)
        if text is None:
            return
        commits = text.commits_on_mariadb and connection.dialect.name in MARIADB
        if commits or text.commits:
            self._conclude(connection)
        self._reach.renew()
        raw = self._understood(connection, sql, context) if text.writes else None
        named = [] if raw is None else named_in(connection, raw, self._reach)
        asked = self._reach.asked(table for _, table in named)
        if raw is None or not named or is_before_tables(connection, asked):
            return
        log = self._logs.of(connection)
        followed: list[Following] = []
        problems: list[Problem] = []
        if raw.form is None:
            tables = [table for _, table in named]
            problems.append((tables, "its form is not understood"))
        else:
            for part, place in text_parts(connection, sql, raw, named, self._reach):
                followed.append(self._follow(connection, log, part, place, sets))
        if followed or problems:
            execution = Execution(
                log, self._reach, followed, problems, commits=commits, is_text=True
            )
            self._begin_text(connection, execution, context)

    def _understood(
        self, connection: Connection, sql: str, context: Any
    ) -> raw_sql.Raw | None:
        if not self._reach.is_in(sql):
            return None
        raw = raw_sql.understood(sql, connection.dialect.name in MARIADB)
        if raw is not None and context.execution_options.get("no_parameters"):
            return replace(raw, has_no_parameters=True)
        return raw

    def _begin_text(
        self, connection: Connection, execution: Execution, context: Any
    ) -> None:
        batch = execution_in(context)  # of an INSERT of many, not the first
        if batch is not None:
            self._end(connection, context, batch, None)
        execution.begin(connection, None)
        keep(context, execution)


def _place(context: Any) -> Place | None:
    """Return the schema translation in force, if there is one."""
    translation = context.execution_options.get("schema_translate_map")
    return tuple(translation.items()) if translation else None


def _is_followed_in_flush(part: Part, log: TransactionLog) -> bool:
    return part.goes_beyond or (log.has_missing and part.kind is Kind.DELETE)


def _is_text(compiled: Any) -> bool:
    statement = compiled.statement
    if type(statement) is Select:  # by far the most
        return False
    return isinstance(inner(statement), TextClause)


def _is_flushed(context: ExecutionContext) -> bool:
    """Return whether a flush itself made the statement, not a hook in it."""
    return "compiled_cache" in context.execution_options
