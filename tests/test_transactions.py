"""Only what is committed is recorded: savepoints, rollbacks, joined and failed work."""

from __future__ import annotations

import pytest
from databases import enforce_foreign_keys, skip_without_two_phases
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import (
    IntegrityError,
    InvalidRequestError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlalchemy.orm import Session
from tracked_models import Installation, Subscription, told

from hydro_hooks import because
from hydro_hooks.testing import recorded


def test_a_rollback_records_nothing(session: Session) -> None:
    session.add(Installation())
    session.flush()
    session.rollback()
    session.commit()

    assert recorded(session) == []


def test_after_a_rollback_the_session_records_again(session: Session) -> None:
    session.add(Installation(id=1))
    session.flush()
    session.rollback()
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["2"]


def test_close_without_commit_records_nothing(tracked: Engine) -> None:
    session = Session(tracked)
    session.add(Installation(id=1))
    session.flush()
    session.close()
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["2"]
    session.close()


def test_invalidate_without_commit_records_nothing(tracked: Engine) -> None:
    session = Session(tracked)
    session.add(Installation(id=1))
    session.flush()
    session.invalidate()
    with Session(tracked) as after:
        after.add(Installation(id=2))
        after.commit()

        assert [event.subject_id for event in recorded(after)] == ["2"]


def test_a_released_savepoint_counts(session: Session) -> None:
    with session.begin_nested():
        session.add(Installation(id=1))
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1", "2"]


def test_a_rolled_back_savepoint_does_not_count_what_surrounds_it_does(
    session: Session,
) -> None:
    session.add(Installation(id=1))
    with session.begin_nested() as savepoint:
        session.add(Installation(id=2))
        session.flush()
        savepoint.rollback()
    session.add(Installation(id=3))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1", "3"]


def test_rolling_back_an_outer_savepoint_takes_the_inner_along(
    session: Session,
) -> None:
    session.add(Installation(id=1))
    outer = session.begin_nested()
    session.add(Installation(id=2))
    session.begin_nested()
    session.add(Installation(id=3))
    session.flush()
    outer.rollback()
    session.add(Installation(id=4))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1", "4"]


def test_an_inner_savepoint_released_goes_with_the_outer(session: Session) -> None:
    outer = session.begin_nested()
    with session.begin_nested():
        session.add(Installation(id=1))
    outer.rollback()
    session.commit()

    assert recorded(session) == []


def test_a_savepoint_set_before_the_first_change_is_rolled_back(
    session: Session,
) -> None:
    savepoint = session.begin_nested()
    with session.begin_nested():
        session.add(Installation(id=1))
        session.flush()
    savepoint.rollback()
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["2"]


@pytest.mark.parametrize(
    ("set_it", "roll_back"),
    [
        ("SAVEPOINT mine", "ROLLBACK TO SAVEPOINT mine"),
        ("savepoint Mine;", "rollback to mine"),
    ],
    ids=["as documented", "lower case"],
)
def test_savepoints_written_by_hand_are_followed(
    session: Session, set_it: str, roll_back: str
) -> None:
    session.add(Installation(id=1))
    session.flush()
    session.connection().exec_driver_sql(set_it)
    session.add(Installation(id=2))
    session.flush()
    session.execute(text(roll_back))
    session.expire_all()
    session.connection().exec_driver_sql("RELEASE SAVEPOINT mine")
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1"]


def test_values_set_in_a_rolled_back_savepoint_are_not_recorded(
    session: Session,
) -> None:
    row = Installation(id=1, jira_host="https://first.jira.com")
    session.add(row)
    session.flush()
    with session.begin_nested() as savepoint:
        row.jira_host = "https://second.jira.com"
        session.flush()
        savepoint.rollback()
    session.commit()

    [event] = recorded(session)
    assert event.jira_hostname == "https://first.jira.com"


def test_the_change_made_again_after_a_rolled_back_savepoint_has_its_own_cause(
    session: Session,
) -> None:
    row = Installation(id=1)
    session.add(row)
    session.commit()
    with because("first"), session.begin_nested() as savepoint:
        row.enabled = False
        session.flush()
        savepoint.rollback()
    with because("second"):
        row.enabled = False
    session.commit()

    assert told(recorded(session))[1:] == ["installation.disable: second"]


def test_a_savepoint_rolled_back_by_an_error_leaves_the_rest(session: Session) -> None:
    session.add(Installation(id=1))
    session.flush()
    session.expunge_all()
    with pytest.raises(IntegrityError), session.begin_nested():
        session.add(Subscription(id=1))
        session.add(Installation(id=1))
    session.commit()

    assert [event.type for event in recorded(session)] == ["installation.create"]


def test_a_failed_flush_records_nothing(session: Session) -> None:
    session.add(Installation(id=1))
    session.commit()
    session.expunge_all()
    session.add_all([Subscription(), Installation(id=1)])
    with pytest.raises(IntegrityError):
        session.flush()
    with pytest.raises(PendingRollbackError):
        session.commit()
    session.rollback()
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1", "2"]


def test_a_session_joined_into_an_outer_transaction_waits_for_its_commit(
    tracked: Engine,
) -> None:
    with tracked.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.add(Installation(id=1))
            session.commit()
            session.add(Installation(id=2))
            session.rollback()
        assert outbox_size(connection) == 0
        outer.commit()

        assert outbox_size(connection) == 1


def test_a_session_joined_into_a_rolled_back_transaction_records_nothing(
    tracked: Engine,
) -> None:
    with tracked.connect() as connection:
        outer = connection.begin()
        with Session(connection) as session:
            session.add(Installation())
            session.commit()
        outer.rollback()

        assert outbox_size(connection) == 0


def test_two_sessions_on_one_connection_are_one_transaction(tracked: Engine) -> None:
    with tracked.begin() as connection:
        for key in (1, 2):
            with Session(connection) as session:
                session.add(Installation(id=key))
                session.commit()

    with Session(tracked) as session:
        assert len({event.transaction_id for event in recorded(session)}) == 1


def test_transactions_of_one_session_have_their_own_ids(session: Session) -> None:
    for key in (1, 2):
        session.add(Installation(id=key))
        session.commit()

    events = recorded(session)
    assert len({event.transaction_id for event in events}) == 2
    assert sorted(event.id for event in events) == [event.id for event in events]


def test_two_phase_commit_records_at_the_prepare(tracked: Engine) -> None:
    skip_without_two_phases(tracked)
    with Session(tracked, twophase=True) as session:
        session.add(Installation())
        session.commit()

        assert len(recorded(session)) == 1


def test_a_commit_that_fails_records_nothing(tracked: Engine) -> None:
    deferred = {
        "sqlite": "CREATE TABLE child (id INTEGER REFERENCES installation (id)"
        " DEFERRABLE INITIALLY DEFERRED)",
        "postgresql": "CREATE TABLE child (id INTEGER REFERENCES installation (id)"
        " DEFERRABLE INITIALLY DEFERRED)",
    }.get(tracked.dialect.name)
    if deferred is None:
        pytest.skip("MariaDB checks no constraint at the commit")
    enforce_foreign_keys(tracked)
    with tracked.begin() as connection:
        connection.execute(text(deferred))
    with Session(tracked) as session:
        session.add(Installation(id=1))
        session.execute(text("INSERT INTO child VALUES (77)"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        session.add(Installation(id=2))
        session.commit()

        assert [event.subject_id for event in recorded(session)] == ["2"]


def test_a_transaction_that_postgresql_gave_up_records_and_raises_nothing(
    tracked: Engine,
) -> None:
    if tracked.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL gives a transaction up after an error")
    with tracked.connect() as connection:
        outer = connection.begin()
        with Session(connection) as session:
            session.add(Installation())
            session.commit()
        with pytest.raises(ProgrammingError, match="nothing_here"):
            connection.execute(text("SELECT * FROM nothing_here"))
        outer.commit()

        assert outbox_size(connection) == 0


def test_rollback_as_text_forgets_what_was_done(tracked: Engine) -> None:
    with tracked.connect() as connection:
        outer = connection.begin()
        with Session(connection) as session:
            session.add(Installation(id=1))
            session.commit()
        connection.exec_driver_sql("ROLLBACK")
        outer.commit()

        assert outbox_size(connection) == 0


def test_a_session_with_the_drivers_own_begin_records_too(
    tracked: Engine,
) -> None:
    """SQLite's driver begins transactions by itself, unless told otherwise."""
    engine = create_engine(tracked.url)
    with Session(engine) as session:
        row = Installation()
        session.add(row)
        session.commit()
        row.enabled = False
        session.commit()
        row.enabled = True
        session.flush()
        session.rollback()

        assert [one.type for one in recorded(session)] == [
            "installation.create",
            "installation.disable",
        ]
    engine.dispose()


def test_a_session_that_is_not_active_is_refused_as_without_us(
    session: Session,
) -> None:
    with session.begin():
        session.commit()
        with pytest.raises(InvalidRequestError):
            session.add(Installation())
            session.flush()


def outbox_size(connection: Connection) -> int:
    size: int = connection.scalar(text("SELECT count(*) FROM hydro_outbox"))
    return size
