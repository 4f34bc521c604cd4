"""Rules of the state machine: objects that a session has not loaded, or has let go."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import inspect, literal, not_, null, select
from sqlalchemy.orm import make_transient, make_transient_to_detached
from state_machine_models import (
    FLAGGED,
    MODELS,
    Badge,
    Bug,
    Device,
    Installation,
    Pair,
    Phone,
    Row,
    Subscription,
    Ticket,
    subject_of,
)
from state_machine_unit_of_work import UnitOfWorkRules, rows
from state_machine_world import MAKERS, REASONS, By, Reason, block

Expression: TypeAlias = Literal["not", "literal", "null", "subquery"]
EXPRESSIONS: st.SearchStrategy[Expression] = st.sampled_from(
    ("not", "literal", "null", "subquery")
)

# Without relationships: what hangs on an object would come and go with it.
LONE = (Subscription, Badge, Pair, Device, Phone, Ticket, Bug)


class DetachedRules(UnitOfWorkRules):
    """Rows changed without a look at them; objects let go, and taken back."""

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS, is_flushed=st.booleans())
    def delete_unloaded(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._unloaded(row)
            if one is not None:
                self._delete(one, by)
                self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug, Pair), by=MAKERS, is_flushed=st.booleans())
    def set_flag_unloaded(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._unloaded(row)
            if one is not None:
                name = "level" if row.model is Pair else "enabled"
                self._set(one, name, row.values()[name], by)
                self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*LONE), by=MAKERS)
    def let_go(self, row: Row, by: By) -> None:
        """Expunge an object, and keep it."""

        def work() -> None:
            self._through.flush()
            one = self._find(row)
            if one is not None and inspect(one).persistent:
                self._through.refresh(one)
                self._through.expunge(one)
                self.let_gone = one

        self._run(by, work)

    @precondition(lambda self: self.has_session and self.let_gone is not None)
    @rule(row=rows(Device, Pair), changed=REASONS, by=MAKERS, is_deleted=st.booleans())
    def take_back(self, row: Row, changed: Reason, by: By, is_deleted: bool) -> None:  # noqa: FBT001
        """Attach it again, changed meanwhile or deleted then."""
        one = self.let_gone

        def work() -> None:
            self._through.flush()
            if not inspect(one).detached or self._is_present(one):
                return
            name = "level" if isinstance(one, Pair) else "enabled"
            value = None if row.flag is None else int(row.flag)
            if not isinstance(one, (Subscription, Badge)):
                with block(changed):
                    self._set(one, name, value, By(changed))
            self._through.add(one)
            if is_deleted:
                self._delete(one, by)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*LONE), deleted=REASONS, by=MAKERS)
    def recreate(self, row: Row, deleted: Reason, by: By) -> None:
        """Delete a row, and add its own object again as a new one."""

        def work() -> None:
            session = self._through
            session.flush()
            one = self._find(row)
            if one is None or not inspect(one).persistent:
                return
            session.refresh(one)
            with block(deleted):
                self._delete(one, By(deleted))
                session.flush()
            make_transient(one)
            session.add(one)
            self.causes.arrive(subject_of(one), by.told)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug), how=EXPRESSIONS, by=MAKERS, is_flushed=st.booleans())
    def set_flag_to_an_expression(
        self,
        row: Row,
        how: Expression,
        by: By,
        is_flushed: bool,  # noqa: FBT001
    ) -> None:
        def work() -> None:
            one = self._find(row)
            if one is None or one in self._through.new:
                return
            values: dict[Expression, Any] = {
                "not": not_(type(one).enabled),
                "literal": literal(row.flag is True),
                "null": null(),
                "subquery": select(Installation.enabled)
                .where(Installation.id == row.link)
                .scalar_subquery(),
            }
            one.enabled = values[how]
            # What it comes to, and whether that turned it, shows only in the table.
            self.causes.flag(subject_of(one), by.told, is_turned=False)
            self._flush_if(is_flushed)

        self._run(by, work)

    # --------------------------------------------------------------------------------

    def _unloaded(self, row: Row) -> Any | None:
        """Return an object of a row, there or not, that the session did not read."""
        session = self._through
        one = row.model()
        key = ("left", "right") if row.model is Pair else ("id",)
        for name in key:
            setattr(one, name, row.values()[name])
        if any(row.subject == subject_of(other) for other in session.new):
            return None
        make_transient_to_detached(one)
        if self._is_present(one):
            return None
        session.add(one)
        return one

    def _is_present(self, one: Any) -> bool:
        """Return whether the session has an object of the same row."""
        return inspect(one).key in self._through.identity_map
