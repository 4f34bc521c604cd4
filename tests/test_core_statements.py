"""Core statements on a tracked table, through sessions, connections and engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from linked_models import (
    happened,
    kind,
    only_event,
    rowcount,
    stored,
    table,
)
from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    String,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    not_,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tracked_models import HOST, Account, Installation, Untracked

from hydro_hooks import State, because
from hydro_hooks.testing import recorded

ROWS = table(Installation)
OTHERS = table(Untracked)
ACCOUNTS = table(Account)


@pytest.fixture
def session(session: Session) -> Session:
    """Give a session on rows 1 and 2, enabled, and 3, disabled."""
    stored(
        session,
        Account(id=1),
        # Without keys: PostgreSQL does not count on from one that is given.
        Installation(account_id=1),
        Installation(),
        Installation(enabled=False, account_id=1),
        Untracked(text="https://a.net"),
        Untracked(text="https://b.net"),
    )
    return session


def assert_all_created(session: Session) -> None:
    """Assert one `create` of each row that was not there at the start."""
    keys = session.scalars(select(ROWS.c.id).where(ROWS.c.id > 3))
    created = [one.subject_id for one in recorded(session)]
    assert sorted(created, key=str) == sorted((str(key) for key in keys), key=str)
    assert {one.type for one in recorded(session)} == {"installation.create"}


@pytest.fixture
def connection(session: Session) -> Iterator[Connection]:
    """Give a connection past any session, on the same rows."""
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    session.close()
    with engine.connect() as connection:
        yield connection


def test_a_core_update_through_a_session_is_recorded(session: Session) -> None:
    with because("swept"):
        result = session.execute(ROWS.update().values(is_enabled=False))
    session.commit()

    assert rowcount(result) == 3
    assert happened(session) == [
        "installation.disable 1: swept",
        "installation.disable 2: swept",
    ]


def test_a_core_update_through_a_connection_is_recorded(
    session: Session, connection: Connection
) -> None:
    with because("swept"):
        result = connection.execute(
            ROWS.update().where(ROWS.c.id == 1).values(is_enabled=False)
        )
    connection.commit()

    assert result.rowcount == 1
    event = only_event(session)
    assert (event.type, event.subject_id) == ("installation.disable", "1")
    assert (event.reason, event.jira_hostname) == ("swept", HOST)
    assert "test_a_core_update_through_a_connection" in (event.origin or "")


def test_a_core_delete_in_engine_begin_is_recorded(session: Session) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)

    with because("swept"), engine.begin() as connection:
        result = connection.execute(ROWS.delete().where(ROWS.c.is_enabled))

    assert result.rowcount == 2
    assert happened(session) == [
        "installation.destroy 1: swept",
        "installation.destroy 2: swept",
    ]


def test_a_core_change_that_is_not_committed_is_not_recorded(
    session: Session, connection: Connection
) -> None:
    connection.execute(ROWS.delete())
    connection.rollback()
    connection.commit()

    assert recorded(session) == []


def test_a_core_statement_that_failed_in_a_savepoint_records_nothing(
    session: Session, connection: Connection
) -> None:
    connection.execute(ROWS.update().where(ROWS.c.id == 1).values(is_enabled=False))
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(ROWS.delete().where(ROWS.c.id == 3))
        connection.execute(ROWS.insert().values(id=2))
    connection.commit()

    assert happened(session) == ["installation.disable 1: unattributed"]


def test_a_core_insert_is_recorded_and_its_result_is_as_before(
    session: Session, connection: Connection
) -> None:
    result = connection.execute(ROWS.insert().values(host="https://c.net"))
    key = result.inserted_primary_key
    connection.commit()

    event = only_event(session)
    assert key is not None
    assert (event.type, event.subject_id) == ("installation.create", str(key[0]))
    assert event.jira_hostname == "https://c.net"


def test_an_insert_of_several_values_creates_each_row(
    session: Session, connection: Connection
) -> None:
    rows = [{"is_enabled": True}, {"is_enabled": False}, {"is_enabled": None}]

    connection.execute(ROWS.insert().values(rows))
    connection.commit()

    assert sorted(one.state or "" for one in recorded(session)) == [
        State.DISABLED,
        State.DISABLED,
        State.ENABLED,
    ]
    assert_all_created(session)


def test_an_inline_insert_creates_its_row(
    session: Session, connection: Connection
) -> None:
    connection.execute(ROWS.insert().values(host="https://c.net").inline())
    connection.commit()

    assert only_event(session).jira_hostname == "https://c.net"
    assert_all_created(session)


def test_an_insert_gives_back_what_it_returns(
    session: Session, connection: Connection
) -> None:
    result = connection.execute(
        ROWS.insert().values(is_enabled=False).returning(ROWS.c.id, ROWS.c.is_enabled)
    )
    row = result.one()
    connection.commit()

    assert row.is_enabled is False
    assert happened(session) == [f"installation.create {row.id}: unattributed"]


@pytest.mark.parametrize("count", [1, 3, 1200])
def test_an_insert_of_a_list_creates_every_row_once(
    session: Session, connection: Connection, count: int
) -> None:
    rows = [{"host": f"https://{number}.net"} for number in range(count)]

    with because("imported"):
        connection.execute(ROWS.insert(), rows)
    connection.commit()

    hosts = {one.jira_hostname for one in recorded(session)}
    assert hosts == {row["host"] for row in rows}
    assert {one.reason for one in recorded(session)} == {"imported"}
    assert_all_created(session)


def test_an_insert_of_a_list_of_given_keys_creates_them(
    session: Session, connection: Connection
) -> None:
    connection.execute(ROWS.insert(), [{"id": 8}, {"id": 9}])
    connection.commit()

    assert happened(session) == [
        "installation.create 8: unattributed",
        "installation.create 9: unattributed",
    ]


def test_insert_from_select_with_generated_keys_creates_each_row(
    session: Session, connection: Connection
) -> None:
    connection.execute(
        ROWS.insert().from_select(
            ["host", "is_enabled"], select(OTHERS.c.text, literal(value=True))
        )
    )
    connection.commit()

    hosts = {one.jira_hostname for one in recorded(session)}
    assert hosts == {"https://a.net", "https://b.net"}
    assert_all_created(session)


def test_insert_from_a_union_with_given_keys_creates_each_row(session: Session) -> None:
    both = union_all(*(select(literal(key), literal("h"), true()) for key in (8, 9)))
    names = ["id", "host", "is_enabled"]
    session.execute(ROWS.insert().from_select(names, both, include_defaults=False))
    session.commit()

    assert happened(session) == [
        "installation.create 8: unattributed",
        "installation.create 9: unattributed",
    ]


def test_insert_from_a_select_draws_from_a_sequence_once(
    session: Session, connection: Connection
) -> None:
    only_postgresql(session)
    chosen = select(func.nextval("installation_id_seq"), true())

    before = connection.scalar(text("SELECT last_value FROM installation_id_seq"))
    connection.execute(ROWS.insert().from_select(["id", "is_enabled"], chosen))
    connection.commit()
    after = connection.scalar(text("SELECT last_value FROM installation_id_seq"))

    assert after - before <= 1
    assert happened(session) == [f"installation.create {after}: unattributed"]


def test_insert_from_a_select_that_gives_other_keys_each_time_is_not_silent(
    session: Session, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    by_chance = func.random() if kind(session) != "mariadb" else func.rand()
    key: Any = cast(1000 + 1_000_000 * by_chance, Integer)
    if kind(session) == "sqlite":
        key = func.abs(func.random() % 1_000_000) + 1000

    connection.execute(
        ROWS.insert().from_select(["id", "is_enabled"], select(key, true()))
    )
    connection.commit()

    # Beyond the table's counter they are found.
    assert len(caplog.messages) + len(happened(session)) == 1


def test_insert_from_select_with_given_keys_creates_each_row(session: Session) -> None:
    session.execute(
        insert(Installation).from_select(
            ["id", "is_enabled"], select(Untracked.id + 100, literal(value=False))
        )
    )
    session.commit()

    assert happened(session) == [
        "installation.create 101: unattributed",
        "installation.create 102: unattributed",
    ]
    assert {one.state for one in recorded(session)} == {State.DISABLED}


def test_an_update_from_another_table_changes_the_rows_that_match(
    session: Session, connection: Connection
) -> None:
    result = connection.execute(
        ROWS.update()
        .where(ROWS.c.account_id == ACCOUNTS.c.id, ACCOUNTS.c.id == 1)
        .values(is_enabled=False)
    )
    connection.commit()

    assert result.rowcount == 2
    assert happened(session) == ["installation.disable 1: unattributed"]


def test_what_else_a_statement_reads_is_asked_with_the_parameters_of_each_execution(
    session: Session, connection: Connection
) -> None:
    for key in (1, 2):
        chosen = select(OTHERS.c.id).where(OTHERS.c.id == key).subquery()
        statement = ROWS.update().values(is_enabled=False)
        connection.execute(statement.where(ROWS.c.id == chosen.c.id))
        connection.commit()

    assert happened(session) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: unattributed",
    ]


def test_a_statement_that_finds_its_rows_by_chance_is_warned_of(
    session: Session, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    by_chance = func.rand() if kind(session) == "mariadb" else func.random()

    connection.execute(ROWS.update().values(is_enabled=False).where(by_chance <= 2))
    name = by_chance.name
    sql = f"DELETE FROM installation WHERE {name}() <= 2"  # noqa: S608 - a name
    connection.execute(text(sql))
    connection.commit()

    assert len(caplog.messages) == 2
    assert happened(session) == []


def test_an_update_of_two_tables_changes_the_second(
    session: Session, connection: Connection
) -> None:
    if kind(session) != "mariadb":
        pytest.skip("only MariaDB updates two tables in one statement")

    connection.execute(
        OTHERS.update()
        .where(OTHERS.c.id == ROWS.c.id)
        .values({OTHERS.c.text: "x", ROWS.c.is_enabled: False})
    )
    connection.commit()

    assert happened(session) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: unattributed",
    ]


def test_an_update_of_two_tables_causes_no_warning(
    session: Session, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    if kind(session) != "mariadb":
        pytest.skip("only MariaDB updates two tables in one statement")

    connection.execute(
        ROWS.update()
        .where(OTHERS.c.id == ROWS.c.id)
        .values({OTHERS.c.text: "x", ROWS.c.is_enabled: False})
    )
    connection.commit()

    assert caplog.messages == []


def test_a_delete_using_another_table_destroys_the_rows_that_match(
    session: Session, connection: Connection
) -> None:
    if kind(session) == "sqlite":
        pytest.skip("SQLite has no DELETE ... USING")

    result = connection.execute(
        ROWS.delete().where(ROWS.c.account_id == ACCOUNTS.c.id, ACCOUNTS.c.id == 1)
    )
    connection.commit()

    assert result.rowcount == 2
    assert happened(session) == [
        "installation.destroy 1: unattributed",
        "installation.destroy 3: unattributed",
    ]


def test_a_delete_by_subquery_destroys_the_rows_that_match(
    session: Session, connection: Connection
) -> None:
    accounts = select(ACCOUNTS.c.id).scalar_subquery()

    connection.execute(ROWS.delete().where(ROWS.c.account_id.in_(accounts)))
    connection.commit()

    assert happened(session) == [
        "installation.destroy 1: unattributed",
        "installation.destroy 3: unattributed",
    ]


@pytest.mark.parametrize(
    "flag",
    [
        not_(ROWS.c.is_enabled),
        case((ROWS.c.id == 3, True), else_=False),
        select(ACCOUNTS.c.id).where(ROWS.c.id == 3).exists(),
    ],
    ids=["not", "case", "exists"],
)
def test_a_flag_set_by_an_expression_is_read_back(
    session: Session, connection: Connection, flag: Any
) -> None:
    connection.execute(ROWS.update().values(is_enabled=flag))
    connection.commit()

    assert happened(session) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: unattributed",
        "installation.enable 3: unattributed",
    ]


def test_a_list_of_updates_that_do_not_name_the_key_changes_what_each_matches(
    session: Session, connection: Connection
) -> None:
    statement = (
        ROWS.update()
        .where(ROWS.c.account_id == bindparam("account"), ROWS.c.id < bindparam("top"))
        .values(is_enabled=bindparam("flag"))
    )

    connection.execute(
        statement,
        [
            {"account": 1, "top": 3, "flag": False},
            {"account": 1, "top": 9, "flag": True},
            {"account": 2, "top": 9, "flag": False},
        ],
    )
    connection.commit()

    assert happened(session) == ["installation.enable 3: unattributed"]


def test_a_list_of_deletes_destroys_what_each_matches(
    session: Session, connection: Connection
) -> None:
    statement = ROWS.delete().where(ROWS.c.id > bindparam("low"))

    connection.execute(statement, [{"low": 2}, {"low": 7}, {"low": 1}])
    connection.commit()

    assert happened(session) == [
        "installation.destroy 2: unattributed",
        "installation.destroy 3: unattributed",
    ]


def test_untracked_columns_and_tables_are_nothing(
    session: Session, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute(ROWS.update().values(secret=literal("is_enabled")))
    connection.execute(OTHERS.update().values(text="x"))
    connection.execute(OTHERS.delete())
    connection.commit()

    assert recorded(session) == []
    assert caplog.messages == []


@pytest.mark.parametrize("action", ["update", "delete"])
def test_a_statement_in_a_cte_is_recorded(
    session: Session, connection: Connection, action: str
) -> None:
    only_postgresql(session)
    change = ROWS.update().values(is_enabled=False)
    statement = change if action == "update" else ROWS.delete()
    found = statement.where(ROWS.c.id < 3).returning(ROWS.c.id).cte("found")

    with because("swept"):
        rows = connection.execute(select(found.c.id)).all()
    connection.commit()

    step = "disable" if action == "update" else "destroy"
    assert sorted(tuple(row) for row in rows) == [(1,), (2,)]
    assert happened(session) == [
        f"installation.{step} 1: swept",
        f"installation.{step} 2: swept",
    ]


def test_a_delete_in_the_cte_of_an_insert_is_recorded(
    session: Session, connection: Connection
) -> None:
    only_postgresql(session)
    gone = ROWS.delete().where(ROWS.c.id == 3).returning(ROWS.c.id).cte("gone")

    connection.execute(
        OTHERS.insert().from_select(
            ["id", "text"], select(gone.c.id + 100, literal("x"))
        )
    )
    connection.commit()

    assert happened(session) == ["installation.destroy 3: unattributed"]


def test_an_insert_in_a_cte_is_recorded(
    session: Session, connection: Connection
) -> None:
    only_postgresql(session)
    made = ROWS.insert().values(is_enabled=False).returning(ROWS.c.id).cte("made")

    key = connection.scalar(select(made.c.id))
    connection.commit()

    assert happened(session) == [f"installation.create {key}: unattributed"]


INSERTED = ROWS.insert().values(host="h", is_enabled=True)


@pytest.mark.parametrize("key", [None, 1_000], ids=["generated", "given"])
def test_an_insert_beside_a_select_is_recorded(
    session: Session, connection: Connection, key: int | None
) -> None:
    only_postgresql(session)

    made = INSERTED if key is None else INSERTED.values(id=key)
    connection.execute(select(literal(1)).add_cte(made.cte("made")))
    connection.commit()

    [event] = recorded(session)
    assert event.type == "installation.create"
    assert key is None or event.subject_id == str(key)


def test_an_insert_of_a_given_key_inside_another_is_recorded(
    session: Session, connection: Connection
) -> None:
    only_postgresql(session)
    # Below the counter, so that it is not found by what lies beyond.
    connection.execute(text("SELECT setval('installation_id_seq', 500)"))

    made = INSERTED.values(id=90).returning(ROWS.c.id).cte("made")
    connection.execute(
        OTHERS.insert().values(
            id=91, text=select(cast(made.c.id, String)).scalar_subquery()
        )
    )
    connection.commit()

    assert happened(session) == ["installation.create 90: unattributed"]


def only_postgresql(session: Session) -> None:
    if kind(session) != "postgresql":
        pytest.skip("only PostgreSQL changes rows in a CTE")


def test_a_key_that_is_taken_makes_nothing_of_an_update_that_ignores_it(
    session: Session, connection: Connection
) -> None:
    word = {"sqlite": "OR IGNORE", "mariadb": "IGNORE"}.get(kind(session))
    if word is None:
        pytest.skip("PostgreSQL has no UPDATE that ignores")

    statement = ROWS.update().prefix_with(word)
    connection.execute(statement.where(ROWS.c.id == 1).values(id=2))
    connection.commit()

    assert happened(session) == []
