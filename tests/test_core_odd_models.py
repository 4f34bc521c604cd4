"""Core statements on odd keys, subclasses and tables of several schemas."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import linked_models
import pytest
from databases import Database
from linked_models import (
    Animal,
    Cat,
    Dog,
    Job,
    Page,
    Pair,
    Task,
    happened,
    stored,
    table,
)
from scripted_gateway import ScriptedGateway
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    column,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import table as light_table
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tracked_models import Installation

from hydro_hooks import because, create_tables, register, track
from hydro_hooks.relay import Relay
from hydro_hooks.testing import recorded

PAIRS = table(Pair)
ANIMALS = table(Animal)
DOGS = table(Dog)
TASKS = table(Task)
PAGES = table(Page)
ROWS = table(Installation)


@pytest.fixture
def odd(engine: Engine) -> Iterator[Session]:
    linked_models.Base.metadata.create_all(engine)
    with register(*linked_models.odd()), Session(engine) as session:
        yield session


def test_composite_and_uuid_keys_that_python_makes(odd: Session) -> None:
    odd.execute(PAIRS.insert(), [{"right": "a"}, {"right": "b"}])
    odd.commit()

    rows = odd.execute(select(PAIRS.c.left, PAIRS.c.right)).all()
    assert len(rows) == 2
    assert happened(odd) == sorted(
        f'pair.create ["{row.left}","{row.right}"]: unattributed' for row in rows
    )


def test_sql_text_may_set_a_part_of_a_key_beside_one_that_wants_quotes(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class Base(DeclarativeBase):
        """Of this test's model."""

    class Ordered(Base):
        __tablename__ = "ordered"
        order: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        the_group: Mapped[int] = mapped_column("the group", primary_key=True)

    Base.metadata.create_all(engine)
    with register(track(Ordered, association="ordered")), engine.begin() as connection:
        connection.execute(insert(Ordered).values(order=1, part=1, the_group=1))
    with register(track(Ordered, association="ordered")), engine.begin() as connection:
        connection.execute(text("UPDATE ordered SET part = 2"))

    assert [f"{one.action} {one.subject_id}" for one in recorded(engine)] == [
        "create [1,1,1]",
        "destroy [1,1,1]",
        "create [1,2,1]",
    ]
    assert caplog.text == ""


def test_composite_and_uuid_keys_are_found_by_any_condition(odd: Session) -> None:
    left = uuid.UUID(int=1)
    stored(odd, Pair(left=left, right="a"), Pair(left=left, right="b"))

    odd.execute(PAIRS.update().where(PAIRS.c.right == "a").values(enabled=False))
    odd.execute(PAIRS.delete().where(PAIRS.c.left == left, PAIRS.c.right == "b"))
    odd.commit()

    assert happened(odd) == [
        f'pair.destroy ["{left}","b"]: unattributed',
        f'pair.disable ["{left}","a"]: unattributed',
    ]


def test_a_part_of_a_composite_key_changed_is_a_destroy_and_a_create(
    odd: Session,
) -> None:
    left = uuid.UUID(int=1)
    stored(odd, Pair(left=left, right="a"))

    odd.execute(PAIRS.update().values(right="z"))
    odd.commit()

    assert happened(odd) == [
        f'pair.create ["{left}","z"]: unattributed',
        f'pair.destroy ["{left}","a"]: unattributed',
    ]


def test_a_soft_delete_by_a_core_statement_is_a_destroy(odd: Session) -> None:
    stored(odd, Page(id=1), Page(id=2, is_deleted=True))

    odd.execute(PAGES.update().values(is_deleted=True))
    odd.execute(
        PAGES.insert(), [{"id": 3, "is_deleted": True}, {"id": 4, "is_deleted": False}]
    )
    odd.commit()

    assert happened(odd) == [
        "page.create 4: unattributed",
        "page.destroy 1: unattributed",
    ]


def test_a_core_statement_on_a_base_table_reaches_its_subclasses(odd: Session) -> None:
    stored(odd, Animal(id=1), Dog(id=2), Cat(id=3))

    odd.execute(ANIMALS.update().where(ANIMALS.c.id > 1).values(enabled=False))
    odd.execute(ANIMALS.delete().where(ANIMALS.c.id == 3))
    odd.commit()

    assert happened(odd) == [
        "animal.destroy 3: unattributed",
        "animal.disable 2: unattributed",
    ]


def test_a_core_statement_on_a_joined_subclass_table_leaves_the_base_row(
    odd: Session,
) -> None:
    """The subject is a row of the tracked base."""
    stored(odd, Dog(id=1, name="Rex"))

    odd.execute(DOGS.update().values(name="Max"))
    odd.execute(DOGS.delete())
    odd.commit()

    assert recorded(odd) == []


def test_a_core_insert_into_the_tables_of_a_joined_subclass_is_one_create(
    odd: Session,
) -> None:
    odd.execute(ANIMALS.insert(), [{"id": 1, "kind": "dog"}])
    odd.execute(DOGS.insert(), [{"id": 1, "name": "Rex"}])
    odd.commit()

    assert happened(odd) == ["animal.create 1: unattributed"]


def test_of_a_tracked_single_table_subclass_only_its_rows_are_subjects(
    odd: Session,
) -> None:
    stored(odd, Task(id=1), Job(id=2), Task(id=3), Job(id=4))

    odd.execute(TASKS.update().where(TASKS.c.id < 3).values(enabled=False))
    odd.execute(TASKS.delete().where(TASKS.c.id > 2))
    odd.execute(TASKS.insert(), [{"id": 5, "kind": "task"}, {"id": 6, "kind": "job"}])
    odd.commit()

    assert happened(odd) == [
        "job.create 6: unattributed",
        "job.destroy 4: unattributed",
        "job.disable 2: unattributed",
    ]


def test_a_changed_kind_is_a_create_or_a_destroy(odd: Session) -> None:
    stored(odd, Task(id=1), Job(id=2))

    with because("promoted"):
        odd.execute(TASKS.update().where(TASKS.c.id == 1).values(kind="job"))
    with because("demoted"):
        odd.execute(TASKS.update().where(TASKS.c.id == 2).values(kind="task"))
    odd.commit()

    assert happened(odd) == ["job.create 1: promoted", "job.destroy 2: demoted"]


def test_a_kind_changed_by_a_bulk_update_is_a_create(odd: Session) -> None:
    stored(odd, Task(id=1))

    odd.execute(update(Task).values(kind="job"))
    odd.commit()

    assert happened(odd) == ["job.create 1: unattributed"]


@pytest.fixture
def elsewhere(
    tracked: Engine, database: Database, tmp_path: Path
) -> Iterator[dict[str | None, str]]:
    """Yield a schema_translate_map to tables like the tracked ones, of their own."""
    name = f"{database.url.database}_other"
    if database.kind == "sqlite":
        name, path = "other", tmp_path / "other.db"

        @event.listens_for(tracked, "connect")
        def attach(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.execute(f"ATTACH DATABASE '{path}' AS other")

        tracked.dispose()
    word = "DATABASE" if database.kind == "mariadb" else "SCHEMA"
    if database.kind != "sqlite":
        with tracked.begin() as connection:
            # One may be left of a run that was killed.
            connection.execute(text(f"DROP {word} IF EXISTS {name}"))
            connection.execute(text(f"CREATE {word} {name}"))
    translated: dict[str | None, str] = {None: name}
    options = {"schema_translate_map": translated}
    with tracked.connect().execution_options(**options) as connection:
        Installation.metadata.create_all(connection)
        connection.commit()
    yield translated
    if database.kind == "mariadb":
        with tracked.begin() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))


def test_statements_on_a_translated_schema_are_recorded(
    session: Session, elsewhere: dict[str | None, str]
) -> None:
    options = {"schema_translate_map": elsewhere}
    stored(session, Installation(id=1))

    session.execute(ROWS.insert(), [{"id": 1}, {"id": 2}], execution_options=options)
    session.commit()
    with because("swept"):
        session.execute(
            update(Installation).where(Installation.id > 1).values(enabled=False),
            execution_options=options | {"synchronize_session": False},
        )
        session.execute(ROWS.delete(), execution_options=options)
    session.commit()

    assert happened(session) == [
        "installation.create 1: unattributed",
        "installation.create 2: unattributed",
        "installation.destroy 1: swept",
        "installation.destroy 2: swept",
    ]


def test_a_schema_whose_table_is_nowhere_else_is_followed(
    tracked: Engine, elsewhere: dict[str | None, str]
) -> None:
    with tracked.begin() as connection:
        for name in ("subscription", "installation"):
            connection.execute(text(f"DROP TABLE {name}"))
    options = {"schema_translate_map": elsewhere}

    with tracked.connect().execution_options(**options) as connection:
        connection.execute(ROWS.insert().values(id=1))
        connection.execute(ROWS.update().values(is_enabled=False))
        connection.commit()
        with Session(connection) as session:
            session.delete(session.get_one(Installation, 1))
            session.commit()

    assert [one.type for one in recorded(tracked)] == [
        "installation.create",
        "installation.destroy",
    ]


def test_one_key_in_two_schemas_is_two_subjects(
    session: Session, elsewhere: dict[str | None, str]
) -> None:
    options = {"schema_translate_map": elsewhere}
    stored(session, Installation(id=1))
    session.execute(
        insert(Installation).values(id=1, jira_host="https://other.net"),
        execution_options=options,
    )
    stored(session)

    with because("here"):
        session.execute(ROWS.delete())
    with because("there"):
        session.execute(
            ROWS.update().values(is_enabled=False), None, execution_options=options
        )
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: here",
        "installation.disable 1: there",
    ]


def test_an_engine_on_a_translated_schema_is_recorded_in_the_one_outbox(
    session: Session, elsewhere: dict[str | None, str]
) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    tenant = engine.execution_options(schema_translate_map=elsewhere)

    with Session(tenant) as other:
        other.add(Installation(id=5))
        other.commit()
        other.execute(update(Installation).values(enabled=False))
        other.commit()

    assert happened(session) == [
        "installation.create 5: unattributed",
        "installation.disable 5: unattributed",
    ]


def test_our_tables_are_where_an_engine_connects_whatever_it_translates(
    session: Session, elsewhere: dict[str | None, str]
) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    tenant = engine.execution_options(schema_translate_map=elsewhere)

    create_tables(tenant)
    with Session(tenant) as other:
        other.add(Installation(id=5))
        other.commit()
        told = [one.type for one in recorded(other)]

    assert told == ["installation.create"]
    assert not inspect(engine).has_table("hydro_outbox", schema=elsewhere[None])
    with ScriptedGateway() as gateway:
        assert Relay(tenant, gateway.settings()).drain().delivered == 1


@pytest.mark.parametrize(
    "name", ["ticket_numbers", 'public."Ticket Numbers"', "public.ticket_numbers"]
)
def test_keys_of_a_sequence_that_the_table_does_not_own_are_found(
    engine: Engine, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has sequences")

    class Base(DeclarativeBase):
        """Of this test's model."""

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(
            primary_key=True, server_default=text(f"nextval('{name}'::regclass)")
        )
        title: Mapped[str]

    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS ticket"))
        connection.execute(text(f"DROP SEQUENCE IF EXISTS {name}"))  # an earlier test's
        connection.execute(text(f"CREATE SEQUENCE {name}"))
    Base.metadata.create_all(engine)
    with register(track(Ticket, association="ticket")), engine.begin() as connection:
        connection.execute(insert(Ticket), [{"title": "a"}, {"title": "b"}])
        connection.execute(text("INSERT INTO ticket (title) VALUES ('c')"))

    assert [one.subject_id for one in recorded(engine)] == ["1", "2", "3"]
    assert caplog.text == ""


def _reflected(odd: Session) -> Table:
    return Table("page", MetaData(), autoload_with=odd.connection())


NAMESAKES = pytest.mark.parametrize(
    "namesake",
    [
        lambda _: light_table("page", column("id"), column("is_deleted")),
        _reflected,
        lambda _: Table(
            "page",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("is_deleted", Boolean),
        ),
    ],
    ids=["light", "reflected", "another"],
)


@NAMESAKES
def test_the_table_by_another_object_is_the_same_table(
    odd: Session, namesake: Callable[[Session], Any]
) -> None:
    stored(odd, Page(id=1), Page(id=2), Page(id=3))
    pages = namesake(odd)
    odd.commit()

    rows = [{"id": key, "is_deleted": False} for key in (4, 5)]
    odd.execute(pages.insert().values(rows[0]))
    odd.execute(pages.insert(), rows[1:])
    odd.execute(pages.update().where(pages.c.id == 1).values(is_deleted=True))
    odd.execute(pages.delete().where(pages.c.id.in_([2])))
    odd.commit()

    assert happened(odd) == [
        "page.create 4: unattributed",
        "page.create 5: unattributed",
        "page.destroy 1: unattributed",
        "page.destroy 2: unattributed",
    ]


def test_an_insert_of_many_by_another_object_creates_each(odd: Session) -> None:
    pages = light_table("page", column("id"), column("is_deleted"))
    rows = [{"id": key, "is_deleted": False} for key in range(1, 2_501)]

    result = odd.execute(pages.insert().returning(pages.c.id), rows)
    assert len(result.all()) == 2_500
    odd.commit()

    assert len(happened(odd)) == 2_500


def test_an_alias_of_the_table_is_the_same_table(odd: Session) -> None:
    stored(odd, Page(id=1), Page(id=2))

    pages = PAGES.alias()
    odd.execute(pages_update(pages).where(pages.c.id == 1))
    odd.commit()

    assert happened(odd) == ["page.destroy 1: unattributed"]


def pages_update(pages: Any) -> Any:
    return update(pages).values(is_deleted=True)


def test_a_table_of_the_same_name_elsewhere_is_another(
    odd: Session, caplog: pytest.LogCaptureFixture
) -> None:
    if odd.get_bind().dialect.name != "sqlite":
        pytest.skip("a second schema without ado: SQLite")
    odd.execute(text("ATTACH DATABASE ':memory:' AS archive"))
    odd.execute(text("CREATE TABLE archive.page (id INTEGER PRIMARY KEY, x INTEGER)"))

    archived = Table("page", MetaData(), Column("id", Integer), schema="archive")
    odd.execute(archived.insert().values(id=1))
    odd.commit()

    assert happened(odd) == []
    assert caplog.messages == []


def test_a_uuid_key_by_another_object_is_followed(odd: Session) -> None:
    pairs = Table(
        "pair",
        MetaData(),
        Column("left", Uuid, primary_key=True),
        Column("right", String(20), primary_key=True),
        Column("enabled", Boolean),
    )
    left = uuid.UUID(int=1)

    odd.execute(pairs.insert().values(left=left, right="a", enabled=True))
    odd.execute(pairs.insert().values(left=left, right="b", enabled=True))
    odd.execute(pairs.delete().where(pairs.c.left == left, pairs.c.right == "b"))
    odd.commit()

    assert happened(odd) == [f'pair.create ["{left}","a"]: unattributed']
