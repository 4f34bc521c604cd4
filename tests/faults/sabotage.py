"""Statements and commits that truly fail, whichever of an engine's is the chosen one.

Nothing is simulated: the database refuses the statement, its server ends the session,
or the driver finds its connection closed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Engine, event, text

NO_SUCH_COLUMN: Final = "SELECT no_such_column FROM hydro_outbox"


class Sabotage:
    """Counts what an engine asks of its database, and lets one thing of it fail.

    Args:
        admin: On the same database, to end sessions with.
        target: The number of the statement or commit that fails, from 1; 0: none.

    Attributes:
        count: Statements and commits so far, as far as they can be made to fail.
    """

    fails_statements: ClassVar[bool] = True
    fails_commits: ClassVar[bool] = True

    def __init__(self, admin: Engine, target: int) -> None:
        self.count = 0
        self._admin = admin
        self._target = target
        self._lock = threading.Lock()

    @contextmanager
    def of(self, engine: Engine) -> Iterator[None]:
        """Work on what `engine` does inside the block."""
        event.listen(engine, "before_cursor_execute", self._statement, retval=True)
        event.listen(engine, "commit", self._commit)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", self._statement)
            event.remove(engine, "commit", self._commit)

    def fail(self, connection: Connection) -> str | None:
        """Do what makes the statement or the commit fail that is about to be made.

        Returns:
            What is executed in the statement's place, if another is.
        """
        raise NotImplementedError

    def _statement(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,
        _context: object,
        _is_many: bool,  # noqa: FBT001 - by position, as SQLAlchemy calls it
    ) -> tuple[str, Any]:
        if not self.fails_statements or not self._is_chosen():
            return statement, parameters
        other = self.fail(connection)
        return (statement, parameters) if other is None else (other, ())

    def _commit(self, connection: Connection) -> None:
        if self.fails_commits and self._is_chosen():
            self.fail(connection)

    def _is_chosen(self) -> bool:
        with self._lock:
            self.count += 1
            return self.count == self._target


class Refused(Sabotage):
    """The database refuses the statement."""

    fails_commits = False

    def fail(self, _: Connection) -> str:
        return NO_SUCH_COLUMN


class SessionEnded(Sabotage):
    """The server ends the session before the statement or the commit reaches it."""

    def fail(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name == "postgresql":
            number, kill = driver.info.backend_pid, "SELECT pg_terminate_backend(:n)"
        else:
            number, kill = driver.thread_id(), "KILL :n"
        with self._admin.connect() as admin:
            admin.execute(text(kill), {"n": number})


class CommitUnanswered(Sabotage):
    """The commit is made, but its answer is lost with the connection."""

    fails_statements = False

    def fail(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.commit()
        driver.close()
