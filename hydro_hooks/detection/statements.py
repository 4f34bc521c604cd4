"""What goes past the unit of work: bulk and Core statements, SQL text, savepoints.

Every statement passes here; one that touches nothing that matters costs a look-up. The
text of a savepoint statement has the name that SQLAlchemy's own event lacks, and covers
savepoints written by hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select, Table, TextClause
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import Compiled

from hydro_hooks.detection import origin, raw_sql, rows, sql_text, stamps
from hydro_hooks.detection.connections import MARIADB, has_rolled_back
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.following_change import FollowingChange
from hydro_hooks.detection.following_insert import FollowingInsert
from hydro_hooks.detection.matching import NotFollowedError
from hydro_hooks.detection.parts import Kind, Part, inner, parts_of
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.rows import Key
from hydro_hooks.detection.sql_text import SqlText
from hydro_hooks.detection.stamps import Stamps
from hydro_hooks.detection.text_parts import named_in, text_parts
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.detection.unit_of_work import UnitOfWork
from hydro_hooks.models import TrackedModel
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place, Stamp

logger = logging.getLogger("hydro_hooks")


Problems: TypeAlias = list[tuple[Sequence[Table], str]]
"""Tables that a statement changes unfollowed, and why; said when it has succeeded."""


class _Running:
    """One execution that is followed."""

    def __init__(
        self,
        log: TransactionLog,
        followed: list[Following],
        problems: Problems,
        *,
        commits: bool,
    ) -> None:
        self.log = log
        self.followed = followed
        self.problems = problems  # of tables that are not followed
        self.rowcount = -1
        self.commits = commits  # MariaDB does, before a TRUNCATE and after it

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
            text = sql_text.classified(statement)
            if text is not None and OURS not in context.execution_options:
                sets = parameters if executemany else [parameters]
                self._before_text(connection, statement, text, sets, context)
            return
        elif getattr(compiled, "ctes", None):
            parts = self._parts(compiled, statement)
        else:
            if context.isddl and connection.dialect.name in MARIADB:
                self._conclude(connection)
            return
        if not parts or OURS in context.execution_options or _running_in(context):
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
        running = _running_in(context)
        if running is not None:
            running.count(cursor.rowcount)
            if not context.isinsert:
                self._end(connection, context, running, None)
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
        running = _running_in(context)
        if context is not None and running is not None:
            self._end(connection, context, running, result)

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
        running = _running_in(context)
        _set_running(context, None)
        # PostgreSQL keeps nothing.
        if running is not None and connection.dialect.name != "postgresql":
            self._look_again(connection, running)

    def _look_again(self, connection: Connection, running: _Running) -> None:
        try:
            for one in running.followed:
                one.failed(connection)
        except Exception:  # the program's own error is on its way
            logger.exception("What a failed statement has kept could not be read")
        if running.log.writes_at_once:
            self._conclude(connection)

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
        if is_flush:
            if log.fresh:
                for part in parts:
                    self._unit_of_work.before_statement(connection, log, part.table)
            parts = tuple([part for part in parts if part.goes_beyond])
            if not parts:
                return
        place = _place(context)
        followed = []
        problems: Problems = []
        for part in parts:
            if part.problem is None:
                sets = context.compiled_parameters
                followed.append(self._follow(log, part, place, sets, is_flush=is_flush))
            else:
                problems.append(([part.table], part.problem))
        self._begin(connection, log, followed, problems, context, is_flushed=is_flushed)

    def _follow(
        self,
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
        }
        if part.inserting is not None:
            return FollowingInsert(row=part.inserting, **known)
        assert part.matching is not None  # noqa: S101 - it has no problem
        return FollowingChange(matching=part.matching, **known)

    def _begin(
        self,
        connection: Connection,
        log: TransactionLog,
        followed: list[Following],
        problems: Problems,
        context: Any,
        *,
        is_flushed: bool,
        commits: bool = False,
    ) -> None:
        if followed and not log.is_writing:
            log.is_writing = True
            if connection.dialect.name == "sqlite":
                first = followed[0]
                rows.take_write_lock(connection, first.part.table, first.place)
        begun = []
        for one in followed:
            parents: Mapping[Key, Stamp] = {}
            if is_flushed and one.part.kind is Kind.DELETE:
                parents = self._stamps.removed_from(one.part.table)
            try:
                one.begin(connection, parents)
                begun.append(one)
            except NotFollowedError as error:
                problems.append(([one.part.table], str(error)))
        if begun or problems:
            _set_running(context, _Running(log, begun, problems, commits=commits))

    def _end(
        self,
        connection: Connection,
        context: ExecutionContext,
        running: _Running,
        result: Any | None,
    ) -> None:
        _set_running(context, None)
        for one in running.followed:
            one.end(connection, running.rowcount, result)
        for tables, problem in running.problems:
            self._warn(running.log, tables, problem)
        if running.commits or running.log.writes_at_once:
            self._conclude(connection)
            if running.commits:
                connection.dialect.do_commit(connection.connection)

    # SQL text -----------------------------------------------------------------------

    def _before_text(
        self,
        connection: Connection,
        sql: str,
        text: SqlText,
        sets: Sequence[Any],
        context: Any,
    ) -> None:
        commits = text.commits_on_mariadb and connection.dialect.name in MARIADB
        if commits or text.commits:
            self._conclude(connection)
        self._reach.renew()
        raw = None
        if text.writes and self._reach.is_in(sql):
            raw = raw_sql.understood(sql)
        if raw is None:
            return
        named = named_in(connection, raw, self._reach)
        if not named:
            return
        log = self._logs.of(connection)
        followed: list[Following] = []
        problems: Problems = []
        if raw.form is None:
            tables = [table for _, table in named]
            problems.append((tables, "its form is not understood"))
        else:
            for part, place in text_parts(connection, sql, raw, named, self._reach):
                followed.append(self._follow(log, part, place, sets))
        self._begin(
            connection,
            log,
            followed,
            problems,
            context,
            is_flushed=False,
            commits=commits,
        )

    def _warn(self, log: TransactionLog, tables: Sequence[Table], problem: str) -> None:
        """Say loudly that a statement is not followed."""
        reached: list[TrackedModel] = []
        for table in tables:
            reached += self._reach.tracked.get(table, ())
            reached += self._reach.readers.get(table, ())
            for edge in self._reach.on_delete.get(table, ()):
                reached += self._reach.tracked.get(edge.child, ())
        log.doubted.update(tracked.association for tracked in reached)
        names = ", ".join(dict.fromkeys(one.model.__name__ for one in reached))
        logger.warning(
            "A statement on %s may change rows of %s that are not recorded, at %s: %s",
            ", ".join(dict.fromkeys(table.name for table in tables)),
            names or "tracked models",
            origin.here() or "an unknown place",
            problem,
        )


def _running_in(context: Any) -> _Running | None:
    """Return what is followed of an execution: kept on it, it goes with it."""
    running: _Running | None = getattr(context, "hydro_hooks_running", None)
    return running


def _set_running(context: Any, running: _Running | None) -> None:
    context.hydro_hooks_running = running


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
