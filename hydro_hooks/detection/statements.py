"""What goes past the unit of work: savepoints by name, and statements we cannot follow.

Every statement passes here; one that touches nothing tracked costs a look-up. The text
of a savepoint statement has the name that SQLAlchemy's own event lacks, and covers
savepoints written by hand.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, TextClause, TextualSelect
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.orm import FromStatement

from hydro_hooks.detection import origin
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.detection.unit_of_work import UnitOfWork
from hydro_hooks.models import TrackedModel
from hydro_hooks.outbox import OURS

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
_WRITE: Final = re.compile(
    r"""\s* (?: (?:--[^\n]*\n | /\*.*?\*/) \s* )*
        (?: INSERT | UPDATE | DELETE | REPLACE | MERGE | TRUNCATE | COPY
          | WITH\b .* \b(?: INSERT | UPDATE | DELETE | MERGE )\b )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_UNDECIDED: Final = object()
_SET: Final = re.compile(r"\bSET\b(.*?)(?:\bWHERE\b|\Z)", re.IGNORECASE | re.DOTALL)


class Statements:
    """The statements of all connections.

    Args:
        models: The tracked models, by association; call `forget()` when it changes.
        logs: The steps of each transaction.
        unit_of_work: Whose statements these may be.
    """

    def __init__(
        self,
        models: Mapping[str, TrackedModel],
        logs: TransactionLogs,
        unit_of_work: UnitOfWork,
    ) -> None:
        self._models = models
        self._logs = logs
        self._unit_of_work = unit_of_work
        # Any: a tracked model, or None for what touches nothing tracked.
        self._touched: WeakKeyDictionary[Compiled, Any] = WeakKeyDictionary()

    def forget(self) -> None:
        """Forget what was decided of statements: the models have changed."""
        self._touched.clear()

    def before(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        context: Any,
        _executemany: object,
    ) -> None:
        """Read what a flush's statement will change; warn of what is not followed.

        Args:
            connection: Where it is about to run.
            statement: The SQL.
            context: SQLAlchemy's execution context of it.
        """
        compiled = context.compiled
        if context.isupdate or context.isdelete or context.isinsert:
            tracked = self._touched.get(compiled, _UNDECIDED)
            if tracked is _UNDECIDED:
                tracked = self._touched[compiled] = self._touches(statement, compiled)
            if tracked is None or OURS in context.execution_options:
                return
            log = self._logs.find(connection)
            if log is not None and log.in_flight and _is_flushed(context):
                if log.fresh:
                    table = compiled.statement.table
                    self._unit_of_work.before_statement(connection, log, table)
            else:
                self._warn(connection, tracked, "A bulk or Core statement")
        elif _is_text(compiled) and OURS not in context.execution_options:
            self._warn_of_text(connection, statement)

    def after(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        context: Any,
        _executemany: object,
    ) -> None:
        """Follow a savepoint that was set, released or rolled back to.

        Args:
            connection: Where it ran.
            statement: The SQL.
            context: SQLAlchemy's execution context of it.
        """
        if context.isinsert or context.isupdate or context.isdelete:
            return
        log = self._logs.find(connection)
        if log is None:
            return
        match = _SAVEPOINT.match(_COMMENT.sub(" ", statement))
        if match is not None:
            _follow(log, match)

    def _touches(self, statement: str, compiled: Any) -> TrackedModel | None:
        """Return a model of which the statement may make or change subjects."""
        table = getattr(_inner(compiled.statement), "table", None)
        for tracked in self._models.values():
            if table in tracked.mapper.tables and (
                not compiled.isupdate
                or tracked.follows_update
                or _sets_watched(statement, tracked)
            ):
                return tracked
        return None

    def _warn_of_text(self, connection: Connection, statement: str) -> None:
        if _WRITE.match(statement) is None:
            return
        words = set(re.findall(r"\w+", statement.lower()))
        for tracked in self._models.values():
            names = {table.name.lower() for table in tracked.mapper.tables}
            if not names.isdisjoint(words):
                self._warn(connection, tracked, "Raw SQL")
                return

    def _warn(self, connection: Connection, tracked: TrackedModel, what: str) -> None:
        log = self._logs.find(connection)
        if log is not None:
            log.doubted.add(tracked.association)
        logger.warning(
            "%s changes %s past the unit of work and is not recorded, at %s; it is"
            " recorded when the objects are changed through a Session",
            what,
            tracked.model.__name__,
            origin.here() or "an unknown place",
        )


def _is_text(compiled: Any) -> bool:
    return compiled is None or isinstance(_inner(compiled.statement), TextClause)


def _inner(statement: Any) -> Any:
    """Return what is executed in a statement that says how to read its rows."""
    while isinstance(statement, (FromStatement, TextualSelect)):
        statement = statement.element
    return statement


def _is_flushed(context: ExecutionContext) -> bool:
    """Return whether the flush itself made the statement, not a hook in it."""
    return "compiled_cache" in context.execution_options


def _sets_watched(statement: str, tracked: TrackedModel) -> bool:
    columns = {
        column.name.lower()
        for name in tracked.watched
        for column in tracked.mapper.attrs[name].columns
    }
    part = _SET.search(statement)
    text = part[1] if part and "SELECT" not in part[1].upper() else statement
    return not columns.isdisjoint(re.findall(r"\w+", text.lower()))


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
