"""Keys that the database gives back otherwise than the program spelled them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from databases import Database
from sqlalchemy import (
    CHAR,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    Numeric,
    String,
    Table,
    TypeDecorator,
    Uuid,
    delete,
    event,
    insert,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
)

from hydro_hooks import Hooks, because, register, track
from hydro_hooks.event import key_as_text
from hydro_hooks.reconcile import Reconciliation
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    """Of the models of this file."""


class Lower(TypeDecorator[str]):
    """Text that is kept in small letters."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: object) -> str | None:
        return value and value.lower()


class Shown(TypeDecorator[str]):
    """Text that is read without the blanks with which it was written."""

    impl = String(40)
    cache_ok = True

    def process_result_value(self, value: str | None, _dialect: object) -> str | None:
        return value and value.strip()


class Hex(TypeDecorator[Any]):
    """Takes a UUID, and gives text."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> str | None:
        return value.hex if isinstance(value, uuid.UUID) else value


class Coded(TypeDecorator[Any]):
    """A number that the program knows as text; some have no such text."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> int | None:
        return None if value is None else int(value.removeprefix("no "))

    def process_result_value(self, value: Any, _dialect: object) -> str | None:
        if value == 13:
            message = "there is no 13"
            raise ValueError(message)
        return None if value is None else f"no {value}"


def model(name: str, kind: Any) -> Any:
    columns = {
        "__tablename__": f"by_{name}",
        "id": mapped_column(kind, primary_key=True, autoincrement=False),
        "enabled": mapped_column(default=True),
        "__annotations__": {"id": Mapped[Any], "enabled": Mapped[bool]},
    }
    return type(f"By{name.title()}", (Base,), columns)


CHINA = dt.timezone(dt.timedelta(hours=8))
MODELS: dict[str, tuple[Any, Any, Any]] = {
    name: (model(name, kind), *keys)
    for name, kind, *keys in (
        ("lower", Lower(), "Ab", "CD"),
        ("hex", Hex(), uuid.UUID(int=10), uuid.UUID(int=11)),
        ("char", CHAR(5), "ab ", "cd"),
        ("variant", String(5).with_variant(CHAR(5), "postgresql"), "ab", "cd"),
        ("uuid", Uuid(as_uuid=False), uuid.UUID(int=10).hex, uuid.UUID(int=11).hex),
        ("numeric", Numeric(10, 2), Decimal("1.5"), Decimal(2)),
        (
            "moment",
            DateTime(timezone=True),
            dt.datetime(2026, 1, 1, 8, tzinfo=CHINA),
            dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        ),
    )
}


PLAIN = model("plain", String(5))
ROUNDED = model("rounded", Numeric(10, 2))
SHOWN = model("shown", Shown())
CODED = model("coded", Coded())
LOOSE = model("loose", Numeric(10, 2, asdecimal=False))


class Counted(Base):
    """With a key of the program's type that the database counts."""

    __tablename__ = "counted"
    id: Mapped[Any] = mapped_column(Coded(), primary_key=True, autoincrement=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[str] = mapped_column(Lower(), primary_key=True)


LINKS = Table(
    "link",
    Base.metadata,
    Column("page", ForeignKey("page.id"), primary_key=True),
    Column("tag", Lower(), ForeignKey("tag.id"), primary_key=True),
)


class Link(Base):
    __table__ = LINKS


class Page(Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[Tag]] = relationship(secondary=LINKS)


@pytest.fixture
def hooks(engine: Engine) -> Iterator[Hooks]:
    Base.metadata.create_all(engine)
    models = [
        track(each, association=name, enabled="enabled")
        for name, (each, *_) in MODELS.items()
    ]
    models += [
        track(PLAIN, association="plain", enabled="enabled"),
        track(SHOWN, association="shown", enabled="enabled"),
        track(ROUNDED, association="rounded", enabled="enabled"),
        track(Link, association="link"),
        track(CODED, association="coded", enabled="enabled"),
        track(LOOSE, association="loose", enabled="enabled"),
        track(Counted, association="counted", enabled="enabled"),
    ]
    with register(*models) as hooks:
        yield hooks


def by_objects(session: Session, cls: Any, one: Any, other: Any) -> None:
    kept, gone = cls(id=one), cls(id=other)
    session.add_all([kept, gone])
    session.commit()
    kept.enabled = False
    session.delete(gone)
    session.commit()


def by_objects_and_a_statement(
    session: Session, cls: Any, one: Any, other: Any
) -> None:
    kept, gone = cls(id=one, enabled=False), cls(id=other)
    session.add_all([kept, gone])
    session.flush()
    session.execute(update(cls).where(cls.id == one).values(enabled=True))
    session.commit()
    kept.enabled = False
    session.delete(gone)
    session.commit()


def by_statements(session: Session, cls: Any, one: Any, other: Any) -> None:
    session.execute(insert(cls), [{"id": one}, {"id": other}])
    session.commit()
    session.execute(update(cls).where(cls.id == one).values(enabled=False))
    session.execute(delete(cls).where(cls.id == other))
    session.commit()


def by_new_keys(session: Session, cls: Any, one: Any, other: Any) -> None:
    kept, gone = cls(id=other), cls(id=one)
    session.add_all([kept, gone])
    session.commit()
    session.delete(gone)
    session.commit()
    kept.id = one
    session.commit()
    session.execute(update(cls).values(enabled=False))
    session.commit()


@pytest.mark.parametrize(
    "change",
    [
        by_objects,
        by_objects_and_a_statement,
        by_statements,
        by_new_keys,
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_one_name_in_all_its_events(
    engine: Engine, hooks: Hooks, name: str, change: Callable[..., None]
) -> None:
    cls, one, other = MODELS[name]
    if engine.dialect.name != "postgresql" and name == "moment":  # keeps no time zone
        one, other = one.replace(tzinfo=None), other.replace(tzinfo=None)

    with Session(engine, expire_on_commit=False) as session:
        change(session, cls, one, other)
    with Session(engine) as session:
        [stored] = session.scalars(select(cls.id))
        [kept] = [key_as_text((stored,))]
        session.execute(delete(cls))
        session.commit()

    lives: dict[str, list[str]] = {}
    for one in recorded(engine):
        lives.setdefault(str(one.subject_id), []).append(str(one.action))
    assert len(lives) == 2
    assert lives.pop(kept)[-2:] == ["disable", "destroy"]
    assert [actions[-1] for actions in lives.values()] == ["destroy"]
    run = Reconciliation(engine=engine, models=hooks.models)
    assert list(run.run()) == []
    assert run.unreadable == 0


@pytest.mark.usefixtures("hooks")
def test_a_row_that_is_not_found_by_what_is_read_of_it_keeps_the_programs_name(
    engine: Engine,
) -> None:
    with Session(engine, expire_on_commit=False) as session:
        row = SHOWN(id=" x")
        session.add(row)
        session.commit()
        row.enabled = False
        session.commit()
        session.delete(row)
        session.commit()
        session.execute(insert(SHOWN).values(id=" y"))
        session.commit()

    assert [(one.subject_id, one.action) for one in recorded(engine)] == [
        (" x", "create"),
        (" x", "disable"),
        (" x", "destroy"),
        (" y", "create"),
    ]


@pytest.mark.usefixtures("hooks")
def test_rows_that_are_not_found_by_the_key_they_were_given_are_warned_of(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [{"id": Decimal("1.25")}, {"id": Decimal("1.006")}]
    with engine.begin() as connection:
        connection.execute(insert(ROUNDED), keys)

    found = [one.subject_id for one in recorded(engine)]
    if engine.dialect.name == "sqlite":  # keeps the digits, and finds it by them
        assert found == ["1.25", "1.006"]
        assert caplog.text == ""
        return
    assert found == ["1.25"]
    assert "1 of the 2 row(s) that were inserted into by_rounded at" in caplog.text


@pytest.mark.usefixtures("hooks")
def test_what_is_asked_for_a_key_lets_the_transaction_see_as_much_as_before(
    engine: Engine,
) -> None:
    """At REPEATABLE READ, MariaDB's first plain SELECT decides what is seen."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time; the others wait for it")
    cls, one, other = MODELS["char"]
    with Session(engine) as session, Session(engine) as another:
        session.add(cls(id=one))
        session.flush()
        another.add(MODELS["numeric"][0](id=1))
        another.commit()

        assert session.scalars(select(MODELS["numeric"][0].id)).all() == [1]
        session.add(cls(id=other))
        session.commit()


@pytest.mark.usefixtures("hooks")
def test_only_a_key_that_may_be_given_back_otherwise_is_asked_for(
    engine: Engine,
) -> None:
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: Any) -> None:
        if args[2].startswith("SELECT"):
            asked.append(args[2])

    with Session(engine) as session:
        session.add(PLAIN(id="ab"))
        session.commit()
        assert asked == []
        session.add(MODELS["variant"][0](id="ab"))
        session.commit()

    # Once by the program's spelling; once more, whether another finds it, too.
    assert len(asked) == (2 if engine.dialect.name == "postgresql" else 1)


@pytest.fixture
def less_isolated(engine: Engine, hooks: Hooks) -> Engine:
    """Return an engine whose statements see what others commit meanwhile."""
    assert hooks.models
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="READ COMMITTED")


def told(engine: Engine) -> list[str]:
    return [f"{one.action} {one.subject_id}" for one in recorded(engine)]


@pytest.mark.parametrize("name", ["lower", "plain"])
def test_a_row_that_a_statement_spells_otherwise_keeps_its_name(
    less_isolated: Engine, name: str
) -> None:
    if name == "plain" and less_isolated.dialect.name != "mariadb":
        pytest.skip("only MariaDB takes AB for ab")
    cls = PLAIN if name == "plain" else MODELS[name][0]
    with Session(less_isolated) as session:
        session.add(cls(id="ab"))
        session.commit()
        session.execute(update(cls).where(cls.id == "AB").values(enabled=False))
        session.commit()
        session.execute(update(cls).where(cls.id.in_(["AB"])).values(enabled=True))
        session.commit()
        session.execute(delete(cls).where(cls.id == "AB"))
        session.commit()

    assert told(less_isolated) == ["create ab", "disable ab", "enable ab", "destroy ab"]


@pytest.mark.parametrize("name", ["lower", "plain"])
def test_a_row_that_comes_meanwhile_keeps_its_name(
    less_isolated: Engine, database: Database, name: str
) -> None:
    kind = less_isolated.dialect.name
    if kind == "sqlite" or (name == "plain" and kind != "mariadb"):
        pytest.skip("nothing comes meanwhile, or none takes AB for ab: see MariaDB")
    cls = PLAIN if name == "plain" else MODELS[name][0]
    other = database.engine()
    with Session(less_isolated) as session:
        session.add(cls(id="ab"))
        session.commit()

    waiting = [cls(id="cd")]

    @event.listens_for(less_isolated, "after_cursor_execute")
    def bring(*args: Any) -> None:
        if waiting and args[2].startswith("SELECT"):
            with Session(other) as session:
                session.add(waiting.pop())
                session.commit()

    with less_isolated.begin() as connection:
        statement = update(cls).where(cls.id.in_(["AB", "CD"]))
        connection.execute(statement.values(enabled=False))
    other.dispose()

    assert sorted(told(less_isolated)) == [
        "create ab",
        "create cd",
        "disable ab",
        "disable cd",
    ]


@pytest.mark.usefixtures("hooks")
def test_rows_of_a_secondary_have_the_reason_of_who_linked_and_parted(
    engine: Engine,
) -> None:
    with Session(engine, expire_on_commit=False) as session:
        page, tag = Page(id=1), Tag(id="A")
        session.add_all([page, tag])
        session.flush()
        with because("linked"):
            page.tags.append(tag)
        session.commit()
        with because("parted"):
            page.tags.remove(tag)
        session.commit()

    assert [(one.subject_id, one.reason) for one in recorded(engine)] == [
        ('[1,"a"]', "linked"),
        ('[1,"a"]', "parted"),
    ]


@pytest.mark.usefixtures("hooks")
def test_keys_that_the_database_counts_are_found_whatever_a_type_makes_of_them(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Counted), [{}, {}])
        connection.execute(text("INSERT INTO counted (enabled) VALUES (true)"))

    assert told(engine) == ["create no 1", "create no 2", "create no 3"]
    assert caplog.text == ""


@pytest.mark.usefixtures("hooks")
def test_sql_text_names_a_decimal_as_its_type_gives_it_back(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(LOOSE).values(id=0.1))
    with engine.begin() as connection:
        connection.execute(text("UPDATE by_loose SET enabled = false"))

    assert told(engine) == ["create 0.1", "disable 0.1"]


@pytest.mark.usefixtures("hooks")
def test_sql_text_may_give_a_key_as_the_database_has_it(engine: Engine) -> None:
    insert_one = "INSERT INTO by_coded (id, enabled) VALUES (:id, true)"
    with engine.begin() as connection:
        connection.execute(text(insert_one), {"id": 1})
        connection.exec_driver_sql(insert_one.replace(":id", "2"))
        connection.execute(text("UPDATE by_coded SET enabled = false WHERE id = 2"))

    assert sorted(told(engine)) == ["create no 1", "create no 2"]


@pytest.mark.usefixtures("hooks")
def test_a_key_that_an_expression_gives_is_named_as_the_column_gives_it_back(
    engine: Engine,
) -> None:
    with Session(engine) as session:
        session.add(CODED(id="no 1"))
        session.commit()
    number = type_coerce(CODED.id, Integer)

    with engine.begin() as connection:
        connection.execute(update(CODED.__table__).values(id=number + 4))

    assert sorted(told(engine)) == ["create no 1", "create no 5", "destroy no 1"]


@pytest.mark.usefixtures("hooks")
def test_what_is_raised_while_we_read_is_the_programs_own_affair(
    engine: Engine,
) -> None:
    class TimeLimitExceededError(Exception):
        """As a worker raises it, by a signal, wherever the program is."""

    @event.listens_for(engine, "before_cursor_execute")
    def limit(*args: Any) -> None:
        if args[2].startswith("SELECT"):
            raise TimeLimitExceededError

    with pytest.raises(TimeLimitExceededError), engine.begin() as connection:
        connection.execute(delete(CODED))


@pytest.mark.parametrize(
    "cure",
    [
        delete(CODED.__table__),
        text("DELETE FROM by_coded"),
        update(CODED.__table__).values(enabled=False),
    ],
    ids=["delete()", "DELETE", "update()"],
)
@pytest.mark.usefixtures("hooks")
def test_a_value_that_its_type_cannot_read_lets_the_statement_run_and_is_warned_of(
    engine: Engine, cure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO by_coded VALUES (13, true)"))
        caplog.clear()
        assert connection.execute(cure).rowcount == 1

    assert told(engine) == []
    assert "may change rows of ByCoded that are not recorded" in caplog.text
    assert "a value of a row cannot be read by its column's type" in caplog.text
    assert "13" not in caplog.messages[-1].partition("column's type")[2]
