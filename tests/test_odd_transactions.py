"""Transactions as programs really have them: what is committed counts, however."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import Database, skip_without_two_phases
from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import Column
from tracked_models import Base, Installation, Subscription, mappings

from hydro_hooks import create_tables, register
from hydro_hooks.testing import recorded

TABLE = Base.metadata.tables["installation"]

Disable = Callable[[Session, int], None]


def bulk(session: Session, key: int) -> None:
    statement = update(Installation).where(Installation.id == key)
    session.execute(statement.values(enabled=False))


def core(session: Session, key: int) -> None:
    statement = update(TABLE).where(TABLE.c.id == key).values(is_enabled=False)
    session.connection().execute(statement)


def raw(session: Session, key: int) -> None:
    statement = text("UPDATE installation SET is_enabled = false WHERE id = :key")
    session.connection().execute(statement, {"key": key})


def flush(session: Session, key: int) -> None:
    session.get_one(Installation, key).enabled = False
    session.flush()


by_statement = pytest.mark.parametrize("disable", [bulk, core, raw])
by_any_way = pytest.mark.parametrize("disable", [bulk, core, raw, flush])


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def happened(bind: Engine | Connection | Session) -> list[str]:
    """Return what is in the outbox, as in `installation.disable 1`."""
    return sorted(f"{event.type} {event.subject_id}" for event in recorded(bind))


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


@by_statement
def test_a_statement_in_a_rolled_back_savepoint_does_not_count(
    session: Session, disable: Disable
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    disable(session, 1)
    with session.begin_nested() as savepoint:
        disable(session, 2)
        savepoint.rollback()
    disable(session, 3)
    session.commit()

    assert happened(session) == ["installation.disable 1", "installation.disable 3"]


@by_statement
def test_a_statement_in_a_released_savepoint_goes_with_what_surrounds_it(
    session: Session, disable: Disable
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    with session.begin_nested():
        disable(session, 1)
    with session.begin_nested() as outer:
        with session.begin_nested():
            disable(session, 2)
        disable(session, 3)
        outer.rollback()
    session.commit()

    assert happened(session) == ["installation.disable 1"]


@by_statement
def test_a_statement_behind_a_savepoint_set_by_hand_is_rolled_back_with_it(
    session: Session, disable: Disable
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    connection = session.connection()
    disable(session, 1)
    connection.exec_driver_sql("SAVEPOINT mine")
    disable(session, 2)
    connection.execute(text("ROLLBACK TO SAVEPOINT mine"))
    disable(session, 3)
    connection.exec_driver_sql("RELEASE SAVEPOINT mine")
    session.commit()

    assert happened(session) == ["installation.disable 1", "installation.disable 3"]


def test_a_row_that_came_back_with_a_savepoint_can_be_changed_again(
    session: Session,
) -> None:
    stored(session, Installation(id=1))

    with session.begin_nested() as savepoint:
        session.execute(delete(Installation))
        savepoint.rollback()
    bulk(session, 1)
    session.commit()

    assert happened(session) == ["installation.disable 1"]


def test_two_phase_commit_records_statements_at_the_prepare(tracked: Engine) -> None:
    skip_without_two_phases(tracked)
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))

    with tracked.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(delete(TABLE).where(TABLE.c.id == 1))
        transaction.prepare()
        transaction.commit()
        transaction = connection.begin_twophase()
        connection.execute(delete(TABLE).where(TABLE.c.id == 2))
        transaction.rollback()

    assert happened(tracked) == ["installation.destroy 1"]


@pytest.fixture(params=["engine made so", "engine option", "connection option"])
def autocommitting(
    request: pytest.FixtureRequest, tracked: Engine
) -> Iterator[Session]:
    """Yield a session whose statements are each committed at once."""
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))
    # An engine of its own: `tracked` says BEGIN on SQLite, which no option undoes.
    isolation: Any = {"isolation_level": "AUTOCOMMIT"}
    made_so = request.param == "engine made so"
    engine = create_engine(tracked.url, **(isolation if made_so else {}))
    bind = engine.execution_options(**isolation) if "eng" in request.param else engine
    with bind.connect() as connection:
        if request.param == "connection option":
            connection.execution_options(**isolation)
        with Session(connection) as session:
            yield session
    engine.dispose()


@by_any_way
def test_in_autocommit_an_event_is_there_right_after_its_statement(
    autocommitting: Session, tracked: Engine, disable: Disable
) -> None:
    disable(autocommitting, 1)

    assert happened(tracked) == ["installation.disable 1"]


def test_in_autocommit_a_rollback_takes_nothing_back(
    autocommitting: Session, tracked: Engine
) -> None:
    bulk(autocommitting, 1)
    autocommitting.rollback()
    autocommitting.execute(delete(Installation).where(Installation.id == 2))
    autocommitting.commit()

    assert happened(tracked) == ["installation.destroy 2", "installation.disable 1"]


def test_in_autocommit_each_change_of_a_row_is_an_event_of_its_own(
    autocommitting: Session, tracked: Engine
) -> None:
    row = Installation(id=3)
    autocommitting.add(row)
    autocommitting.flush()
    row.enabled = False
    autocommitting.flush()
    autocommitting.execute(delete(Installation).where(Installation.id == 3))

    assert [one.type.partition(".")[2] for one in recorded(tracked)] == [
        "create",
        "disable",
        "destroy",
    ]


@pytest.fixture
def second(database: Database, engine: Engine) -> Iterator[Engine]:
    """Yield an engine on a second database, with tables of its own."""
    if database.kind == "sqlite":
        url = engine.url.set(database=f"{engine.url.database}.second")
        other = Database(kind=database.kind, url=url).engine()
        yield from _with_tables(other)
        return
    name = f"{engine.url.database}_second"
    admin = create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield from _with_tables(create_engine(engine.url.set(database=name)))
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))


def _with_tables(engine: Engine) -> Iterator[Engine]:
    create_tables(engine)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_session_over_two_databases_records_in_each_what_changed_there(
    tracked: Engine, second: Engine
) -> None:
    binds: dict[Any, Any] = {Installation: tracked, Subscription: second}
    with Session(binds=binds) as session:
        session.add_all([Installation(id=1), Installation(id=2), Subscription(id=1)])
        session.commit()
        for engine in (tracked, second):
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM hydro_outbox"))

        session.execute(delete(Subscription))
        session.execute(update(Installation).values(enabled=False))
        session.add(Subscription(id=2))
        session.commit()

    assert happened(tracked) == ["installation.disable 1", "installation.disable 2"]
    assert happened(second) == ["subscription.create 2", "subscription.destroy 1"]


@by_statement
def test_a_statement_joined_into_an_outer_transaction_waits_for_its_commit(
    tracked: Engine, disable: Disable
) -> None:
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))

    with tracked.connect() as connection:
        outer = connection.begin()
        connection.execute(delete(TABLE).where(TABLE.c.id == 2))
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            disable(session, 1)
            session.commit()
        before = happened(connection)
        outer.commit()

    assert before == []
    assert happened(tracked) == ["installation.destroy 2", "installation.disable 1"]


@pytest.mark.parametrize("leave", ["close", "invalidate"])
@by_statement
def test_the_next_user_of_a_connection_left_open_records_only_its_own(
    tracked: Engine, database: Database, disable: Disable, leave: str
) -> None:
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))
    engine = database.engine(pool_size=1, max_overflow=0)
    left = Session(engine)

    disable(left, 1)
    getattr(left, leave)()
    with Session(engine) as session:
        disable(session, 2)
        session.commit()
    engine.dispose()

    assert happened(tracked) == ["installation.disable 2"]


@by_statement
def test_a_statement_in_before_commit_counts(
    session: Session, disable: Disable
) -> None:
    stored(session, Installation(id=1), Installation(id=2))

    @event.listens_for(session, "before_commit")
    def disable_more(session: Session) -> None:
        disable(session, 2)

    session.get_one(Installation, 1).enabled = False
    session.commit()

    assert happened(session) == ["installation.disable 1", "installation.disable 2"]


@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
def test_a_statement_in_a_commit_listener_of_the_program_counts(
    engine: Engine, listen: Callable[[Any, str, Any], None], *, first: bool
) -> None:
    Base.metadata.create_all(engine)
    is_armed = threading.Event()

    def disable_more(connection: Connection) -> None:
        if is_armed.is_set():
            statement = update(TABLE).where(TABLE.c.id == 2)
            connection.execute(statement.values(is_enabled=False))

    # Listeners of the class run before those of an engine, in the order they came.
    if first:
        listen(Engine, "commit", disable_more)
    with register(*mappings()), Session(engine) as session:
        stored(session, Installation(id=1), Installation(id=2))
        if not first:
            listen(engine, "commit", disable_more)

        is_armed.set()
        session.get_one(Installation, 1).enabled = False
        session.commit()
        is_armed.clear()

    assert happened(engine) == ["installation.disable 1", "installation.disable 2"]


IMPLICIT = [
    "CREATE TABLE made (id INTEGER)",
    "/* migration */ ALTER TABLE untracked ADD COLUMN made INTEGER",
    "TRUNCATE TABLE untracked",
    "START TRANSACTION",
]


@pytest.mark.parametrize("implicit", IMPLICIT)
@pytest.mark.parametrize("way", ["flush", "core", "raw"])
def test_what_mariadb_commits_by_itself_is_recorded_and_what_follows_is_not(
    session: Session, way: str, implicit: str
) -> None:
    if session.get_bind().dialect.name != "mariadb":
        pytest.skip("only MariaDB commits in the middle of a transaction")
    rows = [Installation(id=1), Installation(id=2)]
    stored(session, *rows)

    for row in rows:
        if way == "flush":
            session.delete(row)
            session.flush()
        elif way == "core":
            session.connection().execute(delete(TABLE).where(TABLE.c.id == row.id))
        else:
            remove = "DELETE FROM installation WHERE id = %s"
            session.connection().exec_driver_sql(remove, (row.id,))
        if row is rows[0]:
            session.connection().exec_driver_sql(implicit)
    session.rollback()

    assert session.scalars(select(Installation.id)).all() == [2]
    assert happened(session) == ["installation.destroy 1"]


def test_what_mariadb_commits_at_a_core_ddl_is_recorded_once(tracked: Engine) -> None:
    if tracked.dialect.name != "mariadb":
        pytest.skip("only MariaDB commits in the middle of a transaction")
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))

    with tracked.connect() as connection:
        connection.execute(delete(TABLE).where(TABLE.c.id == 1))
        Table("made", MetaData(), Column("id", Integer)).create(connection)
        connection.execute(delete(TABLE).where(TABLE.c.id == 2))
        connection.commit()

    assert happened(tracked) == ["installation.destroy 1", "installation.destroy 2"]
    assert len({event.transaction_id for event in recorded(tracked)}) == 2


def test_what_mariadb_commits_at_lock_tables_is_recorded(tracked: Engine) -> None:
    if tracked.dialect.name != "mariadb":
        pytest.skip("only MariaDB commits in the middle of a transaction")
    with Session(tracked) as session:
        stored(session, Installation(id=1))

    with tracked.connect() as connection:
        connection.execute(delete(TABLE))
        connection.exec_driver_sql("LOCK TABLES untracked WRITE")
        connection.rollback()
        connection.exec_driver_sql("UNLOCK TABLES")

    assert happened(tracked) == ["installation.destroy 1"]


def test_a_temporary_table_commits_nothing(session: Session) -> None:
    stored(session, Installation(id=1))

    session.execute(delete(Installation))
    session.execute(text("CREATE TEMPORARY TABLE made (id INTEGER)"))
    session.rollback()

    assert session.scalar(select(func.count()).select_from(Installation)) == 1
    assert happened(session) == []


@pytest.mark.parametrize("commit", ["COMMIT", "commit;", "/* now */ COMMIT"])
def test_commit_as_text_records_what_came_before_it_and_no_more(
    tracked: Engine, commit: str
) -> None:
    with Session(tracked) as session:
        stored(session, *(Installation(id=key) for key in (1, 2, 3)))
    # The driver begins transactions here, also after a COMMIT it does not know of.
    engine = create_engine(tracked.url)
    with Session(engine) as session:
        session.execute(delete(Installation).where(Installation.id == 1))
        session.flush()
        session.connection().exec_driver_sql(commit)
        session.execute(delete(Installation).where(Installation.id == 2))
        session.rollback()
        bulk(session, 3)
        session.commit()

        assert session.scalars(select(Installation.id)).all() == [2, 3]
    engine.dispose()

    assert happened(tracked) == ["installation.destroy 1", "installation.disable 3"]
