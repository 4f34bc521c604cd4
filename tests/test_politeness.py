"""The program notices nothing: results, flushes, locks and errors stay as they were."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from databases import Database, begin_explicitly
from sqlalchemy import (
    Engine,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, defer
from sqlalchemy.pool import QueuePool
from tracked_models import (
    Account,
    Base,
    Installation,
    Subscription,
    Untracked,
    mappings,
)

from hydro_hooks import RecordingError, register
from hydro_hooks.testing import recorded

TABLE = Base.metadata.tables["installation"]
DISABLE = update(Installation).values(enabled=False)
ROWS = [{"id": 11, "host": "h"}, {"id": 12, "host": "h"}]
OBJECTS: list[dict[str, Any]] = [{"id": 11}, {"id": 12, "enabled": False}]


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def happened(bind: Engine | Session) -> list[str]:
    """Return what is in the outbox, as in `installation.disable 1`."""
    return sorted(f"{event.type} {event.subject_id}" for event in recorded(bind))


def with_and_without_us(engine: Engine, program: Callable[[Engine], Any]) -> list[Any]:
    """Return what a program gives with hydro_hooks, and without, on the same rows."""
    outcomes = []
    Base.metadata.create_all(engine)
    for hooks in (register(*mappings()), contextlib.nullcontext()):
        with hooks:
            fill(engine)
            engine.clear_compiled_cache()  # some warnings come with the compilation
            outcomes.append(program(engine))
    return outcomes


def fill(engine: Engine) -> None:
    """Make the tables what they are at the start, next keys included."""
    next_key = {
        "postgresql": "ALTER SEQUENCE installation_id_seq RESTART WITH 50",
        "mariadb": "ALTER TABLE installation AUTO_INCREMENT = 50",
    }.get(engine.dialect.name)
    with Session(engine) as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))
        session.commit()
        if next_key:
            session.execute(text(next_key))
        stored(session, Account(id=1))
        rows = [Installation(id=key, account_id=1) for key in (1, 2, 3)]
        stored(session, *rows, Subscription(id=1), Untracked(id=1))


def upserted(session: Session) -> Any:
    dialect = session.get_bind().dialect.name
    if dialect == "mariadb":
        ours = mysql.insert(TABLE).values(id=2, host="h", is_enabled=True)
        return session.execute(ours.on_duplicate_key_update(is_enabled=False))
    made: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect]
    theirs = made.insert(TABLE).values(id=2, host="h", is_enabled=True)
    changed = {"is_enabled": False}
    return session.execute(theirs.on_conflict_do_update(["id"], set_=changed))


BY_KEY = update(TABLE).where(TABLE.c.id == bindparam("key")).values(is_enabled=False)
COPIED = insert(TABLE).from_select(
    ["id", "host"], select(TABLE.c.id + 20, literal("copied"))
)
SUBQUERY = select(func.max(Installation.id)).scalar_subquery()

Statement = Callable[[Session], Any]
STATEMENTS: dict[str, Statement] = {
    "update": lambda s: s.execute(DISABLE),
    "update of one": lambda s: s.execute(DISABLE.where(Installation.id == 2)),
    "update of none": lambda s: s.execute(DISABLE.where(Installation.id == 99)),
    "update of what is so": lambda s: s.execute(
        update(Installation).values(enabled=True)
    ),
    "update without synchronizing": lambda s: s.execute(
        DISABLE, execution_options={"synchronize_session": False}
    ),
    "update fetching": lambda s: s.execute(
        DISABLE, execution_options={"synchronize_session": "fetch"}
    ),
    "update by key": lambda s: s.execute(
        update(Installation), [{"id": 1, "enabled": False}, {"id": 2, "enabled": True}]
    ),
    "update returning": lambda s: s.execute(DISABLE.returning(Installation.id)),
    "update returning objects": lambda s: s.scalars(DISABLE.returning(Installation)),
    "update of many": lambda s: s.execute(BY_KEY, [{"key": 1}, {"key": 99}]),
    "update of a table": lambda s: s.execute(update(TABLE).values(is_enabled=False)),
    "update over a subquery": lambda s: s.execute(
        DISABLE.where(Installation.id.in_(select(Subscription.id)))
    ),
    "update from another table": lambda s: s.execute(
        DISABLE.where(Installation.account_id == Account.id),
        execution_options={"synchronize_session": False},
    ),
    "legacy update": lambda s: s.query(Installation).update({"enabled": False}),
    "delete": lambda s: s.execute(delete(Installation)),
    "delete returning": lambda s: s.execute(
        delete(Installation).returning(Installation.id)
    ),
    "delete in a CTE": lambda s: s.execute(
        select(delete(TABLE).returning(TABLE.c.id).cte("gone"))
    ),
    "legacy delete": lambda s: s.query(Installation).filter_by(id=1).delete(),
    "insert": lambda s: s.execute(insert(Installation).values(id=11)),
    "insert giving a key": lambda s: s.execute(insert(TABLE).values(host="h")),
    "insert of many": lambda s: s.execute(insert(Installation), OBJECTS),
    "insert of many returning": lambda s: s.scalars(
        insert(Installation).returning(Installation), OBJECTS
    ),
    "insert of many sorted": lambda s: s.execute(
        insert(TABLE).returning(TABLE.c.id, sort_by_parameter_order=True), ROWS
    ),
    "insert of several": lambda s: s.execute(insert(TABLE).values(ROWS)),
    "insert from select": lambda s: s.execute(COPIED),
    "insert of a subquery": lambda s: s.execute(
        insert(TABLE).values(id=SUBQUERY + 1, host="h")
    ),
    "insert on a connection": lambda s: s.connection().execute(insert(TABLE), ROWS),
    "insert on a connection giving a key": lambda s: s.connection().execute(
        insert(TABLE).values(host="h")
    ),
    "insert that fails": lambda s: s.execute(insert(TABLE).values(id=1, host="h")),
    "insert of many that fails": lambda s: s.execute(insert(TABLE), [*ROWS, *ROWS]),
    "bulk_save_objects": lambda s: s.bulk_save_objects([Installation(id=11)]),
    "bulk_save_objects giving keys": lambda s: s.bulk_save_objects(
        [Installation()], return_defaults=True
    ),
    "bulk_update_mappings": lambda s: s.bulk_update_mappings(
        inspect(Installation), [{"id": 1, "enabled": False}]
    ),
    "upsert": upserted,
    "text": lambda s: s.execute(
        text("UPDATE installation SET is_enabled = false WHERE id > :key"), {"key": 1}
    ),
    "text of many": lambda s: s.execute(
        text("DELETE FROM installation WHERE id = :key"), [{"key": 1}, {"key": 2}]
    ),
    "text with columns": lambda s: s.execute(
        text("DELETE FROM installation RETURNING id").columns(TABLE.c.id)
    ),
    "driver's SQL": lambda s: s.connection().exec_driver_sql(
        "DELETE FROM installation WHERE id = 2"
    ),
    "driver's SQL that fails": lambda s: s.connection().exec_driver_sql(
        "UPDATE installation SET nothing_here = 1"
    ),
}


def told_of(result: Any) -> list[object]:
    """Return all that a program can ask a result."""
    told: list[object] = [type(result)]
    if isinstance(result, int) or result is None:
        return [*told, result]
    for name in ("rowcount", "returns_rows", "inserted_primary_key_rows"):
        try:
            told.append(getattr(result, name))
        except Exception as error:
            told.append(type(error))
    if getattr(result, "returns_rows", True):
        told.append([getattr(row, "id", row) for row in result.all()])
    return told


@pytest.mark.parametrize("run", STATEMENTS.values(), ids=STATEMENTS)
def test_results_and_errors_are_as_without_us(engine: Engine, run: Statement) -> None:
    def program(engine: Engine) -> list[object]:
        with Session(engine) as session:
            try:
                told = told_of(run(session))
            except Exception as error:
                statement = getattr(error, "statement", None)
                told = [type(error), statement, getattr(error, "params", None)]
                session.rollback()
            session.commit()
            rows = session.execute(select(TABLE).order_by(TABLE.c.id)).all()
            return [*told, rows]

    ours, plain = with_and_without_us(engine, program)

    assert ours == plain


class Watcher:
    """Listens as a program may: what it sees of statements, in their order."""

    def __init__(self, engine: Engine) -> None:
        self.sent: list[tuple[str, str, bool]] = []
        self.asked: list[str] = []
        event.listen(engine, "before_cursor_execute", self._send)

    def _send(
        self, _c: object, _r: object, sql: str, values: Any, _x: object, many: Any
    ) -> None:
        self.sent.append((sql, repr(values), many))

    def watch(self, session: Session) -> None:
        event.listen(session, "do_orm_execute", self._ask)

    def _ask(self, state: Any) -> None:
        self.asked.append(type(state.statement).__name__)


def test_listeners_of_the_program_see_its_statements_unchanged_and_in_order(
    engine: Engine,
) -> None:
    def program(engine: Engine) -> Watcher:
        watcher = Watcher(engine)
        with Session(engine) as session:
            watcher.watch(session)
            session.execute(DISABLE.where(Installation.id == 1))
            session.get_one(Installation, 2).enabled = False
            session.flush()
            session.execute(insert(Installation), OBJECTS)
            session.connection().execute(delete(TABLE).where(TABLE.c.id == 3))
            session.commit()
        return watcher

    ours, plain = with_and_without_us(engine, program)

    seen = iter(ours.sent)
    assert all(statement in seen for statement in plain.sent)
    assert ours.asked == plain.asked


FLUSHING: dict[str, Statement] = {
    "select of a table": lambda s: s.execute(select(Untracked.__table__)),
    "text": lambda s: s.execute(text("SELECT 1")),
    "update as text": lambda s: s.execute(text("UPDATE untracked SET text = 'x'")),
    "raw update": lambda s: s.execute(
        text("UPDATE installation SET is_enabled = false")
    ),
    "update of a table": lambda s: s.execute(update(TABLE).values(is_enabled=False)),
    "bulk update": lambda s: s.execute(DISABLE),
    "bulk insert": lambda s: s.execute(insert(Installation), OBJECTS),
    "bulk delete": lambda s: s.execute(delete(Installation)),
    "update on a connection": lambda s: s.connection().execute(
        update(TABLE).values(is_enabled=False)
    ),
    "commit of a savepoint": lambda s: s.begin_nested().commit(),
}


@pytest.mark.parametrize("autoflush", [True, False], ids=["autoflush", "no autoflush"])
@pytest.mark.parametrize("run", FLUSHING.values(), ids=FLUSHING)
def test_pending_objects_are_flushed_when_they_are_without_us(
    engine: Engine, run: Statement, *, autoflush: bool
) -> None:
    def program(engine: Engine) -> list[bool]:
        with Session(engine, autoflush=autoflush) as session:
            row = session.get_one(Installation, 1)
            added = Subscription(id=77)
            session.add(added)
            row.secret = "set"
            run(session)
            return [added in session.new, session.is_modified(row)]

    ours, plain = with_and_without_us(engine, program)

    assert ours == plain


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_what_was_not_loaded_or_expired_stays_so(
    engine: Engine, synchronize: Any
) -> None:
    def program(engine: Engine) -> list[object]:
        with Session(engine) as session:
            options = [defer(Installation.secret), defer(Installation.enabled)]
            one = session.get_one(Installation, 1, options=options)
            two = session.get_one(Installation, 2)
            session.expire(two, ["jira_host", "enabled"])
            one.enabled = two.enabled = False
            session.flush()
            told: list[object] = [inspect(one).unloaded, inspect(two).unloaded]
            session.execute(
                update(Installation).values(enabled=True),
                execution_options={"synchronize_session": synchronize},
            )
            states = [inspect(one), inspect(two)]
            told.extend((state.unloaded, state.expired_attributes) for state in states)
            return [*told, one in session, len(session.identity_map)]

    ours, plain = with_and_without_us(engine, program)

    assert ours == plain


def test_the_program_is_warned_as_often_as_without_us(engine: Engine) -> None:
    def program(engine: Engine) -> list[str]:
        with warnings.catch_warnings(record=True) as caught, Session(engine) as session:
            warnings.simplefilter("always")
            gone = session.get_one(Installation, 1)
            session.connection().execute(delete(TABLE).where(TABLE.c.id == 1))
            session.delete(gone)
            session.flush()
            wide = DISABLE.where(Account.id == 1)  # no condition between the two
            session.execute(wide, execution_options={"synchronize_session": False})
            session.commit()
            return [str(warning.message).partition(".")[0] for warning in caught]

    ours, plain = with_and_without_us(engine, program)

    assert ours == plain


def test_one_connection_is_enough_and_goes_back_clean(
    tracked: Engine, database: Database
) -> None:
    engine = database.engine(
        poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=1
    )
    with Session(engine) as session:
        stored(session, Installation(id=1), Installation(id=2))
        session.execute(DISABLE.where(Installation.id == 1))
        session.get_one(Installation, 2).enabled = False
        session.commit()
        session.execute(delete(TABLE))
        session.rollback()
    assert isinstance(engine.pool, QueuePool)
    out = engine.pool.checkedout()
    borrowed = engine.raw_connection()
    driver: Any = borrowed.dbapi_connection
    if database.kind == "sqlite":
        is_left_open = driver.in_transaction
    elif database.kind == "postgresql":
        is_left_open = driver.info.transaction_status != 0
    else:
        is_left_open = bool(driver.server_status & 1)
    borrowed.close()
    engine.dispose()

    assert (out, is_left_open) == (0, False)
    assert happened(tracked) == ["installation.disable 1", "installation.disable 2"]


@pytest.mark.parametrize("name", ["update", "text"])
def test_rows_that_are_being_read_can_be_read_on(session: Session, name: str) -> None:
    if session.get_bind().dialect.name == "mariadb":
        pytest.skip("PyMySQL reads one result at a time, without us too")
    stored(session, *(Installation(id=key) for key in range(1, 8)))

    statement = select(TABLE.c.id).order_by(TABLE.c.id)
    rows = session.execute(statement, execution_options={"yield_per": 2})
    first = rows.fetchone()
    STATEMENTS[name](session)
    others = rows.scalars().all()
    session.commit()

    assert (first, others) == ((1,), [2, 3, 4, 5, 6, 7])
    assert len(recorded(session)) == {"update": 7, "text": 6}[name]


def flushed(session: Session) -> None:
    session.get_one(Installation, 1).enabled = False
    session.flush()


CHANGES: dict[str, Statement] = {
    "flush": flushed,
    "bulk": lambda s: s.execute(DISABLE.where(Installation.id == 1)),
    "core": lambda s: s.connection().execute(BY_KEY, {"key": 1}),
}
by_each_change = pytest.mark.parametrize("run", CHANGES.values(), ids=CHANGES)


@by_each_change
def test_who_refers_to_a_row_that_is_being_disabled_need_not_wait(
    session: Session, tracked: Engine, run: Statement
) -> None:
    if tracked.dialect.name != "postgresql":
        pytest.skip("elsewhere the UPDATE alone makes others wait")
    stored(session, Installation(id=1))

    run(session)
    with Session(tracked) as other:
        other.execute(text("SET lock_timeout = '1s'"))
        other.execute(insert(Subscription).values(id=1, installation_id=1))
        other.commit()
    session.commit()

    assert happened(session) == ["installation.disable 1", "subscription.create 1"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_rows_that_a_statement_only_reads_are_locked_no_more_than_by_it_alone(
    tracked: Engine, isolation: Any
) -> None:
    if tracked.dialect.name == "sqlite":
        pytest.skip("SQLite locks no rows")
    engine = tracked.execution_options(isolation_level=isolation)
    # MariaDB's UPDATE shares a lock on them with others, PostgreSQL's takes none.
    is_shared = tracked.dialect.name == "mariadb"
    with Session(engine) as session, tracked.connect() as other:
        stored(session, Account(id=1))
        stored(session, Installation(id=1, account_id=1))

        session.execute(
            DISABLE.where(Installation.account_id == Account.id),
            execution_options={"synchronize_session": False},
        )
        other.execute(select(Account.id).with_for_update(nowait=True, read=is_shared))
        other.rollback()
        session.commit()

        assert happened(session) == ["installation.disable 1"]


@pytest.mark.parametrize("begin", ["explicit BEGIN", "the driver's BEGIN"])
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
@pytest.mark.parametrize("name", ["update of one", "update of many", "text"])
def test_on_sqlite_a_first_statement_waits_for_another_writer_as_it_would_alone(
    tracked: Engine, name: str, mode: str, begin: str
) -> None:
    if tracked.dialect.name != "sqlite":
        pytest.skip("about SQLite's one lock for writers")
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))
    other = sqlite3.connect(
        str(tracked.url.database), isolation_level=None, check_same_thread=False
    )
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE installation SET secret = 'theirs'")
    engine = tracked if begin == "explicit BEGIN" else create_engine(tracked.url)

    timer = threading.Timer(0.3, other.execute, ["COMMIT"])
    timer.start()
    with Session(engine) as session:
        STATEMENTS[name](session)
        session.commit()
    timer.join()
    other.close()
    engine.dispose()

    assert len(happened(tracked)) == 1


def drop_outbox(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE hydro_outbox"))


def is_enabled(engine: Engine) -> bool | None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.commit()  # what was left open would be committed by this
        return connection.scalar(select(TABLE.c.is_enabled))


@by_each_change
def test_a_refused_commit_of_a_statement_leaves_a_clean_connection(
    tracked: Engine, database: Database, run: Statement
) -> None:
    engine = database.engine(poolclass=QueuePool, pool_size=1, max_overflow=0)
    with Session(engine) as session:
        stored(session, Installation(id=1))
    drop_outbox(tracked)

    with pytest.raises(RecordingError), Session(engine) as session:
        run(session)
        session.commit()

    assert is_enabled(engine) is True
    engine.dispose()


@by_each_change
def test_a_refused_commit_of_an_async_session_leaves_a_clean_connection(
    tracked: Engine, database: Database, run: Statement
) -> None:
    with Session(tracked) as session:
        stored(session, Installation(id=1))
    drop_outbox(tracked)

    async def story() -> bool | None:
        engine = create_async_engine(database.async_url, pool_size=1, max_overflow=0)
        if database.kind == "sqlite":
            begin_explicitly(engine.sync_engine)
        with pytest.raises(RecordingError):
            async with AsyncSession(engine) as session:
                await session.run_sync(run)
                await session.commit()
        async with engine.connect() as connection:
            await connection.commit()
            found = await connection.scalar(select(TABLE.c.is_enabled))
        await engine.dispose()
        return found

    assert asyncio.run(story()) is True


def test_an_update_does_not_wait_for_a_locked_row_that_it_spares(
    database: Database, tracked: Engine
) -> None:
    if database.kind != "mariadb":
        pytest.skip("about what MariaDB's UPDATE passes by under READ COMMITTED")
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2, jira_host="theirs"))
    engine = database.engine(isolation_level="READ COMMITTED")
    with Session(engine) as theirs, Session(engine) as ours:
        theirs.execute(text("SELECT * FROM installation WHERE id = 2 FOR UPDATE"))
        ours.execute(text("SET innodb_lock_wait_timeout = 1"))

        ours.execute(
            update(Installation)
            .where(Installation.jira_host != "theirs")
            .values(enabled=False)
        )
        ours.commit()
        theirs.rollback()

        assert [one.subject_id for one in recorded(ours)] == ["1"]
    engine.dispose()
