"""Rules of the state machine: objects that a session does not hold as usual.

Detached, loaded in part, or set to what only the database can work out.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import Boolean, cast, inspect, literal, not_, null, select
from sqlalchemy.orm import make_transient_to_detached
from state_machine_models import FLAGGED, Bug, Installation, Pair, Row
from state_machine_unit_of_work import UnitOfWorkRules, rows
from state_machine_world import MAKERS, REASONS, By, Reason, block

Expression: TypeAlias = Literal["not", "literal", "null", "subquery", "odd"]
EXPRESSIONS: st.SearchStrategy[Expression] = st.sampled_from(
    ("not", "literal", "null", "subquery", "odd")
)


class OddObjectRules(UnitOfWorkRules):
    """Objects set while detached or unloaded, and SQL expressions as values."""

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug), expression=EXPRESSIONS, by=MAKERS)
    def set_expression(self, row: Row, expression: Expression, by: By) -> None:
        def work() -> None:
            self._through.flush()
            one = self._through.get(row.model, row.identity)
            if one is None:
                return
            model = row.model
            value: Any = {
                "not": not_(model.enabled),
                "literal": literal(row.flag, Boolean()),
                "null": null(),
                "subquery": select(Installation.enabled)
                .where(Installation.id == row.link)
                .scalar_subquery(),
                "odd": model.id % 2 == 1,
            }[expression]
            self.causes.flag(row.subject, by.told, is_turned=True)
            one.enabled = value
            # Nothing in between: a query of the object would flush in its own time.
            self._through.flush()

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug, Pair), expression=EXPRESSIONS, by=MAKERS)
    def add_with_expression(self, row: Row, expression: Expression, by: By) -> None:
        def work() -> None:
            self._through.flush()
            if self._through.get(row.model, row.identity) is not None:
                return
            one = row.build()
            flag = "level" if row.model is Pair else "enabled"
            column = inspect(row.model).attrs[flag].columns[0]
            value = literal(row.values()[flag], column.type)
            made: Any = null() if expression == "null" else value
            if expression == "subquery":
                # PostgreSQL would take a NULL for text there.
                is_typed = self.world.kind == "postgresql"
                inner = cast(value, column.type) if is_typed else value
                made = select(inner).scalar_subquery()
            setattr(one, flag, made)
            self._through.add(one)
            self.causes.arrive(row.subject, by.told)
            self._through.flush()

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug), setter=REASONS, by=MAKERS, is_flushed=st.booleans())
    def set_detached(
        self,
        row: Row,
        setter: Reason,
        by: By,
        is_flushed: bool,  # noqa: FBT001
    ) -> None:
        """Set in one block while no session has it, added to one in another."""

        def work() -> None:
            session = self._through
            session.flush()
            one = session.get(row.model, row.identity)
            if one is None:
                return
            assert one.enabled in (True, False, None)
            session.expunge(one)
            self._note(one, "enabled", row.flag, By(setter or by.reason))
            with block(setter):
                one.enabled = row.flag
            session.add(one)
            self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(
        row=rows(*FLAGGED, Bug, Pair),
        is_deleted=st.booleans(),
        by=MAKERS,
        is_flushed=st.booleans(),
    )
    def change_unread(
        self,
        row: Row,
        is_deleted: bool,  # noqa: FBT001
        by: By,
        is_flushed: bool,  # noqa: FBT001
    ) -> None:
        """Change or delete a row whose object was never read from the database."""

        def work() -> None:
            session = self._through
            session.flush()
            known = session.get(row.model, row.identity)
            if known is None or type(known) is not row.model:
                return
            session.expunge(known)
            one = row.model(**_key_of(row))
            make_transient_to_detached(one)
            session.add(one)
            if is_deleted:
                session.delete(one)
                self.causes.remove(row.subject, by.told)
            elif row.model is Pair:
                self._set(one, "level", row.values()["level"], by)
            else:
                self._set(one, "enabled", row.flag, by)
            self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug), by=MAKERS, is_flushed=st.booleans())
    def set_expired(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        """Set an attribute whose value is not loaded."""

        def work() -> None:
            session = self._through
            session.flush()
            one = session.get(row.model, row.identity)
            if one is None:
                return
            session.expire(one, ["enabled"])
            self._set(one, "enabled", row.flag, by)
            self._flush_if(is_flushed)

        self._run(by, work)


def _key_of(row: Row) -> dict[str, Any]:
    names = [
        inspect(row.model).get_property_by_column(column).key
        for column in inspect(row.model).primary_key
    ]
    return {name: row.values()[name] for name in names}
