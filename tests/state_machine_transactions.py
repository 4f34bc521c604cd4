"""Rules of the state machine: transactions, savepoints, and what is open meanwhile."""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy.orm import Session
from state_machine_program import Program
from state_machine_world import (
    REASONS,
    JoinMode,
    Mode,
    Reason,
)

MODES: st.SearchStrategy[Mode] = st.sampled_from(
    ("session", "session", "session", "connection", "connection", "autocommit")
)
MAX_SAVEPOINTS = 4

ROWS = (
    "INSERT INTO installation (id, client, host, is_enabled) VALUES"
    " (1, 'c1', 'h1', TRUE), (2, 'c2', 'h2', FALSE), (3, 'c3', 'h3', NULL)",
    "INSERT INTO subscription (id, client_key, github_id, host) VALUES"
    " (1, 'c1', 11, 'h1'), (2, 'c1', 12, 'h2'), (3, 'c4', 13, 'h3')",
    "INSERT INTO team (id, installation_id) VALUES (1, 1), (2, 1), (3, 2)",
    "INSERT INTO seat (id, team, is_enabled) VALUES"
    " (1, 1, TRUE), (2, 2, FALSE), (3, 3, TRUE)",
    "INSERT INTO badge (id, seat_id) VALUES (1, 1), (2, 3)",
    "INSERT INTO pair (left_side, right_side, level, deleted, host) VALUES"
    " (1, 'a', 1, FALSE, 'h1'), (2, 'b', 0, FALSE, NULL), (3, 'a', 1, TRUE, 'h3')",
    "INSERT INTO device (id, kind, is_enabled) VALUES"
    " (1, 'device', TRUE), (2, 'phone', TRUE), (3, 'phone', FALSE)",
    "INSERT INTO phone (id, number) VALUES (2, 2), (3, 3)",
    "INSERT INTO ticket (id, kind, is_enabled) VALUES"
    " (1, 'ticket', TRUE), (2, 'bug', TRUE), (3, 'bug', FALSE)",
)
"""A few rows of each table to begin with."""


class TransactionRules(Program):
    """Sessions, connections, savepoints, commits and rollbacks."""

    # What is open -------------------------------------------------------------------

    @initialize(
        has_rows=st.sampled_from((True, True, True, False)),
        mode=MODES,
        keeps_stale=st.sampled_from((False, False, False, True)),
    )
    def begin(self, has_rows: bool, mode: Mode, keeps_stale: bool) -> None:  # noqa: FBT001
        if has_rows:
            self.world.oracle.execute(*ROWS)
        self.truth = self.seen = self.world.oracle.snapshot()
        self.keeps_stale = keeps_stale
        self._open(mode, autoflush=True, expire_on_commit=True)

    @precondition(lambda self: self.is_idle)
    @rule(
        mode=MODES,
        autoflush=st.booleans(),
        expire_on_commit=st.booleans(),
        has_two_phases=st.booleans(),
    )
    def open(
        self,
        mode: Mode,
        autoflush: bool,  # noqa: FBT001
        expire_on_commit: bool,  # noqa: FBT001
        has_two_phases: bool,  # noqa: FBT001
    ) -> None:
        self._close_all()
        self._open(
            mode,
            autoflush=autoflush,
            expire_on_commit=expire_on_commit,
            has_two_phases=has_two_phases,
        )

    @precondition(lambda self: self.outer and not self.session and self.can_execute)
    @precondition(lambda self: self.mode == "connection")
    @rule(
        mode=st.sampled_from(("create_savepoint", "rollback_only", "control_fully")),
        autoflush=st.booleans(),
    )
    def join(self, mode: JoinMode, autoflush: bool) -> None:  # noqa: FBT001
        assert self.outer is not None
        if any(one.owner == "connection" for one in self.savepoints):
            mode = "create_savepoint"
        if not self.outer.in_transaction():
            self.outer.begin()
        self.session = Session(
            self.outer, join_transaction_mode=mode, autoflush=autoflush
        )
        self._listen(self.session)
        self.session.connection()
        self.joined = (mode, len(self.savepoints), len(self.causes.changes))

    # Savepoints ---------------------------------------------------------------------

    @precondition(lambda self: self.can_execute and self.mode != "autocommit")
    @precondition(lambda self: len(self.savepoints) < MAX_SAVEPOINTS)
    @rule(by_hand=st.booleans(), reason=REASONS)
    def savepoint(self, by_hand: bool, reason: Reason) -> None:  # noqa: FBT001
        self._set_savepoint(reason, by_hand=by_hand)

    @precondition(lambda self: self.can_execute and self._reachable())
    @rule(which=st.integers(0, MAX_SAVEPOINTS), reason=REASONS)
    def release(self, which: int, reason: Reason) -> None:
        reachable = self._reachable()
        self._release(reachable[which % len(reachable)], reason)

    @precondition(lambda self: self._reachable())
    @rule(which=st.integers(0, MAX_SAVEPOINTS))
    def roll_back_to_savepoint(self, which: int) -> None:
        reachable = self._reachable()
        self._roll_back_to(reachable[which % len(reachable)])

    def _reachable(self) -> list[int]:
        """Return which savepoints can be ended, the innermost first.

        By hand only what lies inside no other of the API's: those would not know. A
        connection's own only from inside out, a session's in any order.
        """
        found: list[int] = []
        base = self.joined[1] if self.joined else 0
        inside: set[str] = set()
        for place in range(len(self.savepoints) - 1, base - 1, -1):
            owner = self.savepoints[place].owner
            if owner == "session" or inside <= {"hand"}:
                found.append(place)
            inside.add(owner)
        return found

    # The end ------------------------------------------------------------------------

    @precondition(lambda self: not self.joined and self.mode != "autocommit")
    @rule(reason=REASONS)
    def commit(self, reason: Reason) -> None:
        self._commit(reason)

    @precondition(lambda self: not self.joined and self.mode != "autocommit")
    @rule(how=st.sampled_from(("rollback", "rollback", "close", "invalidate")))
    def roll_back(self, how: str) -> None:
        if self.session is not None:
            getattr(self.session, how)()
        else:
            assert self.outer is not None
            if how == "invalidate":
                self.outer.invalidate()
            self.outer.rollback()
        self._rolled_back()

    @precondition(lambda self: self.joined)
    @rule(
        how=st.sampled_from(("commit", "commit", "rollback", "close")), reason=REASONS
    )
    def leave(
        self, how: Literal["commit", "rollback", "close"], reason: Reason
    ) -> None:
        if how == "commit" and (self.is_aborted or not self._do(reason, self._flush)):
            return
        self._leave(how)

    @precondition(lambda self: self.can_execute and self.mode != "autocommit")
    @precondition(lambda self: not self.savepoints and not self.joined)
    @precondition(lambda self: not self.has_two_phases)
    @rule(by_ddl=st.booleans(), reason=REASONS)
    def commit_by_text(self, by_ddl: bool, reason: Reason) -> None:  # noqa: FBT001
        def work() -> None:
            self._flush()
            connection = self.connection
            if by_ddl and self.world.kind == "mariadb":
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS scratch (i INT)")
                return
            connection.exec_driver_sql("COMMIT")
            if self.world.kind == "sqlite":
                connection.exec_driver_sql("BEGIN")

        if self._do(reason, work):
            self._committed()
