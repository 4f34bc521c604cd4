"""SQL as text on a tracked table: recorded where it can be, else warned of."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from linked_models import happened, kind, only_event, rowcount, stored
from sqlalchemy import Engine, bindparam, select, text
from sqlalchemy.orm import Session
from tracked_models import HOST, Installation, Untracked

from hydro_hooks import State, because
from hydro_hooks.testing import recorded

DISABLED_2 = ["installation.disable 2: unattributed"]
DESTROYED_2 = ["installation.destroy 2: unattributed"]


@pytest.fixture
def session(session: Session) -> Session:
    """Give a session on rows 1 and 2, enabled, and 3, disabled."""
    # Without keys: PostgreSQL does not count on from one that is given.
    for enabled in (True, True, False):
        stored(session, Installation(enabled=enabled))
    stored(session, Untracked(text="https://a.net"), Untracked(text="https://b.net"))
    return session


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what our logger has warned of."""
    return [
        one.getMessage()
        for one in caplog.records
        if one.name == "hydro_hooks" and one.levelno >= logging.WARNING
    ]


def dialect_names(session: Session) -> dict[str, str]:
    """Return what a statement has to call the table here, quoted and qualified."""
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    quote = engine.dialect.identifier_preparer.quote_identifier
    schema = {"sqlite": "main", "postgresql": "public"}.get(kind(session))
    return {
        "table": quote("installation"),
        "flag": quote("is_enabled"),
        "key": quote("id"),
        "schema": schema or str(engine.url.database),
        "quoted_schema": quote(schema or str(engine.url.database)),
    }


def test_a_parameter_with_a_cast_is_a_value_like_another(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    number = "SIGNED" if kind(session) == "mariadb" else "INTEGER"
    values = f"VALUES (CAST(:key AS {number}), 'https://a.net')"

    session.execute(text(f"INSERT INTO installation (id, host) {values}"), {"key": 70})
    session.commit()

    assert happened(session) == ["installation.create 70: unattributed"]
    assert warned(caplog) == []


def test_a_column_may_have_the_name_of_a_function_that_is_never_the_same(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(
        text(
            "INSERT INTO installation (id, host)"
            " SELECT uuid, 'https://a.net' FROM (SELECT 80 AS uuid) AS given"
        )
    )
    session.commit()

    assert happened(session) == ["installation.create 80: unattributed"]
    assert warned(caplog) == []


UPDATES = {
    "plain": "UPDATE installation SET is_enabled = false WHERE id = 2",
    "lower": "update installation set is_enabled=false where id=2",
    "upper": "UPDATE installation SET IS_ENABLED = FALSE WHERE ID = 2",
    "lines": "\n  UPDATE installation\n\tSET is_enabled = false\n\tWHERE id = 2\n",
    "semicolon": "UPDATE installation SET is_enabled = false WHERE id = 2;",
    "comments": (
        "/* nightly, WHERE it matters */ UPDATE installation -- all of them\n"
        " SET is_enabled = false /* not secret */ WHERE id = 2 -- the end"
    ),
    "alias": "UPDATE installation AS i SET is_enabled = false WHERE i.id = 2",
    "quoted": "UPDATE {table} SET {flag} = false WHERE {key} = 2",
    "qualified": "UPDATE {schema}.installation SET is_enabled = false WHERE id = 2",
    "both": "UPDATE {quoted_schema}.{table} SET {flag} = false WHERE {key} = 2",
    "literal": (
        "UPDATE installation SET secret = 'a WHERE; -- it''s', is_enabled = false"
        " WHERE id = 2"
    ),
    "where-literal": (
        "UPDATE installation SET is_enabled = false"
        " WHERE host <> 'x'' WHERE id = 1' AND id = 2"
    ),
    "subquery": (
        "UPDATE installation SET is_enabled = false"
        " WHERE id IN (SELECT id FROM untracked WHERE id = 2)"
    ),
    "expression": (
        "UPDATE installation SET is_enabled = (id <> 2), secret = (SELECT 'WHERE')"
        " WHERE id < 3"
    ),
}


@pytest.mark.parametrize("shape", UPDATES)
def test_an_update_as_text_is_recorded(
    session: Session, caplog: pytest.LogCaptureFixture, shape: str
) -> None:
    statement = UPDATES[shape].format(**dialect_names(session))

    result = session.execute(text(statement))
    session.commit()

    assert rowcount(result) in {1, 2}
    assert happened(session) == DISABLED_2
    assert warned(caplog) == []


DELETES = {
    "plain": "DELETE FROM installation WHERE id = 2",
    "lower": "delete from installation where id=2",
    "comments": "-- old\nDELETE FROM installation /* one */ WHERE id = 2 -- WHERE",
    "quoted": "DELETE FROM {table} WHERE {key} = 2",
    "qualified": "DELETE FROM {schema}.installation WHERE installation.id = 2",
    "literal": "DELETE FROM installation WHERE host <> ' WHERE id = 1' AND id = 2",
    "exists": (
        "DELETE FROM installation WHERE EXISTS"
        " (SELECT 1 FROM untracked WHERE untracked.id = installation.id AND id = 2)"
        " AND installation.id = 2"
    ),
}


@pytest.mark.parametrize("shape", DELETES)
def test_a_delete_as_text_is_recorded(
    session: Session, caplog: pytest.LogCaptureFixture, shape: str
) -> None:
    statement = DELETES[shape].format(**dialect_names(session))

    result = session.execute(text(statement))
    session.commit()

    assert rowcount(result) == 1
    assert happened(session) == DESTROYED_2
    assert warned(caplog) == []


def test_a_delete_under_an_alias_is_recorded(session: Session) -> None:
    if kind(session) == "mariadb":
        pytest.skip("MariaDB 10 has no alias in a DELETE from one table")

    session.execute(text("DELETE FROM installation AS i WHERE i.id = 2"))
    session.commit()

    assert happened(session) == DESTROYED_2


def test_a_delete_without_where_destroys_every_row(session: Session) -> None:
    with because("emptied"):
        result = session.execute(text("DELETE FROM installation"))
    session.commit()

    assert rowcount(result) == 3
    assert happened(session) == [
        f"installation.destroy {key}: emptied" for key in (1, 2, 3)
    ]
    assert {one.jira_hostname for one in recorded(session)} == {HOST}


def test_a_text_with_named_parameters_is_recorded(session: Session) -> None:
    with because("swept"):
        session.execute(
            text("UPDATE installation SET is_enabled = :flag WHERE id > :low"),
            {"flag": False, "low": 1},
        )
    session.commit()

    event = only_event(session)
    assert (event.type, event.subject_id) == ("installation.disable", "2")
    assert (event.reason, event.jira_hostname) == ("swept", HOST)
    assert "test_a_text_with_named_parameters" in (event.origin or "")


def test_a_text_with_an_expanding_parameter_is_recorded(session: Session) -> None:
    statement = text("DELETE FROM installation WHERE id IN :keys")

    session.execute(
        statement.bindparams(bindparam("keys", expanding=True)), {"keys": [2, 9]}
    )
    session.commit()

    assert happened(session) == DESTROYED_2


def test_a_text_on_a_connection_is_recorded(session: Session) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    session.close()

    with engine.begin() as connection:
        result = connection.execute(
            text("DELETE FROM installation WHERE id = :key"), {"key": 2}
        )

    assert result.rowcount == 1
    assert happened(session) == DESTROYED_2


def test_a_text_with_a_list_of_parameters_is_recorded(session: Session) -> None:
    session.execute(
        text("UPDATE installation SET is_enabled = :flag WHERE id = :key"),
        [{"flag": False, "key": 2}, {"flag": True, "key": 3}, {"flag": True, "key": 9}],
    )
    session.commit()

    assert happened(session) == [*DISABLED_2, "installation.enable 3: unattributed"]


def test_a_drivers_statement_without_parameters_is_recorded(session: Session) -> None:
    result = session.connection().exec_driver_sql(
        "UPDATE installation SET is_enabled = false WHERE id = 2"
    )
    session.commit()

    assert result.rowcount == 1
    assert happened(session) == DISABLED_2


@pytest.mark.parametrize("count", [1, 2])
def test_a_drivers_statement_with_positional_parameters_is_recorded(
    session: Session, count: int
) -> None:
    mark = "?" if kind(session) == "sqlite" else "%s"
    rows: list[tuple[Any, ...]] = [(False, 2), (True, 3)][:count]

    session.connection().exec_driver_sql(
        f"UPDATE installation SET is_enabled = {mark} WHERE id = {mark}",  # noqa: S608 - marks
        rows if count > 1 else rows[0],
    )
    session.commit()

    more = ["installation.enable 3: unattributed"] if count > 1 else []
    assert happened(session) == DISABLED_2 + more


@pytest.mark.parametrize("count", [1, 2])
def test_a_drivers_statement_with_named_parameters_is_recorded(
    session: Session, count: int
) -> None:
    mark = ":key" if kind(session) == "sqlite" else "%(key)s"
    rows = [{"key": 2}, {"key": 3}][:count]

    session.connection().exec_driver_sql(
        f"DELETE FROM installation WHERE id = {mark}",  # noqa: S608 - a mark
        rows if count > 1 else rows[0],
    )
    session.commit()

    more = ["installation.destroy 3: unattributed"] if count > 1 else []
    assert happened(session) == DESTROYED_2 + more


# From Python 3.12 on the driver warns of what the program does here.
@pytest.mark.filterwarnings("ignore:Binding:DeprecationWarning")
def test_a_drivers_statement_with_numbered_parameters_is_recorded(
    session: Session,
) -> None:
    if kind(session) != "sqlite":
        pytest.skip("of the drivers only SQLite's numbers parameters")

    session.connection().exec_driver_sql(
        "UPDATE installation SET is_enabled = ?1 WHERE id = ?3 AND host <> ?2",
        (False, "x", 2),
    )
    session.connection().exec_driver_sql(
        "INSERT INTO installation (host, id) VALUES (?2, ?1)", (9, "y")
    )
    session.commit()

    assert happened(session) == ["installation.create 9: unattributed", *DISABLED_2]


def test_an_insert_of_given_keys_is_recorded(session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO installation (id, host, is_enabled)"
            " VALUES (8, 'https://c.net', false), (9, 'https://d.net; (', true)"
        )
    )
    session.commit()

    told = {(one.subject_id, one.jira_hostname, one.state) for one in recorded(session)}
    assert told == {
        ("8", "https://c.net", State.DISABLED),
        ("9", "https://d.net; (", State.ENABLED),
    }


@pytest.mark.parametrize("count", [1, 2])
def test_an_insert_with_generated_keys_is_recorded(
    session: Session, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    rows = [{"host": "https://c.net"}, {"host": "https://d.net"}][:count]

    session.execute(text("INSERT INTO installation (host) VALUES (:host)"), rows)
    session.commit()

    assert_created(session, {row["host"] for row in rows})
    assert warned(caplog) == []


def test_insert_from_select_with_generated_keys_is_recorded(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(
        text("INSERT INTO installation (host) SELECT text FROM untracked WHERE id > 0")
    )
    session.commit()

    assert_created(session, {"https://a.net", "https://b.net"})
    assert warned(caplog) == []


COPIES = {
    "plain": "INSERT INTO installation (host, id) SELECT text, id + 7 FROM untracked",
    "semicolon": (
        "INSERT INTO installation(id, host) SELECT id + 7, text FROM untracked;"
    ),
    "lines": (
        "INSERT INTO installation\n  (id, host)\n"
        "SELECT u.id + 7,\n  u.text -- on duplicate key\n"
        "FROM untracked u JOIN untracked v ON u.id = v.id\n"
    ),
    "union": (
        "INSERT INTO installation (id, host)"
        " SELECT 8, 'https://a.net' UNION ALL SELECT 9, 'https://b.net'"
    ),
}


@pytest.mark.parametrize("sql", COPIES.values(), ids=COPIES)
def test_insert_from_select_with_given_keys_is_recorded(
    session: Session, caplog: pytest.LogCaptureFixture, sql: str
) -> None:
    session.execute(text(sql))
    session.commit()

    assert_created(session, {"https://a.net", "https://b.net"})
    assert warned(caplog) == []


def test_insert_from_select_in_parentheses_is_recorded(session: Session) -> None:
    if kind(session) == "sqlite":
        pytest.skip("SQLite takes no parentheses there")

    session.execute(
        text("INSERT INTO installation (id, host) (SELECT id + 7, text FROM untracked)")
    )
    session.commit()

    assert_created(session, {"https://a.net", "https://b.net"})


def test_insert_from_select_with_parameters_is_recorded(session: Session) -> None:
    mark = "?" if kind(session) == "sqlite" else "%s"

    copy = "INSERT INTO installation (id, host) SELECT id + 7, text FROM untracked"
    session.connection().exec_driver_sql(f"{copy} WHERE id = {mark}", (2,))
    session.commit()

    assert_created(session, {"https://b.net"})


def test_insert_from_select_that_meets_a_row_changes_it(session: Session) -> None:
    end = "ON CONFLICT (id) DO UPDATE SET is_enabled = false"
    if kind(session) == "mariadb":
        end = "ON DUPLICATE KEY UPDATE is_enabled = false"

    copy = "INSERT INTO installation (id, host) SELECT id + 1, text FROM untracked"
    session.execute(text(f"{copy} WHERE id = 1 {end}"))
    session.commit()

    assert happened(session) == DISABLED_2


@pytest.mark.parametrize("count", [1, 3])
def test_a_drivers_insert_with_generated_keys_is_recorded(
    session: Session, count: int
) -> None:
    mark = "?" if kind(session) == "sqlite" else "%s"
    rows = [(f"https://{number}.net",) for number in range(count)]

    session.connection().exec_driver_sql(
        f"INSERT INTO installation (host) VALUES ({mark})",  # noqa: S608 - a mark
        rows if count > 1 else rows[0],
    )
    session.commit()

    assert_created(session, {host for (host,) in rows})


def assert_created(session: Session, hosts: set[str]) -> None:
    """Assert one `create` of each row that was not there at the start."""
    keys = session.scalars(select(Installation.id).where(Installation.id > 3)).all()
    assert len(keys) == len(hosts)
    assert happened(session) == sorted(
        f"installation.create {key}: unattributed" for key in keys
    )
    assert {one.jira_hostname for one in recorded(session)} == hosts


def test_an_upsert_as_text_is_recorded(session: Session) -> None:
    what = (
        "ON DUPLICATE KEY UPDATE is_enabled = VALUES(is_enabled)"
        if kind(session) == "mariadb"
        else "ON CONFLICT (id) DO UPDATE SET is_enabled = excluded.is_enabled"
    )

    session.execute(
        text(
            "INSERT INTO installation (id, host, is_enabled)"  # noqa: S608 - the tests' own text
            f" VALUES (2, 'h', :flag), (3, 'h', :flag), (9, 'h', :flag) {what}"
        ),
        {"flag": False},
    )
    session.commit()

    assert happened(session) == ["installation.create 9: unattributed", *DISABLED_2]


def test_text_in_a_rolled_back_savepoint_is_forgotten(session: Session) -> None:
    savepoint = session.begin_nested()
    session.execute(text("DELETE FROM installation"))
    savepoint.rollback()
    session.execute(text("DELETE FROM installation WHERE id = 2"))
    session.commit()

    assert happened(session) == DESTROYED_2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE untracked SET text = 'UPDATE installation SET is_enabled = false'",
        "UPDATE installation SET secret = 'is_enabled = false'",
        "UPDATE installation SET secret = 'x' WHERE is_enabled = false",
        "DELETE FROM untracked WHERE text = 'DELETE FROM installation'",
        "DELETE FROM untracked WHERE id IN (SELECT id FROM installation)",
        "INSERT INTO untracked (text) SELECT host FROM installation",
        "SELECT host FROM installation WHERE host = 'update'",
        "SELECT 'DELETE FROM installation WHERE id = 1'",
        "SELECT 1 /* UPDATE installation SET is_enabled = false */",
        "WITH i AS (SELECT id AS deleted FROM installation) SELECT * FROM i",
        "WITH i AS (SELECT 'update' AS word FROM installation) SELECT word FROM i",
    ],
)
def test_text_that_changes_nothing_tracked_is_passed_in_silence(
    session: Session, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    session.execute(text(statement))
    session.connection().exec_driver_sql(statement)
    session.commit()

    assert recorded(session) == []
    assert warned(caplog) == []


def test_a_locking_select_is_passed_in_silence(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    if kind(session) == "sqlite":
        pytest.skip("SQLite has no SELECT ... FOR UPDATE")

    session.execute(text("SELECT id FROM installation WHERE id = 1 FOR UPDATE"))
    session.commit()

    assert warned(caplog) == []
