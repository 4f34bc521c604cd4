"""Rows that the database deletes with others, without the ORM's knowledge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import linked_models
import pytest
from linked_models import (
    Account,
    Badge,
    Folder,
    Installation,
    Repository,
    Subscription,
    Workspace,
    happened,
    kind,
    rowcount,
    stored,
    table,
)
from sqlalchemy import Engine, delete, event, text, update
from sqlalchemy.orm import Session

from hydro_hooks import because, register
from hydro_hooks.testing import recorded


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Yield a session; on SQLite, foreign keys are enforced."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", enforce_foreign_keys)
        engine.dispose()
    linked_models.Base.metadata.create_all(engine)
    with register(*linked_models.cascading()), Session(engine) as session:
        yield session


def enforce_foreign_keys(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.execute("PRAGMA foreign_keys=ON")


def by_orm(session: Session, model: Any, key: int) -> None:
    session.delete(session.get_one(model, key))
    session.flush()


def in_bulk(session: Session, model: Any, key: int) -> None:
    result = session.execute(delete(model).where(model.id == key))
    assert rowcount(result) == 1


def by_core(session: Session, model: Any, key: int) -> None:
    rows = table(model)
    result = session.connection().execute(rows.delete().where(rows.c.id == key))
    assert result.rowcount == 1


def by_raw_sql(session: Session, model: Any, key: int) -> None:
    statement = text(f"DELETE FROM {model.__tablename__} WHERE id = :key")  # noqa: S608 - the tests' own names
    result = session.execute(statement, {"key": key})
    assert rowcount(result) == 1


Remove = Callable[[Session, Any, int], None]
EVERY_WAY = pytest.mark.parametrize(
    "remove",
    [by_orm, in_bulk, by_core, by_raw_sql],
    ids=["orm", "bulk", "core", "raw"],
)


def family(session: Session) -> None:
    """Store an account, below it three levels, and beside it a family of its own."""
    for key in (1, 2):
        session.add(Account(id=key))
        session.flush()
        session.add(Installation(id=key, account_id=key))
        session.flush()
        for number in (10, 20):
            session.add(Subscription(id=key + number, installation_id=key))
            session.flush()
            session.add(Repository(id=key + number, subscription_id=key + number))
    stored(session)


BELOW_INSTALLATION_1 = [
    "repository.destroy 11: closed",
    "repository.destroy 21: closed",
    "subscription.destroy 11: closed",
    "subscription.destroy 21: closed",
]


@EVERY_WAY
def test_children_of_a_tracked_parent_go_with_it(
    session: Session, remove: Remove
) -> None:
    family(session)

    with because("closed"):
        remove(session, Installation, 1)
    session.commit()

    events = recorded(session)
    assert happened(session) == [
        "installation.destroy 1: closed",
        *BELOW_INSTALLATION_1,
    ]
    assert len({one.transaction_id for one in events}) == 1
    assert {one.jira_integration_id for one in events} == {1, None}
    assert all("test_database_cascades" in (one.origin or "") for one in events)


@EVERY_WAY
def test_three_levels_below_an_untracked_parent_go_with_it(
    session: Session, remove: Remove
) -> None:
    family(session)

    with because("closed"):
        remove(session, Account, 1)
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: closed",
        *BELOW_INSTALLATION_1,
    ]


@EVERY_WAY
def test_children_whose_relationship_does_nothing_go_with_their_parent(
    session: Session, remove: Remove
) -> None:
    """`passive_deletes="all"`."""
    family(session)

    with because("closed"):
        remove(session, Subscription, 11)
    session.commit()

    assert happened(session) == [
        "repository.destroy 11: closed",
        "subscription.destroy 11: closed",
    ]


@EVERY_WAY
def test_children_go_through_an_untracked_table_in_the_middle(
    session: Session, remove: Remove
) -> None:
    session.add(Installation(id=1))
    session.flush()
    session.add(Workspace(id=2, installation_id=1))
    session.flush()
    stored(session, Subscription(id=3, workspace_id=2), Subscription(id=4))

    with because("closed"):
        remove(session, Installation, 1)
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: closed",
        "subscription.destroy 3: closed",
    ]


@EVERY_WAY
def test_a_tree_goes_with_its_root(session: Session, remove: Remove) -> None:
    for key, parent in ((1, None), (2, 1), (3, 2), (4, 3), (5, 3), (6, None), (7, 6)):
        session.add(Folder(id=key, parent_id=parent))
        session.flush()
    stored(session)

    with because("closed"):
        remove(session, Folder, 2)
    session.commit()

    assert happened(session) == [
        f"folder.destroy {key}: closed" for key in (2, 3, 4, 5)
    ]


def test_a_child_whose_parents_both_go_is_one_destroy(session: Session) -> None:
    session.add(Installation(id=1))
    session.flush()
    session.add(Workspace(id=2, installation_id=1))
    session.flush()
    stored(session, Subscription(id=3, workspace_id=2, installation_id=1))

    in_bulk(session, Installation, 1)
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: unattributed",
        "subscription.destroy 3: unattributed",
    ]


def test_a_destroyed_child_has_the_values_that_others_last_saw(
    session: Session,
) -> None:
    session.add(Installation(id=1))
    session.flush()
    stored(session, Subscription(id=3, installation_id=1, github_id=33))

    session.execute(update(Subscription).values(github_id=44))
    by_core(session, Installation, 1)
    session.commit()

    ids = {one.subject_id: one.github_installation_id for one in recorded(session)}
    assert ids == {"1": None, "3": 33}


def test_each_child_carries_the_cause_of_its_own_parent(session: Session) -> None:
    family(session)
    first, second = (session.get_one(Installation, key) for key in (1, 2))

    with because("first"):
        session.delete(first)
    with because("second"):
        session.delete(second)
    with because("committed"):
        session.commit()

    assert happened(session) == [
        "installation.destroy 1: first",
        "installation.destroy 2: second",
        "repository.destroy 11: first",
        "repository.destroy 12: second",
        "repository.destroy 21: first",
        "repository.destroy 22: second",
        "subscription.destroy 11: first",
        "subscription.destroy 12: second",
        "subscription.destroy 21: first",
        "subscription.destroy 22: second",
    ]


def test_each_child_carries_the_cause_of_its_own_untracked_root(
    session: Session,
) -> None:
    family(session)
    first, second = (session.get_one(Account, key) for key in (1, 2))

    with because("first"):
        session.delete(first)
    with because("second"):
        session.delete(second)
    session.commit()

    reasons = {one.subject_id: one.reason for one in recorded(session)}
    assert reasons == {
        "1": "first",
        "2": "second",
        "11": "first",
        "12": "second",
        "21": "first",
        "22": "second",
    }


def test_children_of_several_parents_go_with_one_statement(session: Session) -> None:
    family(session)

    result = session.execute(delete(Account))
    session.commit()

    assert rowcount(result) == 2
    assert len(recorded(session)) == 10


def test_a_parent_that_is_not_there_takes_no_children(session: Session) -> None:
    family(session)

    session.execute(delete(Account).where(Account.id == 3))
    session.commit()

    assert recorded(session) == []


def test_a_child_that_was_moved_before_stays(session: Session) -> None:
    family(session)

    session.execute(
        update(Subscription).where(Subscription.id == 11).values(installation_id=2)
    )
    by_core(session, Installation, 1)
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: unattributed",
        "repository.destroy 21: unattributed",
        "subscription.destroy 21: unattributed",
    ]


def test_a_child_of_the_same_transaction_never_was(session: Session) -> None:
    family(session)

    session.add(Subscription(id=99, installation_id=1))
    session.flush()
    by_core(session, Account, 1)
    session.commit()

    assert "99" not in {one.subject_id for one in recorded(session)}
    assert len(recorded(session)) == 5


def test_a_child_disabled_before_is_destroyed_by_what_removed_its_parent(
    session: Session,
) -> None:
    family(session)

    with because("paused"):
        session.get_one(Subscription, 11).enabled = False
        session.flush()
    with because("closed"):
        by_core(session, Installation, 1)
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: closed",
        *BELOW_INSTALLATION_1,
    ]


@EVERY_WAY
def test_a_cascade_in_a_rolled_back_savepoint_is_forgotten(
    session: Session, remove: Remove
) -> None:
    family(session)

    savepoint = session.begin_nested()
    remove(session, Account, 1)
    savepoint.rollback()
    remove(session, Subscription, 12)
    session.commit()

    assert happened(session) == [
        "repository.destroy 12: unattributed",
        "subscription.destroy 12: unattributed",
    ]


@EVERY_WAY
def test_a_row_whose_foreign_key_is_set_to_null_is_still_there(
    session: Session, remove: Remove
) -> None:
    session.add(Installation(id=1))
    session.flush()
    stored(session, Badge(id=5, installation_id=1))

    remove(session, Installation, 1)
    session.commit()
    session.get_one(Badge, 5).enabled = False
    session.commit()

    told = [(one.type, one.jira_integration_id) for one in recorded(session)]
    assert told == [("installation.destroy", 1), ("badge.disable", None)]


@EVERY_WAY
def test_a_foreign_key_set_to_null_before_shows_in_what_happens_after_it(
    session: Session, remove: Remove
) -> None:
    session.add(Installation(id=1))
    session.flush()
    stored(session, *(Badge(id=key, installation_id=1) for key in (5, 6, 7)))
    first = session.get_one(Badge, 5)

    first.enabled = False
    session.flush()
    remove(session, Installation, 1)
    session.execute(update(Badge).where(Badge.id == 6).values(enabled=False))
    session.execute(delete(Badge).where(Badge.id == 7))
    session.commit()

    told = {
        (one.type, one.subject_id, one.jira_integration_id) for one in recorded(session)
    }
    assert told == {
        ("installation.destroy", "1", 1),
        ("badge.disable", "5", None),
        ("badge.disable", "6", None),
        ("badge.destroy", "7", 1),
    }


@EVERY_WAY
def test_a_cascade_that_the_database_does_not_perform_records_no_child(
    session: Session, remove: Remove
) -> None:
    session.add(Installation(id=1))
    session.flush()
    stored(session, Subscription(id=3, installation_id=1))
    stop_enforcing(session)

    remove(session, Installation, 1)
    session.commit()

    assert happened(session) == ["installation.destroy 1: unattributed"]
    assert session.get_one(Subscription, 3).installation_id == 1


def stop_enforcing(session: Session) -> None:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    if kind(session) == "sqlite":
        session.close()
        event.remove(engine, "connect", enforce_foreign_keys)
        engine.dispose()
        return
    word = "CONSTRAINT" if kind(session) == "postgresql" else "FOREIGN KEY"
    session.execute(text(f"ALTER TABLE subscription DROP {word} to_installation"))
    session.commit()


def test_a_replaced_parent_takes_its_children(session: Session) -> None:
    """REPLACE deletes the row that is in its way."""
    if kind(session) == "postgresql":
        pytest.skip("PostgreSQL has no REPLACE")
    family(session)

    with because("closed"):
        session.execute(text("REPLACE INTO account (id, name) VALUES (1, 'x')"))
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: closed",
        *BELOW_INSTALLATION_1,
    ]


def test_a_delete_in_a_cte_takes_the_children_with_it(session: Session) -> None:
    if kind(session) != "postgresql":
        pytest.skip("only PostgreSQL deletes in a CTE")
    family(session)
    rows = table(Account)
    gone = rows.delete().where(rows.c.id == 1).returning(rows.c.id).cte("gone")

    with because("closed"):
        found = session.scalars(gone.select()).all()
    session.commit()

    assert found == [1]
    assert happened(session) == [
        "installation.destroy 1: closed",
        *BELOW_INSTALLATION_1,
    ]


def test_a_root_that_is_not_tracked_goes_without_a_warning(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    family(session)

    session.execute(delete(Account).where(Account.name != "nobody"))
    session.commit()

    assert caplog.messages == []
