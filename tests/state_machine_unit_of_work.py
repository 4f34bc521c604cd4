"""Rules of the state machine: what a program does to objects, flushed now or later."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import inspect
from sqlalchemy.exc import InvalidRequestError
from state_machine_models import (
    FLAGGED,
    MODELS,
    Bug,
    Device,
    Installation,
    Pair,
    Row,
    Seat,
    Subscription,
    Team,
    Ticket,
    subject_of,
)
from state_machine_transactions import TransactionRules
from state_machine_world import MAKERS, By

KEYS = st.integers(1, 4)
FLAGS: st.SearchStrategy[bool | None] = st.sampled_from((True, False, None))
_MISSING = object()


def rows(*models: type[Any]) -> st.SearchStrategy[Row]:
    """Return rows of these models."""
    return st.builds(
        Row,
        model=st.sampled_from(models),
        key=KEYS,
        link=KEYS,
        flag=FLAGS,
        is_hidden=st.just(value=False)
        if Pair not in models
        else st.sampled_from((False, False, True)),
    )


class UnitOfWorkRules(TransactionRules):
    """Objects of a session: added, set, deleted, merged, renumbered, orphaned."""

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS, is_flushed=st.booleans())
    def add(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            self._add(row, by)
            self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*FLAGGED, Bug), by=MAKERS, is_flushed=st.booleans())
    def set_flag(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._find(row)
            if one is not None:
                self._set(one, "enabled", row.flag, by)
                self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(Pair), by=MAKERS, is_flushed=st.booleans())
    def set_level_or_hide(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._find(row)
            # Who shows a row that was added hidden, and not flushed: not to be known.
            if one is not None and one not in self._through.new:
                self._set(one, "is_deleted", row.is_hidden, by)
                self._set(one, "level", row.values()["level"], by)
                self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(Installation, Subscription, Pair), by=MAKERS, text=st.just("new"))
    def set_value(self, row: Row, by: By, text: str) -> None:
        def work() -> None:
            one = self._find(row)
            if one is None:
                return
            if isinstance(one, Pair):
                one.host = text
            else:
                one.jira_host = text
                one.client_key = f"c{row.link}"

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS, is_flushed=st.booleans())
    def delete(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._find(row)
            if one is not None and one not in self._through.new:
                self._delete(one, by)
                self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), deleted=MAKERS, added=MAKERS)
    def replace(self, row: Row, deleted: By, added: By) -> None:
        def delete() -> None:
            one = self._find(row)
            if one is not None and one not in self._through.new:
                self._delete(one, deleted)

        if self._run(deleted, delete) and self.session is not None:
            self._run(added, lambda: self._add(row, added))

    @precondition(lambda self: self.has_session)
    @rule(row=rows(Installation, Team), by=MAKERS, is_loaded=st.booleans())
    def orphan(self, row: Row, by: By, is_loaded: bool) -> None:  # noqa: FBT001
        def work() -> None:
            # Nothing stale: a child that moved away would be deleted from here.
            self._through.flush()
            self._through.expire_all()
            parent = self._find(row)
            if parent is None:
                return
            children: list[Any] = (
                parent.teams if isinstance(parent, Installation) else parent.seats
            )
            if children:
                child = children[0]
                if is_loaded and isinstance(child, Team):
                    assert child.seats is not None
                self.causes.remove(subject_of(child), by.told)
                children.remove(child)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(Team, Seat), by=MAKERS, is_loaded=st.booleans())
    def move(self, row: Row, by: By, is_loaded: bool) -> None:  # noqa: FBT001
        """Give a child another parent, in whose place it goes from now on."""

        def work() -> None:
            self._through.flush()
            self._through.expire_all()
            one = self._through.get(row.model, row.identity)
            parent_model: type[Any] = Installation if row.model is Team else Team
            parent: Any = self._through.get(parent_model, row.link)
            if one is None or parent is None:
                return
            if is_loaded:
                children: list[Any] = (
                    parent.teams if isinstance(parent, Installation) else parent.seats
                )
                if one not in children:
                    children.append(one)
            elif row.model is Team:
                one.installation_id = row.link
            else:
                one.team_id = row.link
            self._through.flush()

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS)
    def load_children(self, row: Row, by: By) -> None:
        """What is loaded is deleted by the session itself, the rest by the database."""

        def work() -> None:
            one = self._find(row)
            if isinstance(one, Installation):
                assert all(team.seats is not None for team in one.teams)
            elif isinstance(one, Team):
                assert one.seats is not None

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(
        row=rows(Installation, Subscription, Pair, Seat, Device, Ticket),
        key=KEYS,
        by=MAKERS,
        is_flushed=st.booleans(),
    )
    def renumber(self, row: Row, key: int, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            one = self._find(row)
            if one is None or one in self._through.new or key == row.key:
                return
            self._through.flush()
            if not inspect(one).persistent:
                return  # it was an orphan
            try:
                self._through.refresh(one)
            except InvalidRequestError:
                return  # a statement has taken its half in the subclass' table
            self.causes.depart(subject_of(one), by.told)
            setattr(one, "left" if isinstance(one, Pair) else "id", key)
            self.causes.arrive(subject_of(one), by.told)
            self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS, is_flushed=st.booleans())
    def merge(self, row: Row, by: By, is_flushed: bool) -> None:  # noqa: FBT001
        def work() -> None:
            session = self._through
            session.flush()
            known = session.get(row.model, row.identity)
            if known is None:
                self.causes.arrive(row.subject, by.told)
            elif type(known) is not row.model:
                return  # another class of its hierarchy cannot take its row
            else:
                for name in ("enabled", "level", "is_deleted"):
                    if name in row.values():
                        self._note(known, name, row.values()[name], by)
            session.merge(row.build())
            self._flush_if(is_flushed)

        self._run(by, work)

    @precondition(lambda self: self.has_session)
    @rule(by=MAKERS)
    def flush(self, by: By) -> None:
        self._run(by, self._through.flush)

    @precondition(lambda self: self.has_session)
    @rule(by=MAKERS, is_forgotten=st.booleans())
    def expire(self, by: By, is_forgotten: bool) -> None:  # noqa: FBT001
        """What the session has loaded is read anew, or forgotten altogether."""

        def work() -> None:
            self._through.flush()
            if is_forgotten:
                self._through.expunge_all()
            else:
                self._through.expire_all()

        self._run(by, work)

    # --------------------------------------------------------------------------------

    def _flush_if(self, is_flushed: bool) -> None:  # noqa: FBT001
        if is_flushed:
            self._through.flush()

    def _find(self, row: Row) -> Any:
        """Return the object of a row, be it pending; None where it is not or goes."""
        for one in self._through.new:
            if isinstance(one, row.model) and subject_of(one) == row.subject:
                return one
        one = self._through.get(row.model, row.identity)
        # A pending change of its key is not flushed yet: it is another row by now.
        if one is None or one in self._through.deleted:
            return None
        self._key_loaded(one)
        return one

    def _key_loaded(self, one: Any) -> None:
        assert one.left if isinstance(one, Pair) else one.id

    def _add(self, row: Row, by: By) -> None:
        session = self._through
        if any(
            row.subject == subject_of(one) and type(one) is not row.model
            for one in session.deleted
        ):
            return  # it takes the row as another class, half of which is left behind
        if {row.subject} <= {subject_of(one) for one in session.new} and any(
            row.subject == subject_of(one) for one in session.deleted
        ):
            return  # two objects in the place of a deleted one: SQLAlchemy is at a loss
        session.add(row.build())
        self.causes.arrive(row.subject, by.told)

    def _delete(self, one: Any, by: By) -> None:
        """Delete an object; the session marks its loaded children with it."""
        session = self._through
        before = set(session.deleted)
        session.delete(one)
        for gone in set(session.deleted) - before:
            self._key_loaded(gone)
            self.causes.remove(subject_of(gone), by.told)

    def _set(self, one: Any, name: str, value: object, by: By) -> None:
        self._note(one, name, value, by)
        setattr(one, name, value)

    def _note(self, one: Any, name: str, value: Any, by: By) -> None:
        """Tell the model of causes what setting an attribute means."""
        old = inspect(one).dict.get(name, _MISSING)
        if old is not _MISSING and old == value and (old is None) is (value is None):
            return
        subject = subject_of(one)
        if name != "is_deleted":
            is_turned = old is _MISSING or bool(old) is not bool(value)
            self.causes.flag(subject, by.told, is_turned=is_turned)
        elif value:
            self.causes.depart(subject, by.told)
        else:
            self.causes.arrive(subject, by.told)
