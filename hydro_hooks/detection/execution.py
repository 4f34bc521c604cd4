"""One execution of a statement that matters: what is followed of it, what is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Table
from sqlalchemy.exc import StatementError

from hydro_hooks.detection import origin, rows
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.parameters import UNREADABLE, NotFollowedError
from hydro_hooks.detection.parts import Kind
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.rows import Key
from hydro_hooks.detection.transactions import TransactionLog
from hydro_hooks.transition import Stamp

logger = logging.getLogger("hydro_hooks")

Problem: TypeAlias = tuple[Sequence[Table], str]
"""Tables whose rows cannot be followed, and why."""

_REMEDY_OF_TEXT: Final = (
    "write it with update() or delete() of SQLAlchemy, or as a plain UPDATE or DELETE;"
    " hydro-hooks reconcile finds what was missed"
)

Parents: TypeAlias = Callable[[Table], Mapping[Key, Stamp]]
"""Of a flush that deletes rows of a table: who deleted which."""


class Execution:
    """One execution.

    Args:
        log: Of the transaction.
        reach: Which tables matter.
        followed: What is followed.
        problems: What is not; it is said when the statement has succeeded.
        commits: Whether MariaDB commits before it and after it, unasked.
        is_text: Whether the program wrote it as SQL text.
    """

    def __init__(
        self,
        log: TransactionLog,
        reach: Reach,
        followed: Sequence[Following],
        problems: Sequence[Problem],
        *,
        commits: bool = False,
        is_text: bool = False,
    ) -> None:
        self.log = log
        self.commits = commits
        self._is_text = is_text
        self._reach = reach
        self._followed = list(followed)
        self._problems = list(problems)
        self._rowcount = -1

    def begin(self, connection: Connection, parents: Parents | None) -> None:
        """Read what the statement is about to change.

        Args:
            connection: Where it is about to run.
            parents: Where a flush made it.
        """
        if self._followed and not self.log.is_writing:
            self.log.is_writing = True
            if connection.dialect.name == "sqlite":
                first = self._followed[0]
                rows.take_write_lock(connection, first.part.table, first.place)
        begun = []
        for one in self._followed:
            is_delete = one.part.kind is Kind.DELETE
            deleted = parents(one.part.table) if parents and is_delete else {}
            with self._following(one):
                one.begin(connection, deleted)
                begun.append(one)
        self._followed = begun

    def count(self, rowcount: int) -> None:
        """Take what the driver says of one batch."""
        if rowcount >= 0:
            self._rowcount = max(self._rowcount, 0) + rowcount

    def end(self, connection: Connection, result: Any | None) -> None:
        """Take what the statement changed; say what is not known of it.

        Args:
            connection: Where it ran.
            result: SQLAlchemy's, where there is one.
        """
        for one in self._followed:
            with self._following(one):
                one.end(connection, self._rowcount, result)
        for tables, problem in self._problems:
            self._warn(tables, problem)

    def failed(self, connection: Connection) -> None:
        """Take what a statement that failed has kept."""
        try:
            for one in self._followed:
                one.failed(connection)
        except Exception:  # the program's own error is on its way
            logger.exception("What a failed statement has kept could not be read")

    @contextmanager
    def _following(self, one: Following) -> Iterator[None]:
        """Let the program's statement go on where what is read cannot be understood."""
        try:
            yield
        except NotFollowedError as error:
            problem = str(error)
        except (*UNREADABLE, StatementError) as error:
            cause = error.orig if isinstance(error, StatementError) else error
            if not isinstance(cause, UNREADABLE):
                raise
            # Without what it says, which may quote a value.
            kind = type(cause).__name__
            problem = f"a value of a row cannot be read by its column's type ({kind})"
        else:
            return
        self._problems.append(([one.part.table], problem))

    def _warn(self, tables: Sequence[Table], problem: str) -> None:
        """Say loudly that a statement is not followed."""
        reached = self._reach.concerned(tables)
        self.log.doubted.update(tracked.association for tracked in reached)
        names = ", ".join(dict.fromkeys(one.model.__name__ for one in reached))
        logger.warning(
            "A statement on %s may change rows of %s that are not recorded, at %s:"
            " %s%s",
            ", ".join(dict.fromkeys(table.name for table in tables)),
            names or "tracked models",
            origin.here() or "an unknown place",
            problem,
            f"; {_REMEDY_OF_TEXT}" if self._is_text else "",
        )


def execution_in(context: Any) -> Execution | None:
    """Return what is followed of a statement: kept on its context, it goes with it."""
    found: Execution | None = getattr(context, "hydro_hooks_execution", None)
    return found


def keep(context: Any, execution: Execution | None) -> None:
    """Keep what is followed of a statement, or forget it."""
    context.hydro_hooks_execution = execution
