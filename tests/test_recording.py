"""What happens when an event cannot be written, and what a row cannot break."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool
from tracked_models import Installation, mappings

from hydro_hooks import Event, RecordingError, because, create_tables, register
from hydro_hooks import recorded as recorded_signal
from hydro_hooks.testing import recorded


def drop_outbox(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE hydro_outbox"))


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        count: int = connection.scalar(text("SELECT count(*) FROM installation"))
        return count


def test_without_the_tables_nothing_is_committed_and_the_remedy_is_named(
    session: Session, tracked: Engine
) -> None:
    drop_outbox(tracked)
    session.add(Installation())

    with pytest.raises(RecordingError, match=r"create_tables\(engine\)") as refused:
        session.commit()
    session.rollback()

    assert "nothing was committed" in str(refused.value)
    assert rows(tracked) == 0


def test_after_a_refused_commit_the_session_works_again(
    session: Session, tracked: Engine
) -> None:
    drop_outbox(tracked)
    session.add(Installation())
    with pytest.raises(RecordingError):
        session.commit()
    session.rollback()

    Installation.metadata.create_all(tracked)
    create_tables(tracked)
    session.add(Installation())
    session.commit()

    assert len(recorded(session)) == 1


def test_a_refused_commit_leaves_a_clean_connection_in_the_pool(
    tracked: Engine,
) -> None:
    drop_outbox(tracked)
    engine = create_engine(tracked.url, poolclass=QueuePool, pool_size=1)
    with pytest.raises(RecordingError), Session(engine) as session:
        session.add(Installation())
        session.commit()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.commit()

    assert rows(engine) == 0
    engine.dispose()


def test_a_refused_commit_of_a_bare_connection_is_rolled_back(
    tracked: Engine,
) -> None:
    drop_outbox(tracked)
    with pytest.raises(RecordingError), tracked.begin() as connection:
        with Session(connection) as session:
            session.add(Installation())
            session.commit()

    assert rows(tracked) == 0


def test_on_failure_log_commits_the_change_and_says_what_is_lost(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    Installation.metadata.create_all(engine)
    with register(*mappings(), on_failure="log"), Session(engine) as session:
        session.add(Installation(id=1))
        session.commit()
        assert len(recorded(session)) == 1
        session.rollback()
        drop_outbox(engine)
        session.add(Installation(id=2))
        session.commit()

    assert rows(engine) == 2
    assert (
        "1 event(s) (installation 2 create, at tests.test_recording:"
    ) in caplog.text
    assert "are LOST, their change is committed without them: " in caplog.text


def test_the_message_of_a_refusal_holds_no_values(
    session: Session, tracked: Engine
) -> None:
    drop_outbox(tracked)
    with because("r", note="private note"):
        session.add(Installation(jira_host="https://private.jira.com"))
    with pytest.raises(RecordingError) as refused:
        session.commit()
    session.rollback()

    assert "private" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("https://" + "x" * 3000, "https://" + "x" * 246 + "…"),
        ("https://é😀.jira.com", "https://é😀.jira.com"),
    ],
    ids=["script", "3,000 characters", "not ASCII"],
)
def test_values_of_rows_are_no_reason_to_fail(
    session: Session, tracked: Engine, host: str, kept: str
) -> None:
    with tracked.begin() as connection:
        widen = {
            "postgresql": "ALTER TABLE installation ALTER host TYPE text",
            "mariadb": "ALTER TABLE installation MODIFY host text CHARSET utf8mb4",
        }.get(tracked.dialect.name)
        if widen:
            connection.execute(text(widen))
    session.add(Installation(jira_host=host))
    session.commit()

    [event] = recorded(session)
    assert event.jira_hostname == kept


def test_nul_in_a_row_is_kept_out_of_the_event(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        pytest.skip("PostgreSQL stores no NUL, so no row has one")
    session.add(Installation(jira_host="a\0b"))
    session.commit()

    [event] = recorded(session)
    assert event.jira_hostname == "a\ufffdb"


@pytest.fixture
def heard() -> Iterator[list[tuple[type, Event]]]:
    received: list[tuple[type, Event]] = []

    def receive(model: type, *, event: Event) -> None:
        received.append((model, event))

    recorded_signal.connect(receive)
    yield received
    recorded_signal.disconnect(receive)


def test_the_signal_tells_of_each_event_by_model(
    session: Session, heard: list[tuple[type, Event]]
) -> None:
    session.add(Installation())
    session.commit()

    [(model, event)] = heard
    assert model is Installation
    assert event.id == recorded(session)[0].id


def test_a_receiver_that_raises_is_logged_and_harms_nothing(
    session: Session,
    heard: list[tuple[type, Event]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with recorded_signal.connected_to(_failing):
        session.add(Installation())
        session.commit()

    assert len(heard) == 1
    assert len(recorded(session)) == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_read_of_ours_does_not_make_sqlite_fail_where_it_would_have_waited(
    tracked: Engine,
) -> None:
    """A transaction that reads and then writes fails at once while another writes."""
    if tracked.dialect.name != "sqlite":
        pytest.skip("about SQLite's one lock for writers")
    with Session(tracked) as session:
        row = Installation(id=1)
        session.add(row)
        session.commit()
        session.refresh(row)
        session.expunge_all()
    row.enabled = False
    is_writing = threading.Event()

    def write_meanwhile() -> None:
        other = sqlite3.connect(str(tracked.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE installation SET secret = 'theirs'")
        is_writing.set()
        threading.Event().wait(0.3)
        other.execute("COMMIT")
        other.close()

    thread = threading.Thread(target=write_meanwhile)
    thread.start()
    is_writing.wait()
    with Session(tracked) as session:
        session.add(row)
        session.commit()
        thread.join()

        assert recorded(session)[-1].type == "installation.disable"


def test_the_library_logs_under_its_own_name(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), recorded_signal.connected_to(_failing):
        session.add(Installation(id=2))
        session.commit()

    assert caplog.records[0].name.startswith("hydro_hooks")


def _failing(_model: type, *, event: Event) -> None:
    raise ZeroDivisionError(event.type)
