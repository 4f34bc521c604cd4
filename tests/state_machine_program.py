"""The frame of the state machine: what is open, and what becomes of it.

Every rule's work goes through `_run()`, in a block with the rule's reason. After it the
tables are read over the program's own driver connection, unseen by SQLAlchemy, so that
the model of causes learns what changed; after each flush too, wherever it happens. At
each end of a transaction the outbox is compared with what the oracle saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from state_machine_causes import UNATTRIBUTED, Causes
from state_machine_oracle import Snapshot, snapshot, state_in, transitions
from state_machine_world import (
    By,
    JoinMode,
    Mode,
    Owner,
    Reason,
    Savepoint,
    World,
    block,
    is_expected,
)


class Program(RuleBasedStateMachine):
    """What a program has open, and what is known of it; the rules are in subclasses."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.mode: Mode = "session"
        self.session: Session | None = None
        self.outer: Connection | None = None
        self.joined: tuple[JoinMode, int, int] | None = None
        self.savepoints: list[Savepoint] = []
        self.is_aborted = False
        self.has_two_phases = False
        self.keeps_stale = False
        self.is_sound = False
        self.causes = Causes()
        self.serial = 0
        world.oracle.clear()
        world.oracle.new_events()
        world.warned.messages.clear()
        self.truth: Snapshot = {}
        self.seen: Snapshot = {}

    # What is open -------------------------------------------------------------------

    def _open(
        self,
        mode: Mode,
        *,
        autoflush: bool,
        expire_on_commit: bool,
        has_two_phases: bool = False,
    ) -> None:
        self.mode = mode
        self.has_two_phases = (
            has_two_phases and mode == "session" and self.world.has_two_phases
        )
        if mode == "session":
            self.session = Session(
                self.world.engine,
                autoflush=autoflush,
                expire_on_commit=expire_on_commit,
                twophase=self.has_two_phases,
            )
            self._listen(self.session)
        elif mode == "connection":
            self.outer = self.world.engine.connect()
        else:
            self.outer = self.world.autocommit.connect()
        self.is_sound = True

    def _listen(self, session: Session) -> None:
        event.listen(session, "after_flush", lambda _session, _context: self._flushed())

    def _close_all(self) -> None:
        for one in (self.session, self.outer):
            if one is not None:
                one.close()
        self.session = self.outer = self.joined = None

    def teardown(self) -> None:
        """Commit what is left, so that no example ends without having been judged."""
        try:
            if self.is_sound:
                if self.joined and not self.is_aborted:
                    self._do(None, self._flush)
                if self.joined:
                    self._leave("close" if self.is_aborted else "commit")
                if self.mode != "autocommit":
                    self._commit(None)
        finally:
            self._close_all()

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by a rollback."""
        return not (
            self.causes.changes or self.savepoints or self.is_aborted or self.joined
        )

    @property
    def connection(self) -> Connection:
        """The connection that the program works on."""
        if self.session is not None:
            return self.session.connection()
        assert self.outer is not None
        return self.outer

    # The work of a rule -------------------------------------------------------------

    def _run(self, by: By, work: Callable[[], object]) -> bool:
        """Do a rule's work in its block; return whether it succeeded."""
        if by.fate == "kept" or self.mode == "autocommit":
            return self._do(by.reason, work)
        if not self._set_savepoint(None, by_hand=False):
            return False
        own = self.savepoints[-1]
        is_done = self._do(by.reason, work) and self._do(None, self._flush)
        if own not in self.savepoints:
            return False  # a flush failed and took it along
        place = self.savepoints.index(own)
        if by.fate == "released" and not self.is_aborted:
            return self._release(place, None) and is_done
        self._roll_back_to(place)
        return False

    def _flush(self) -> None:
        if self.session is not None:
            self.session.flush()

    def _do(self, reason: Reason, work: Callable[[], object]) -> bool:
        """Do work in a block; return whether it succeeded."""
        self.is_sound = False
        is_done = self._try(reason, work)
        self.is_sound = True
        return is_done

    def _try(self, reason: Reason, work: Callable[[], object]) -> bool:
        self._forget_what_came_to_nothing()
        try:
            with block(reason):
                work()
        except Exception as error:
            if not is_expected(error):
                raise
            self._failed(error, reason)
            return False
        self._look(reason)
        return True

    def _look(self, reason: Reason) -> None:
        """See what was done since the last look, in a block with this reason."""
        now = self._working_snapshot()
        self.causes.statement_ran(self.seen, now, reason or UNATTRIBUTED)
        self.seen = now
        if self.mode == "autocommit":
            self._committed(is_one_transaction=False)

    def _flushed(self) -> None:
        if self.is_aborted:
            return  # it had nothing to write, and nothing can be read
        now = self._working_snapshot()
        self.causes.flushed(self.seen, now)
        self.seen = now

    def _working_snapshot(self) -> Snapshot:
        return snapshot(self.connection.connection)

    def _forget_what_came_to_nothing(self) -> None:
        session = self.session
        if session is not None and not (
            session.new or session.deleted or session.dirty
        ):
            self.causes.intents.clear()

    def _work(self, by: By, work: Callable[[], object]) -> None:
        """Do a statement's work; then let the session forget what it loaded.

        What it has pending it flushes before, where it does so by itself; the rest is
        flushed here. Now and then (`keeps_stale`) it keeps what it believes.
        """
        is_done = self._run(by, work)
        if is_done and self.session is not None and not self.keeps_stale:
            self._do(None, self._expire)

    def _core(self, statement: Any, values: Any, by: By, *, is_direct: bool) -> None:
        """Execute a statement, directly on the connection or through the session."""
        through: Any = self.connection if is_direct else self.session or self.connection
        self._work(by, lambda: through.execute(statement, values))

    def _expire(self) -> None:
        assert self.session is not None
        self.session.flush()
        self.session.expire_all()

    @property
    def _through(self) -> Session:
        """The session, of a rule that needs one."""
        assert self.session is not None
        return self.session

    @property
    def has_session(self) -> bool:
        return self.session is not None and not self.is_aborted

    @property
    def can_execute(self) -> bool:
        return not self.is_aborted

    # Errors -------------------------------------------------------------------------

    def _failed(self, error: Exception, reason: Reason) -> None:
        """Go on as a program does after an error that it has caught."""
        if self.session is not None and not self.session.is_active:
            self._recover_from_failed_flush(self.session)
        elif (
            self.world.kind == "postgresql"
            and self.mode != "autocommit"
            and isinstance(error, DBAPIError)
        ):
            self.is_aborted = True  # PostgreSQL refuses all until a rollback
        else:
            # SQLite keeps what an executemany has done before it failed.
            self._look(reason)

    def _recover_from_failed_flush(self, session: Session) -> None:
        base = self.joined[1] if self.joined else 0
        for place in range(len(self.savepoints) - 1, base - 1, -1):
            if self.savepoints[place].owner == "session":
                self._roll_back_to(place)
                return
        if self.joined:
            self._leave("rollback")
        else:
            session.rollback()
            self._rolled_back()

    # Savepoints ---------------------------------------------------------------------

    def _set_savepoint(self, reason: Reason, *, by_hand: bool) -> bool:
        self.serial += 1
        name = f"s{self.serial}"
        made: list[Any] = []

        def work() -> None:
            self._flush()
            if by_hand:
                self.connection.exec_driver_sql(f"SAVEPOINT {name}")
                made.append(name)
            else:
                made.append((self.session or self.connection).begin_nested())

        if not self._do(reason, work):
            return False
        by_api: Owner = "connection" if self.session is None else "session"
        owner: Owner = "hand" if by_hand else by_api
        self.savepoints.append(Savepoint(len(self.causes.changes), owner, made[0]))
        return True

    def _release(self, place: int, reason: Reason) -> bool:
        one = self.savepoints[place]

        def work() -> None:
            if one.owner == "hand":
                self.connection.exec_driver_sql(f"release savepoint {one.handle}")
            else:
                one.handle.commit()

        is_done = self._do(reason, work)
        if is_done:
            del self.savepoints[place:]
        return is_done

    def _roll_back_to(self, place: int) -> None:
        one = self.savepoints[place]
        if one.owner != "hand":
            one.handle.rollback()
            del self.savepoints[place:]
        else:
            if self.session is not None:
                # What the session believes to have flushed is not there any more.
                self.session.expunge_all()
            self.connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {one.handle}")
            del self.savepoints[place + 1 :]
        self._back_at(one.mark)

    def _back_at(self, mark: int) -> None:
        """Forget what was rolled back; the model and the tables have to agree on it."""
        self.is_sound = False
        self.is_aborted = False
        self.causes.forget_since(mark)
        self.seen = self._working_snapshot()
        expected = {subject: row.state for subject, row in self.truth.items()}
        expected.update(self.causes.states())
        for subject in expected.keys() | self.seen.keys():
            state = expected.get(subject, "absent")
            assert state_in(self.seen, subject) == state, "the model has lost its way"
        self.is_sound = True

    # The end ------------------------------------------------------------------------

    def _commit(self, reason: Reason) -> None:
        one = self.session or self.outer
        assert one is not None
        self._forget_what_came_to_nothing()
        self.is_sound = False
        try:
            with block(reason):
                one.commit()
        except Exception as error:
            if self.session is None or self.session.is_active:
                raise
            if self.is_aborted and isinstance(error, DBAPIError):
                # PostgreSQL refuses the flush, or the RELEASE of a savepoint, after
                # which SQLAlchemy does not roll back to it either: only as a whole.
                self.session.rollback()
                self._rolled_back()
            elif is_expected(error):
                self._failed(error, reason)
            else:
                raise
        else:
            self._committed()
        self.is_sound = True

    def _leave(self, how: Literal["commit", "rollback", "close"]) -> None:
        """End the joined session; what happens to its work depends on how it joined."""
        assert self.session is not None
        assert self.joined is not None
        session, (mode, base, mark) = self.session, self.joined
        inner = [one for one in self.savepoints[base:] if one.owner == "session"]
        del self.savepoints[base:]
        self.is_sound = False
        if how == "commit":
            session.commit()
        elif how == "rollback":
            session.rollback()
        session.close()
        self.session = self.joined = None
        if how == "commit":
            if mode == "control_fully":
                self._committed()
        elif mode == "create_savepoint":
            self._back_at(mark)
        elif how == "rollback" or mode == "control_fully":
            self._rolled_back()
        elif inner:
            # Closing leaves the outer transaction alone, not the session's savepoints.
            self._back_at(inner[0].mark)
        else:
            self.causes.intents.clear()
        self.is_sound = True

    def _committed(self, *, is_one_transaction: bool = True) -> None:
        """Compare the outbox with what became visible to others."""
        self.is_sound = False
        before, after = self.truth, self.world.oracle.snapshot()
        events = self.world.oracle.new_events()
        told = [one.transition for one in events]
        true = set(transitions(before, after))

        assert set(told) == true, (
            f"not recorded: {true.difference(told)};"
            f" recorded, but not true: {set(told) - true}"
        )
        assert len(told) == len(true), "recorded twice"
        if is_one_transaction:
            assert len({event.transaction_id for event in events}) <= 1
        for one in events:
            reasons = self.causes.reasons(*one.transition[:2])
            assert one.reason in reasons, f"{one} was made by {reasons}"
        self._begin_anew(after)

    def _rolled_back(self) -> None:
        self.is_sound = False
        assert self.world.oracle.new_events() == []
        after = self.world.oracle.snapshot()
        assert after == self.truth
        self._begin_anew(after)

    def _begin_anew(self, truth: Snapshot) -> None:
        warned = self.world.warned.messages.copy()
        self.world.warned.messages.clear()
        assert not warned, f"warned for nothing: {warned}"
        self.truth = self.seen = truth
        self.causes = Causes()
        self.savepoints.clear()
        self.is_aborted = False
        self.is_sound = True
