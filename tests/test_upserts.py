"""Upserts: what each row that was given came to, not what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import linked_models
import pytest
from linked_models import (
    Login,
    happened,
    kind,
    only_event,
    stored,
    table,
)
from sqlalchemy import Engine, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from hydro_hooks import State, because, register
from hydro_hooks.testing import recorded

ROWS = table(Login)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Yield a session on login 1, `ann`, enabled, and 2, `bob`, disabled."""
    linked_models.Base.metadata.create_all(engine)
    with register(*linked_models.odd()), Session(engine) as session:
        # Without keys: PostgreSQL does not count on from one that is given.
        stored(session, Login(name="ann", host="a"))
        stored(session, Login(name="bob", host="b", enabled=False))
        yield session


def row(id: int | None, name: str, *, enabled: bool, host: str = "h") -> dict[str, Any]:  # noqa: A002 - the column's name
    """Return the parameters of a row; without `id` where it is None."""
    values: dict[str, Any] = {"name": name, "host": host, "enabled": enabled}
    return values if id is None else {"id": id, **values}


def do_nothing(session: Session, target: Any = ROWS) -> Any:
    """Return an INSERT that leaves rows alone that are there already."""
    if kind(session) == "postgresql":
        return postgresql.insert(target).on_conflict_do_nothing()
    if kind(session) == "sqlite":
        return sqlite.insert(target).on_conflict_do_nothing()
    return mysql.insert(target).prefix_with("IGNORE")


def do_update(session: Session, *names: str, target: Any = ROWS, on: str = "id") -> Any:
    """Return an INSERT that sets columns of rows that are there already."""
    if kind(session) == "postgresql":
        given = postgresql.insert(target)
        return given.on_conflict_do_update(
            index_elements=[on], set_={name: given.excluded[name] for name in names}
        )
    if kind(session) == "sqlite":
        lite = sqlite.insert(target)
        return lite.on_conflict_do_update(
            index_elements=[on], set_={name: lite.excluded[name] for name in names}
        )
    asked = mysql.insert(target)
    return asked.on_duplicate_key_update({name: asked.inserted[name] for name in names})


def test_do_nothing_creates_the_rows_that_were_not_there(session: Session) -> None:
    statement = do_nothing(session).values(
        [row(1, "ann", enabled=False), row(9, "cid", enabled=True)]
    )

    with because("synced"):
        session.execute(statement)
    session.commit()

    event = only_event(session)
    assert (event.type, event.subject_id) == ("login.create", "9")
    assert (event.reason, event.jira_hostname) == ("synced", "h")
    assert "test_do_nothing_creates" in (event.origin or "")


def test_do_nothing_where_all_are_there_records_nothing(session: Session) -> None:
    rows = [row(1, "ann", enabled=False), row(9, "bob", enabled=True)]

    session.execute(do_nothing(session).values(rows))
    session.commit()

    assert recorded(session) == []
    assert len(session.scalars(select(ROWS.c.id)).all()) == 2


def test_do_nothing_with_generated_keys_creates_only_new_rows(
    session: Session,
) -> None:
    rows = [row(None, "ann", enabled=False), row(None, "cid", enabled=False)]

    session.execute(do_nothing(session).values(rows))
    session.commit()

    event = only_event(session)
    key = session.scalar(select(ROWS.c.id).where(ROWS.c.name == "cid"))
    assert (event.type, event.subject_id) == ("login.create", str(key))
    assert event.state is State.DISABLED


def test_do_update_of_a_row_that_is_there_changes_its_flag(session: Session) -> None:
    statement = do_update(session, "enabled").values(**row(1, "ann", enabled=False))

    with because("synced"):
        session.execute(statement)
    session.commit()

    assert happened(session) == ["login.disable 1: synced"]


def test_do_update_of_a_row_that_is_not_there_creates_it(session: Session) -> None:
    statement = do_update(session, "enabled").values(**row(9, "cid", enabled=False))

    session.execute(statement)
    session.commit()

    event = only_event(session)
    assert (event.type, event.subject_id) == ("login.create", "9")
    assert event.state is State.DISABLED


def test_do_update_of_several_rows_tells_each_apart(session: Session) -> None:
    statement = do_update(session, "enabled", "host").values(
        [
            row(1, "ann", enabled=False),
            row(2, "bob", enabled=False),
            row(9, "cid", enabled=True),
        ]
    )

    session.execute(statement)
    session.commit()

    assert happened(session) == [
        "login.create 9: unattributed",
        "login.disable 1: unattributed",
    ]
    assert {one.jira_hostname for one in recorded(session)} == {"h"}


def test_an_upsert_that_changes_nothing_records_nothing(session: Session) -> None:
    statement = do_update(session, "enabled", "host").values(
        **row(1, "ann", enabled=True, host="a")
    )

    session.execute(statement)
    session.commit()

    assert recorded(session) == []


def test_an_upsert_of_a_value_alone_records_nothing(session: Session) -> None:
    statement = do_update(session, "host").values(**row(1, "ann", enabled=False))

    session.execute(statement)
    session.commit()

    assert recorded(session) == []
    assert session.get_one(Login, 1).host == "h"


def test_an_upsert_that_conflicts_on_another_key_changes_the_row_that_has_it(
    session: Session,
) -> None:
    statement = do_update(session, "enabled", on="name").values(
        **row(9, "ann", enabled=False)
    )

    session.execute(statement)
    session.commit()

    assert happened(session) == ["login.disable 1: unattributed"]


def test_an_upsert_on_another_key_with_generated_keys(session: Session) -> None:
    statement = do_update(session, "enabled", on="name").values(
        [row(None, "ann", enabled=False), row(None, "cid", enabled=True)]
    )

    session.execute(statement)
    session.commit()

    key = session.scalar(select(ROWS.c.id).where(ROWS.c.name == "cid"))
    assert happened(session) == [
        f"login.create {key}: unattributed",
        "login.disable 1: unattributed",
    ]


def test_an_upsert_that_renumbers_a_row_destroys_and_creates(session: Session) -> None:
    statement = do_update(session, "id", on="name").values(
        **row(9, "ann", enabled=False)
    )

    session.execute(statement)
    session.commit()

    told = {(one.type, one.subject_id, one.state) for one in recorded(session)}
    assert told == {
        ("login.destroy", "1", State.ABSENT),
        ("login.create", "9", State.ENABLED),
    }


def test_an_upsert_whose_condition_fails_changes_nothing(session: Session) -> None:
    if kind(session) == "mariadb":
        pytest.skip("MariaDB has no condition in ON DUPLICATE KEY UPDATE")
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[kind(session)]
    statement = dialect.insert(ROWS).on_conflict_do_update(
        index_elements=["id"], set_={"enabled": False}, where=ROWS.c.host == "z"
    )

    session.execute(statement.values(**row(1, "ann", enabled=False)))
    session.commit()

    assert recorded(session) == []


@pytest.mark.parametrize("count", [1, 40])
def test_a_list_of_upserts_tells_each_row_apart(session: Session, count: int) -> None:
    rows = [row(1, "ann", enabled=False), row(2, "bob", enabled=True)]
    rows.extend(row(9 + number, f"n{number}", enabled=True) for number in range(count))

    with because("synced"):
        session.execute(do_update(session, "enabled"), rows)
    session.commit()

    created = [f"login.create {9 + number}: synced" for number in range(count)]
    assert happened(session) == sorted(
        [*created, "login.disable 1: synced", "login.enable 2: synced"]
    )


def test_a_list_of_upserts_on_another_key_with_generated_keys(
    session: Session,
) -> None:
    rows = [row(None, name, enabled=False) for name in ("ann", "bob", "cid")]

    session.execute(do_update(session, "enabled", on="name"), rows)
    session.commit()

    key = session.scalar(select(ROWS.c.id).where(ROWS.c.name == "cid"))
    assert happened(session) == [
        f"login.create {key}: unattributed",
        "login.disable 1: unattributed",
    ]


def test_a_list_that_ignores_what_is_there_creates_the_rest(session: Session) -> None:
    rows = [row(1, "ann", enabled=False), row(9, "cid", enabled=True)]

    session.execute(do_nothing(session), rows)
    session.commit()

    assert happened(session) == ["login.create 9: unattributed"]


def test_an_orm_upsert_is_recorded(session: Session) -> None:
    rows = [row(1, "ann", enabled=False), row(9, "cid", enabled=True)]

    with because("synced"):
        session.execute(do_update(session, "enabled", target=Login), rows)
    session.commit()

    assert happened(session) == ["login.create 9: synced", "login.disable 1: synced"]


def test_an_upsert_gives_back_what_it_returns(session: Session) -> None:
    statement = do_update(session, "enabled").values(
        [row(1, "ann", enabled=False), row(9, "cid", enabled=True)]
    )

    found = session.execute(statement.returning(ROWS.c.id, ROWS.c.enabled)).all()
    session.commit()

    assert sorted(tuple(one) for one in found) == [(1, False), (9, True)]
    assert happened(session) == [
        "login.create 9: unattributed",
        "login.disable 1: unattributed",
    ]


def test_an_upsert_in_a_rolled_back_savepoint_is_forgotten(session: Session) -> None:
    statement = do_update(session, "enabled").values(**row(1, "ann", enabled=False))

    savepoint = session.begin_nested()
    session.execute(statement)
    savepoint.rollback()
    session.commit()

    assert recorded(session) == []


def test_two_upserts_of_one_row_net_out(session: Session) -> None:
    statement = do_update(session, "enabled")

    session.execute(statement.values(**row(1, "ann", enabled=False)))
    session.execute(statement.values(**row(1, "ann", enabled=True)))
    session.commit()

    assert recorded(session) == []


def test_sqlite_or_ignore_creates_the_rows_that_were_not_there(
    session: Session,
) -> None:
    only("sqlite", session)
    rows = [row(1, "ann", enabled=False), row(9, "cid", enabled=True)]

    session.execute(ROWS.insert().prefix_with("OR IGNORE").values(rows))
    session.execute(
        ROWS.insert().prefix_with("OR IGNORE"), [row(None, "bob", enabled=True)]
    )
    session.commit()

    assert happened(session) == ["login.create 9: unattributed"]


def test_sqlite_or_replace_changes_a_row_of_the_same_key(session: Session) -> None:
    only("sqlite", session)
    rows = [row(1, "ann", enabled=False), row(2, "bob", enabled=False)]

    session.execute(ROWS.insert().prefix_with("OR REPLACE").values(rows))
    session.commit()

    assert happened(session) == ["login.disable 1: unattributed"]


def test_sqlite_or_replace_destroys_the_row_that_it_puts_away(
    session: Session,
) -> None:
    only("sqlite", session)

    session.execute(
        ROWS.insert().prefix_with("OR REPLACE").values(**row(9, "ann", enabled=True))
    )
    session.commit()

    assert happened(session) == [
        "login.create 9: unattributed",
        "login.destroy 1: unattributed",
    ]
    hosts = {one.subject_id: one.jira_hostname for one in recorded(session)}
    assert hosts == {"1": "a", "9": "h"}


REPLACE = (
    "REPLACE INTO login (id, name, host, enabled) VALUES (:id, :name, :host, :enabled)"
)


def test_a_raw_replace_changes_a_row_of_the_same_key(session: Session) -> None:
    not_postgresql(session)

    session.execute(text(REPLACE), row(1, "ann", enabled=False))
    session.execute(text(REPLACE), row(2, "bob", enabled=False))
    session.commit()

    assert happened(session) == ["login.disable 1: unattributed"]


def test_a_raw_replace_destroys_the_row_that_it_puts_away(session: Session) -> None:
    not_postgresql(session)

    session.execute(text(REPLACE), row(9, "ann", enabled=True))
    session.commit()

    assert happened(session) == [
        "login.create 9: unattributed",
        "login.destroy 1: unattributed",
    ]


def test_a_replace_that_puts_two_rows_away_destroys_both(session: Session) -> None:
    """Its key is one row's, its name another's."""
    not_postgresql(session)

    session.execute(text(REPLACE), row(1, "bob", enabled=True))
    session.commit()

    assert happened(session) == ["login.destroy 2: unattributed"]


def test_mariadb_insert_ignore_from_select_creates_only_new_rows(
    session: Session,
) -> None:
    only("mariadb", session)
    given = select(ROWS.c.id + 1, ROWS.c.name.concat("x"), ROWS.c.enabled)

    session.execute(
        ROWS.insert()
        .prefix_with("IGNORE")
        .from_select(["id", "name", "enabled"], given, include_defaults=False)
    )
    session.commit()

    assert happened(session) == ["login.create 3: unattributed"]


def only(name: str, session: Session) -> None:
    if kind(session) != name:
        pytest.skip(f"the statement is {name}'s own")


def not_postgresql(session: Session) -> None:
    if kind(session) == "postgresql":
        pytest.skip("PostgreSQL has no REPLACE")
