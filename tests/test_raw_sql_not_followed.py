"""TRUNCATE, and raw SQL that cannot be followed: never in silence, never broken."""

from __future__ import annotations

import logging

import pytest
from linked_models import happened, kind, stored
from sqlalchemy import Engine, Executable, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from tracked_models import Base, Installation, Subscription, mappings

from hydro_hooks import because, register
from hydro_hooks.testing import recorded

DESTROYED = [f"subscription.destroy {key}: emptied" for key in (1, 2, 3)]


@pytest.fixture
def session(session: Session) -> Session:
    """Give a session on subscriptions 1, 2 and 3, and an installation."""
    stored(
        session,
        Installation(id=1),
        *(Subscription(id=key, github_installation_id=key) for key in (1, 2, 3)),
    )
    return session


def the_warning(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one thing that our logger has warned of."""
    [found] = [
        one.getMessage()
        for one in caplog.records
        if one.name == "hydro_hooks" and one.levelno >= logging.WARNING
    ]
    return found


def truncates(session: Session) -> None:
    if kind(session) == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")


def test_what_mariadb_executes_in_a_comment_is_not_silent(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    if kind(session) != "mariadb":
        pytest.skip("only MariaDB executes what stands in a comment")

    session.execute(text("/*!50000 DELETE FROM subscription */ WHERE id = 1"))
    session.execute(text("DELETE /*M!100100 FROM subscription WHERE id = 2 */"))
    session.commit()

    told = [one.subject_id for one in recorded(session)]
    assert len(told) + len(caplog.messages) == 2
    assert told[:1] == ["1"]


def test_truncate_destroys_each_row(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    truncates(session)

    with because("emptied"):
        session.execute(text("TRUNCATE TABLE subscription"))
    session.commit()

    assert happened(session) == DESTROYED
    assert {one.github_installation_id for one in recorded(session)} == {1, 2, 3}
    assert caplog.messages == []


def test_truncate_in_lower_case_past_the_session_destroys_each_row(
    session: Session,
) -> None:
    truncates(session)
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    session.close()

    with because("emptied"), engine.begin() as connection:
        connection.exec_driver_sql("truncate subscription")

    assert happened(session) == DESTROYED


def test_a_truncate_that_is_rolled_back_counts_where_the_database_kept_it(
    session: Session,
) -> None:
    """MariaDB commits at a TRUNCATE, and with it what is pending."""
    truncates(session)

    with because("paused"):
        session.get_one(Installation, 1).enabled = False
        session.flush()
    with because("emptied"):
        session.execute(text("TRUNCATE TABLE subscription"))
    session.rollback()

    left = session.scalar(select(func.count()).select_from(Subscription))
    assert left == (0 if kind(session) == "mariadb" else 3)
    assert happened(session) == (
        ["installation.disable 1: paused", *DESTROYED]
        if kind(session) == "mariadb"
        else []
    )


def test_a_truncate_of_a_large_table_is_warned_of_and_runs(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"github_installation_id": key} for key in range(10_001)]
        connection.execute(insert(Subscription), rows)

    with register(*mappings()), Session(engine) as session:
        session.execute(text("TRUNCATE TABLE subscription"))
        session.commit()

        assert session.scalar(select(func.count()).select_from(Subscription)) == 0
        assert recorded(session) == []
    warning = the_warning(caplog)
    assert "Subscription" in warning
    assert "test_a_truncate_of_a_large_table_is_warned_of_and_runs" in warning


def test_a_delete_with_a_cte_as_text_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    if kind(session) == "mariadb":
        pytest.skip("MariaDB 10 has no WITH before a DELETE")

    session.execute(
        text(
            "WITH doomed AS (SELECT 2 AS id)"
            " DELETE FROM subscription WHERE id IN (SELECT id FROM doomed)"
        )
    )
    session.commit()

    assert session.get(Subscription, 2) is None
    warning = the_warning(caplog)
    assert "Subscription" in warning
    assert "test_a_delete_with_a_cte_as_text_is_warned_of_and_runs" in warning


def test_a_delete_inside_a_cte_as_text_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    only_postgresql(session)

    found = session.scalars(
        text(
            "WITH gone AS (DELETE FROM subscription WHERE id = 2 RETURNING id)"
            " SELECT id FROM gone"
        )
    ).all()
    session.commit()

    assert found == [2]
    warning = the_warning(caplog)
    assert "Subscription" in warning
    assert "test_a_delete_inside_a_cte_as_text_is_warned_of_and_runs" in warning


def test_merge_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    only_postgresql(session)

    session.execute(
        text(
            "MERGE INTO subscription AS s USING (SELECT 2 AS id) AS given"
            " ON s.id = given.id WHEN MATCHED THEN DELETE"
        )
    )
    session.commit()

    assert session.get(Subscription, 2) is None
    warning = the_warning(caplog)
    assert "Subscription" in warning
    assert "test_merge_is_warned_of_and_runs" in warning


def test_several_statements_in_one_text_are_warned_of_and_run(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    only_postgresql(session, "of the drivers only psycopg takes several statements")

    session.connection().exec_driver_sql(
        "UPDATE installation SET secret = 'x'; DELETE FROM subscription WHERE id = 2"
    )
    session.commit()

    assert session.get(Subscription, 2) is None
    warning = the_warning(caplog)
    assert "Subscription" in warning
    assert "test_several_statements_in_one_text_are_warned_of_and_run" in warning


@pytest.mark.parametrize(
    "statement",
    [
        text("UPDATE OR REPLACE installation SET id = 2 WHERE id = 1"),
        update(Installation).prefix_with("OR REPLACE").values(id=1),
    ],
    ids=["text", "construct"],
)
def test_an_update_or_replace_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture, statement: Executable
) -> None:
    if session.get_bind().dialect.name != "sqlite":
        pytest.skip("only SQLite has it")

    session.execute(statement)
    session.commit()

    assert "Installation" in the_warning(caplog)


def test_an_update_at_a_cursor_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    only_postgresql(session)

    declare = "DECLARE it CURSOR FOR SELECT id FROM installation WHERE id = 1"
    session.execute(text(f"{declare} FOR UPDATE"))
    session.execute(text("FETCH it"))
    session.execute(
        text("UPDATE installation SET host = 'x' WHERE CURRENT OF it"),
    )
    session.commit()

    assert "cannot be asked for beforehand (SyntaxError)" in the_warning(caplog)
    assert session.get_one(Installation, 1).jira_host == "x"


def test_a_statement_that_fails_is_not_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    for sql in (
        "DELETE FROM installation WHERE nowhere = 1",
        "INSERT INTO installation (id) SELECT nothing FROM nowhere",
        "WITH i AS (SELECT 1) UPDATE installation SET is_enabled = nothing",
    ):
        with pytest.raises(DBAPIError):
            session.execute(text(sql))
        session.rollback()

    assert caplog.messages == []


def test_an_insert_of_what_a_select_gives_otherwise_each_time_is_not_silent(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    by_chance = {
        "sqlite": "abs(random() % 1000000) + 1000",
        "postgresql": "CAST(random() * 1000000 AS INTEGER) + 1000",
        "mariadb": "FLOOR(RAND() * 1000000) + 1000",
    }[kind(session)]

    session.execute(
        text(f"INSERT INTO installation (id, host) SELECT {by_chance}, 'x'")
    )
    session.commit()

    # Beyond the table's counter they are found.
    assert len(caplog.messages) + len(happened(session)) == 1


def only_postgresql(session: Session, why: str = "only PostgreSQL has it") -> None:
    if kind(session) != "postgresql":
        pytest.skip(why)


def test_what_is_only_explained_is_not_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(text("EXPLAIN DELETE FROM subscription"))
    session.commit()

    assert happened(session) == []
    assert caplog.messages == []


def test_what_is_explained_by_doing_it_is_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    if kind(session) != "postgresql":
        pytest.skip("only PostgreSQL runs what it explains")

    session.execute(text("EXPLAIN (COSTS OFF, ANALYZE) DELETE FROM subscription"))
    session.commit()

    assert "Subscription" in the_warning(caplog)
