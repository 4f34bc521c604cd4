"""Flushes that once were recorded wrongly; each was found by trying to break it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import skip_without_two_phases
from sqlalchemy import (
    Boolean,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    String,
    event,
    false,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
)
from sqlalchemy.types import TypeDecorator

from hydro_hooks import RecordingError, because, installation, register, track
from hydro_hooks.testing import recorded


class YesNo(TypeDecorator[str]):
    """Stores another value than the object has."""

    impl = String(1)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value[0].upper()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return value == "Y"


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parent"

    id: Mapped[int] = mapped_column(primary_key=True)
    sites: Mapped[list[Site]] = relationship(
        back_populates="parent", cascade="all, delete-orphan"
    )


class Site(Base):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str | None] = mapped_column(String(50))
    enabled: Mapped[bool] = mapped_column(default=true())
    note: Mapped[str | None] = mapped_column(String(50))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id"))
    parent: Mapped[Parent | None] = relationship(back_populates="sites")


class Lapsing(Base):
    """Any change disables it."""

    __tablename__ = "lapsing"

    id: Mapped[int] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True, onupdate=lambda: False)
    note: Mapped[str | None] = mapped_column(String(50))


class Switch(Base):
    __tablename__ = "switch"

    id: Mapped[int] = mapped_column(primary_key=True)
    on: Mapped[Any] = mapped_column(YesNo())


class Inverted(Boolean):
    """Stores the opposite; a type of the program's own, not a decorated one."""

    def bind_processor(self, dialect: Dialect) -> Any:
        return lambda value: not value

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return lambda value: not value


class Converted(Base):
    """Flags whose types convert on some databases only, or are the program's."""

    __tablename__ = "converted"

    id: Mapped[int] = mapped_column(primary_key=True)
    some: Mapped[Any] = mapped_column(
        Boolean()
        .with_variant(mysql.BIT(1), "mysql", "mariadb")
        .with_variant(YesNo(), "sqlite", "postgresql"),
        nullable=True,
    )
    opposite: Mapped[bool] = mapped_column(Inverted(), default=True)


class Animal(Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))


class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Plain(Base):
    __tablename__ = "plain"

    id: Mapped[int] = mapped_column(primary_key=True)


class Concrete(Plain):
    """A table of its own, whose keys are others."""

    __tablename__ = "concrete"
    __mapper_args__ = {"concrete": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)


class Audit(Base):
    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    hooks = register(
        installation(Site, jira_hostname="host", enabled="enabled"),
        track(Lapsing, association="lapsing", enabled="enabled"),
        track(Switch, association="switch", enabled="on"),
        track(Dog, association="dog", enabled="enabled"),
        track(Plain, association="plain"),
    )
    with hooks, Session(engine) as session:
        yield session


def stored(session: Session, *objects: object) -> None:
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def told(session: Session) -> list[str]:
    return [f"{one.type} {one.subject_id} {one.state}" for one in recorded(session)]


@pytest.fixture
def listen() -> Iterator[Callable[[Any, str, Any], None]]:
    """Yield what adds a listener of the program, taken off at the end."""
    added: list[tuple[Any, str, Any]] = []

    def listen(target: Any, name: str, function: Any) -> None:
        event.listen(target, name, function)
        added.append((target, name, function))

    yield listen
    for target, name, function in added:
        event.remove(target, name, function)


def test_returning_through_from_statement_runs_as_without_us(
    session: Session,
) -> None:
    if session.get_bind().dialect.name == "mariadb":
        pytest.skip("MariaDB has no UPDATE ... RETURNING")
    stored(session, Audit(id=1))

    statement = update(Audit).values(id=2).returning(Audit)
    found = session.scalars(select(Audit).from_statement(statement)).all()

    assert [one.id for one in found] == [2]


def test_expressions_and_defaults_of_an_insert_are_as_the_database_made_them(
    session: Session,
) -> None:
    session.add(Site(id=1, host=func.lower("ABC")))
    session.add(Site(id=2, enabled=false()))
    session.commit()

    assert told(session) == [
        "installation.create 1 enabled",
        "installation.create 2 disabled",
    ]
    assert recorded(session)[0].jira_hostname == "abc"


def test_a_key_that_is_left_and_taken_in_one_flush(session: Session) -> None:
    row = Site(id=7, enabled=False)
    stored(session, row)

    row.id = 9
    session.add(Site(id=7, enabled=True))
    with pytest.warns(SAWarning, match="conflicts with persistent instance"):
        session.commit()

    assert sorted(told(session)) == [
        "installation.create 9 disabled",
        "installation.enable 7 enabled",
    ]


def test_a_hook_that_flushes_another_session_before_it_changes_the_object(
    session: Session, listen: Callable[[Any, str, Any], None]
) -> None:
    row = Site(id=1)
    stored(session, row)

    def audit(_mapper: object, connection: Connection, target: Site) -> None:
        inner = Session(connection, join_transaction_mode="create_savepoint")
        inner.add(Audit())
        inner.commit()
        inner.close()
        target.enabled = False

    listen(Site, "before_update", audit)
    row.note = "changed"
    session.commit()

    assert told(session) == ["installation.disable 1 disabled"]


def test_a_savepoint_that_a_hook_rolls_back_inside_the_flush(
    session: Session,
    listen: Callable[[Any, str, Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [Site(id=1), Site(id=2)]
    stored(session, *rows, Audit(id=1))
    caplog.clear()

    def audit(_mapper: object, connection: Connection, _target: Site) -> None:
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(insert(Audit).values(id=1))

    listen(Site, "before_update", audit)
    for row in rows:
        row.enabled = False
    session.commit()

    assert sorted(told(session)) == [
        "installation.disable 1 disabled",
        "installation.disable 2 disabled",
    ]
    assert caplog.messages == []


def test_a_comment_on_every_statement_hides_no_savepoint(session: Session) -> None:
    row = Site(id=1)
    stored(session, row)
    engine = session.get_bind()

    def comment(
        _conn: object, _cursor: object, sql: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        return f"/* before */ {sql} /* traceparent='00-1' */", parameters

    event.listen(engine, "before_cursor_execute", comment, retval=True)
    with session.begin_nested() as savepoint:
        row.enabled = False
        session.flush()
        savepoint.rollback()
    session.commit()

    assert told(session) == []


def test_a_column_that_every_update_changes_is_followed(session: Session) -> None:
    row = Lapsing(id=1)
    stored(session, row)

    row.note = "changed"
    session.commit()

    assert told(session) == ["lapsing.disable 1 disabled"]


def test_session_delete_takes_its_argument_by_name(session: Session) -> None:
    row = Site(id=1)
    stored(session, row)

    session.delete(instance=row)
    session.commit()

    assert told(session) == ["installation.destroy 1 absent"]


def test_a_type_that_stores_another_value_is_read_back(session: Session) -> None:
    row = Switch(id=1, on="no")
    session.add(row)
    session.commit()
    row.on = "yes"
    session.commit()

    assert told(session) == ["switch.create 1 disabled", "switch.enable 1 enabled"]


def test_a_concrete_subclass_is_another_table(session: Session) -> None:
    session.add_all([Plain(id=1), Concrete(id=1), Concrete(id=2)])
    session.commit()

    assert told(session) == ["plain.create 1 enabled"]


def test_rows_of_a_base_class_are_neither_recorded_nor_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.add_all([Animal(id=1), Dog(id=2)])
    session.commit()
    session.delete(session.get_one(Animal, 1))
    session.commit()

    assert told(session) == ["dog.create 2 enabled"]
    assert caplog.messages == []


def test_a_child_that_moved_goes_with_its_new_parent(session: Session) -> None:
    child = Site(id=1)
    old, new = Parent(id=1, sites=[child]), Parent(id=2)
    stored(session, old, new)
    assert old.sites == [child]

    with because("moved"):
        child.parent = new
    with because("gone"):
        session.delete(new)
    session.commit()

    assert [one.reason for one in recorded(session)] == ["gone"]


def test_a_flag_set_before_the_object_went_to_another_session_keeps_its_cause(
    session: Session,
) -> None:
    row = Site(id=1)
    stored(session, row)
    assert row.enabled

    with because("made"):
        row.enabled = False
    session.expunge(row)
    session.commit()
    with because("added"):
        session.add(row)
    session.commit()

    assert [one.reason for one in recorded(session)] == ["made"]


@pytest.mark.parametrize("kind", ["text", "columns", "from_statement"])
def test_raw_sql_is_recorded_however_its_rows_are_read(
    session: Session, kind: str
) -> None:
    if session.get_bind().dialect.name == "mariadb":
        pytest.skip("MariaDB has no UPDATE ... RETURNING")
    stored(session, Site(id=1))
    raw = text("UPDATE site SET enabled = false RETURNING id")
    statement: Any = {
        "text": raw,
        "columns": raw.columns(Site.id),
        "from_statement": select(Site.id).from_statement(raw.columns(Site.id)),
    }[kind]

    assert session.execute(statement).scalars().all() == [1]
    session.commit()

    assert told(session) == ["installation.disable 1 disabled"]


def test_what_is_known_of_a_row_is_read_again_after_a_statement_past_us(
    session: Session,
) -> None:
    session.add(Site(id=1, host="old"))
    session.flush()
    session.execute(update(Site).values(host="new", enabled=False))
    session.commit()

    assert told(session) == ["installation.create 1 disabled"]
    assert recorded(session)[0].jira_hostname == "new"


def test_two_phase_refusal_says_what_every_refusal_says(session: Session) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    skip_without_two_phases(engine)
    session.execute(text("DROP TABLE hydro_outbox"))
    session.commit()
    with Session(engine, twophase=True) as other:
        other.add(Site(id=1))
        with pytest.raises(RecordingError, match="nothing was committed"):
            other.commit()
        other.rollback()

    assert session.scalars(select(Site)).all() == []


def test_deletes_that_are_rolled_back_are_not_kept_in_memory(session: Session) -> None:
    rows = [Site(id=number) for number in range(1, 51)]
    stored(session, *rows)
    states = []
    for row in rows:
        session.delete(row)
        states.append(weakref.ref(inspect(row)))
        session.rollback()
    del row, rows
    session.expunge_all()
    gc.collect()

    assert sum(state() is not None for state in states) <= 1


def test_a_literal_set_as_an_expression_is_read_back(session: Session) -> None:
    row = Site(id=1, host=literal("h1"), enabled=literal(value=True))
    session.add(row)
    session.commit()
    row.enabled = literal(value=False)
    row.host = literal("h2")
    session.commit()

    assert told(session) == [
        "installation.create 1 enabled",
        "installation.disable 1 disabled",
    ]
    assert [one.jira_hostname for one in recorded(session)] == ["h1", "h2"]


@pytest.mark.parametrize("flag", ["some", "opposite"])
def test_a_flag_is_read_as_its_type_reads_it_on_each_database(
    engine: Engine, flag: str
) -> None:
    Base.metadata.create_all(engine)
    is_decorated = flag == "some" and engine.dialect.name not in ("mariadb", "mysql")
    on, off = ("yes", "no") if is_decorated else (True, False)

    with register(track(Converted, association="converted", enabled=flag)):
        with Session(engine) as session:
            session.add(Converted(id=1, **{flag: off}))
            session.commit()
            setattr(session.get_one(Converted, 1), flag, on)
            session.commit()
            setattr(session.get_one(Converted, 1), flag, off)
            session.commit()
        actions = [event.action for event in recorded(engine)]

    assert actions == ["create", "enable", "disable"]
