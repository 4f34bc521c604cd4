"""What failed, and what the database kept of it: only that is recorded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import enforce_foreign_keys
from sqlalchemy import (
    Engine,
    bindparam,
    case,
    delete,
    insert,
    inspect,
    null,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from tracked_models import Base, Installation, Subscription, mappings

from hydro_hooks import register
from hydro_hooks.testing import recorded

TABLE = Base.metadata.tables["installation"]


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def happened(bind: Engine | Session) -> list[str]:
    """Return what is in the outbox, as in `installation.disable 1`."""
    return sorted(f"{event.type} {event.subject_id}" for event in recorded(bind))


def keys(session: Session) -> list[int]:
    return list(session.scalars(select(TABLE.c.id).order_by(TABLE.c.id)))


def disable(session: Session, key: int) -> None:
    statement = update(Installation).where(Installation.id == key)
    session.execute(statement.values(enabled=False))


Insert = Callable[[Session, list[dict[str, Any]]], None]


def bulk_insert(session: Session, rows: list[dict[str, Any]]) -> None:
    session.execute(insert(Installation), rows)


def core_insert(session: Session, rows: list[dict[str, Any]]) -> None:
    session.connection().execute(insert(TABLE), rows)


def raw_insert(session: Session, rows: list[dict[str, Any]]) -> None:
    statement = text("INSERT INTO installation (id, host) VALUES (:id, 'h')")
    session.connection().execute(statement, rows)


@pytest.mark.parametrize("fill", [bulk_insert, core_insert, raw_insert])
def test_of_an_insert_of_many_that_failed_half_way_what_was_kept_is_recorded(
    session: Session, fill: Insert
) -> None:
    dialect = session.get_bind().dialect.name
    # PyMySQL makes one statement of them, unless the VALUES hold more than parameters;
    # PostgreSQL gives the transaction up.
    is_one_by_one = dialect == "sqlite" or (dialect, fill) == ("mariadb", raw_insert)
    stored(session, Installation(id=3))

    with pytest.raises(IntegrityError):
        fill(session, [{"id": key} for key in (1, 2, 3, 4)])
    session.commit()

    assert keys(session) == ([1, 2, 3] if is_one_by_one else [3])
    assert happened(session) == (
        ["installation.create 1", "installation.create 2"] if is_one_by_one else []
    )


def update_many(session: Session) -> None:
    statement = update(TABLE).where(TABLE.c.id == bindparam("key"))
    session.connection().execute(
        statement.values(is_enabled=False, host=bindparam("new")),
        [{"key": 1, "new": "a"}, {"key": 2, "new": None}, {"key": 3, "new": "c"}],
    )


def update_many_as_text(session: Session) -> None:
    statement = "UPDATE installation SET is_enabled = false, host = :new WHERE id = :id"
    session.execute(
        text(statement),
        [{"id": 1, "new": "a"}, {"id": 2, "new": None}, {"id": 3, "new": "c"}],
    )


def reflect(session: Session) -> None:
    """Have SQLAlchemy leave its option for expected errors on MariaDB's connection."""
    inspect(session.connection()).get_columns("installation")


AFTER_REFLECTION = pytest.mark.parametrize(
    "first", [lambda _: None, reflect], ids=["at once", "after reflection"]
)


@AFTER_REFLECTION
@pytest.mark.parametrize("update_many", [update_many, update_many_as_text])
def test_of_an_update_of_many_that_failed_half_way_what_was_kept_is_recorded(
    session: Session,
    update_many: Callable[[Session], None],
    first: Callable[[Session], None],
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))
    first(session)

    with pytest.raises((IntegrityError, OperationalError), match=r"(?i)null"):
        update_many(session)
    session.commit()

    is_kept = session.get_bind().dialect.name != "postgresql"
    assert happened(session) == (["installation.disable 1"] if is_kept else [])


def test_of_a_delete_of_many_that_failed_half_way_what_was_kept_is_recorded(
    tracked: Engine,
) -> None:
    enforce_foreign_keys(tracked)
    with Session(tracked) as session:
        installations = [Installation(id=key) for key in (1, 2, 3)]
        stored(session, *installations, Subscription(installation=installations[1]))

        with pytest.raises(IntegrityError):
            session.connection().execute(
                delete(TABLE).where(TABLE.c.id == bindparam("key")),
                [{"key": 1}, {"key": 2}, {"key": 3}],
            )
        session.commit()

        is_kept = tracked.dialect.name != "postgresql"
        assert happened(session) == (["installation.destroy 1"] if is_kept else [])


FAILING = update(TABLE).values(
    is_enabled=False, host=case((TABLE.c.id == 2, null()), else_=TABLE.c.host)
)


def test_a_failed_statement_leaves_what_surrounds_it(session: Session) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    disable(session, 3)
    with pytest.raises((IntegrityError, OperationalError)):
        session.execute(FAILING)
    session.commit()

    # PostgreSQL gives the whole transaction up: its COMMIT was a rollback.
    is_kept = session.get_bind().dialect.name != "postgresql"
    assert happened(session) == (["installation.disable 3"] if is_kept else [])


def test_a_statement_that_failed_in_a_savepoint_leaves_what_surrounds_it(
    session: Session,
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3, 4)))

    disable(session, 3)
    with pytest.raises((IntegrityError, OperationalError)), session.begin_nested():
        disable(session, 1)
        session.execute(FAILING)
    disable(session, 4)
    session.commit()

    assert happened(session) == ["installation.disable 3", "installation.disable 4"]


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        ("OR FAIL", ["installation.create 1", "installation.disable 9"]),
        ("OR ROLLBACK", []),
    ],
)
def test_what_sqlite_keeps_of_a_conflict_is_as_the_statement_said(
    tracked: Engine, conflict: str, expected: list[str]
) -> None:
    if tracked.dialect.name != "sqlite":
        pytest.skip("only SQLite lets a statement say what a conflict undoes")
    with Session(tracked) as session:
        stored(session, Installation(id=2), Installation(id=9))

        disable(session, 9)
        rows = [{"id": key, "host": "h", "is_enabled": True} for key in (1, 2, 3)]
        with pytest.raises(IntegrityError):
            session.execute(insert(TABLE).prefix_with(conflict).values(rows))
        session.commit()

        assert keys(session) == ([1, 2, 9] if expected else [2, 9])
    assert happened(tracked) == expected


def test_bulk_methods_that_failed_record_nothing_of_theirs(session: Session) -> None:
    stored(session, Installation(id=2))

    with pytest.raises(IntegrityError):
        session.bulk_insert_mappings(
            inspect(Installation), [{"id": key} for key in (1, 2)]
        )
    session.rollback()
    session.bulk_save_objects([Installation(id=3)])
    session.commit()

    assert happened(session) == ["installation.create 3"]


def test_a_commit_that_fails_records_no_statement(tracked: Engine) -> None:
    if tracked.dialect.name == "mariadb":
        pytest.skip("MariaDB checks no constraint at the commit")
    enforce_foreign_keys(tracked)
    with tracked.begin() as connection:
        child = "CREATE TABLE child (id INTEGER REFERENCES installation (id)"
        connection.execute(text(f"{child} DEFERRABLE INITIALLY DEFERRED)"))
    with Session(tracked) as session:
        stored(session, Installation(id=1))

        disable(session, 1)
        session.execute(text("INSERT INTO child VALUES (77)"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.execute(insert(Installation), [{"id": 2}])
        session.commit()

        assert happened(session) == ["installation.create 2"]


def test_work_tried_again_after_a_failed_flush_is_recorded_once(
    session: Session,
) -> None:
    stored(session, Installation(id=1), Installation(id=2))

    for key in (2, 3):
        disable(session, 1)
        session.expunge_all()
        session.add(Installation(id=key))
        with contextlib.suppress(IntegrityError):
            session.commit()
        session.rollback()

    assert happened(session) == ["installation.create 3", "installation.disable 1"]


def test_a_change_of_a_row_that_is_gone_records_nothing_and_work_goes_on(
    tracked: Engine,
) -> None:
    with Session(tracked, expire_on_commit=False) as session:
        row = Installation(id=1)
        stored(session, row, Installation(id=2))
        with tracked.begin() as connection:
            connection.execute(delete(TABLE).where(TABLE.c.id == 1))

        row.enabled = False
        with pytest.raises(StaleDataError):
            session.commit()
        session.rollback()
        disable(session, 2)
        session.commit()

    assert happened(tracked) == ["installation.destroy 1", "installation.disable 2"]


@pytest.mark.filterwarnings("ignore:DELETE statement on table 'installation'")
def test_a_delete_of_a_row_that_is_gone_records_nothing(tracked: Engine) -> None:
    with Session(tracked, expire_on_commit=False) as session:
        row = Installation(id=1, subscriptions=[])
        stored(session, row)
        with tracked.begin() as connection:
            connection.execute(delete(TABLE))

        session.delete(row)
        session.commit()

    assert happened(tracked) == ["installation.destroy 1"]


Change = Callable[[Session, int], None]


def flushed(session: Session, key: int) -> None:
    session.get_one(Installation, key).enabled = False
    session.flush()


@contextlib.contextmanager
def hooks(*, are_on: bool) -> Iterator[None]:
    with register(*mappings()) if are_on else contextlib.nullcontext():
        yield


def code_of(error: DBAPIError) -> object:
    """Return MariaDB's number of an error, or PostgreSQL's SQLSTATE."""
    orig: Any = error.orig
    return orig.args[0] if isinstance(orig.args[0], int) else orig.sqlstate


def meet_a_conflict(engine: Engine, change: Change) -> tuple[type, object]:
    """Lose against another transaction, try again, return the first error."""
    with Session(engine) as session:
        session.scalars(select(Installation.enabled)).all()
        with Session(engine) as other:
            other.execute(update(Installation).values(secret="theirs"))
            other.commit()
        with pytest.raises(DBAPIError) as lost:
            change(session, 1)
            session.commit()
        session.rollback()
        change(session, 1)
        session.commit()
    return lost.type, code_of(lost.value)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("change", [disable, flushed])
def test_who_loses_against_another_transaction_is_told_as_without_us(
    engine: Engine, change: Change, isolation: Any
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL lets both go on and then refuses one")
    Base.metadata.create_all(engine)
    strict = engine.execution_options(isolation_level=isolation)
    told = []
    for are_on in (False, True):
        with hooks(are_on=are_on):
            with Session(engine) as session:
                session.execute(delete(Installation))
                stored(session, Installation(id=1))
            told.append(meet_a_conflict(strict, change))

    assert told == [(OperationalError, "40001")] * 2
    assert happened(engine) == ["installation.disable 1"]


def skew(engine: Engine, change: Change) -> tuple[type, object]:
    """Two read all rows and change one each: only the COMMIT can refuse the second."""
    everything = select(Installation.enabled)
    with Session(engine) as first, Session(engine) as second:
        for session in (first, second):
            session.scalars(everything).all()
        change(first, 1)
        change(second, 2)
        first.commit()
        with pytest.raises(DBAPIError) as lost:
            second.commit()
        second.rollback()
        change(second, 2)
        second.commit()
    return lost.type, code_of(lost.value)


@pytest.mark.parametrize("change", [disable, flushed])
def test_who_is_refused_at_the_commit_is_told_as_without_us(
    engine: Engine, change: Change
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL finds such conflicts at the commit")
    Base.metadata.create_all(engine)
    strict = engine.execution_options(isolation_level="SERIALIZABLE")
    told = []
    for are_on in (False, True):
        with hooks(are_on=are_on):
            with Session(engine) as session:
                session.execute(delete(Installation))
                stored(session, Installation(id=1), Installation(id=2))
            told.append(skew(strict, change))

    assert told == [(OperationalError, "40001")] * 2
    assert happened(engine) == ["installation.disable 1", "installation.disable 2"]


def cross(engine: Engine, change: Change) -> list[object]:
    """Change two rows in opposite order from two threads, each until it succeeds."""
    errors: list[object] = []
    both_have_one = threading.Barrier(2, timeout=20)
    one_is_done = threading.Event()

    def work(first: int, second: int) -> None:
        with Session(engine) as session:
            change(session, first)
            both_have_one.wait()
            try:
                change(session, second)
                session.commit()
            except OperationalError as error:
                errors.append(code_of(error))
                session.rollback()
                one_is_done.wait(20)  # else it may take the row again, and lose again
                change(session, first)
                change(session, second)
                session.commit()
            one_is_done.set()

    threads = [threading.Thread(target=work, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("change", [disable, flushed])
def test_who_loses_a_deadlock_is_told_as_without_us_and_tries_again(
    tracked: Engine, change: Change
) -> None:
    code = {"postgresql": "40P01", "mariadb": 1213}.get(tracked.dialect.name)
    if code is None:
        pytest.skip("SQLite has one writer at a time")
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))

    errors = cross(tracked, change)

    assert errors == [code]
    assert happened(tracked) == ["installation.disable 1", "installation.disable 2"]


@AFTER_REFLECTION
def test_a_deadlock_that_was_swallowed_took_all_before_it_along(
    tracked: Engine, first: Callable[[Session], None]
) -> None:
    if tracked.dialect.name != "mariadb":
        pytest.skip("only MariaDB rolls back and lets the transaction go on")
    with Session(tracked) as session:
        stored(session, *(Installation(id=key) for key in range(1, 41)))
    is_held = threading.Event()

    def disable_many() -> None:
        with Session(tracked) as heavier:
            heavier.execute(update(TABLE).where(TABLE.c.id > 2).values(secret="x"))
            is_held.set()
            heavier.execute(update(TABLE).where(TABLE.c.id == 1).values(secret="x"))
            heavier.commit()

    with Session(tracked) as session:
        first(session)
        disable(session, 1)
        thread = threading.Thread(target=disable_many)
        thread.start()
        is_held.wait(20)
        with pytest.raises(OperationalError, match="1213"):
            disable(session, 40)
            disable(session, 40)
        thread.join()
        disable(session, 2)
        session.commit()

    assert happened(tracked) == ["installation.disable 2"]


def test_a_lock_not_got_in_time_undoes_only_its_statement(tracked: Engine) -> None:
    if tracked.dialect.name != "mariadb":
        pytest.skip("PostgreSQL gives the transaction up; SQLite has one writer")
    with Session(tracked) as session:
        stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    with Session(tracked) as other, Session(tracked) as session:
        other.execute(update(TABLE).where(TABLE.c.id == 1).values(secret="x"))
        session.execute(text("SET innodb_lock_wait_timeout = 1"))
        disable(session, 2)
        with pytest.raises(OperationalError, match="1205"):
            disable(session, 1)
        disable(session, 3)
        session.commit()

    assert happened(tracked) == ["installation.disable 2", "installation.disable 3"]
