"""ORM bulk statements and the legacy bulk methods: what they did is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import linked_models
import pytest
from linked_models import (
    Animal,
    Cat,
    Dog,
    Job,
    Page,
    Task,
    happened,
    kind,
    only_event,
    rowcount,
    stored,
)
from sqlalchemy import Engine, case, delete, insert, null, select, update
from sqlalchemy.orm import Session
from tracked_models import HOST, Installation, Untracked

from hydro_hooks import State, because, register
from hydro_hooks.testing import recorded

SYNCHRONIZED = pytest.mark.parametrize("strategy", [False, "evaluate", "fetch", "auto"])


def three(session: Session) -> None:
    """Store rows 1 and 2, enabled, and 3, disabled."""
    stored(
        session,
        Installation(id=1),
        Installation(id=2),
        Installation(id=3, enabled=False),
    )


@SYNCHRONIZED
def test_a_bulk_update_changes_the_rows_it_matches(
    session: Session, strategy: Any
) -> None:
    three(session)

    with because("swept"):
        result = session.execute(
            update(Installation).where(Installation.id > 1).values(enabled=False),
            execution_options={"synchronize_session": strategy},
        )
    session.commit()

    assert rowcount(result) == 2
    event = only_event(session)
    assert (event.type, event.subject_id) == ("installation.disable", "2")
    assert (event.reason, event.jira_hostname) == ("swept", HOST)
    assert "test_a_bulk_update_changes_the_rows_it_matches" in (event.origin or "")


@SYNCHRONIZED
def test_a_bulk_delete_destroys_the_rows_it_matches(
    session: Session, strategy: Any
) -> None:
    three(session)

    with because("swept"):
        result = session.execute(
            delete(Installation).where(Installation.id > 1),
            execution_options={"synchronize_session": strategy},
        )
    session.commit()

    assert rowcount(result) == 2
    assert happened(session) == [
        "installation.destroy 2: swept",
        "installation.destroy 3: swept",
    ]
    assert {one.jira_integration_id for one in recorded(session)} == {2, 3}


def test_a_bulk_update_gives_back_what_it_returns(session: Session) -> None:
    if kind(session) == "mariadb":
        pytest.skip("MariaDB has no UPDATE ... RETURNING")
    three(session)

    statement = update(Installation).where(Installation.id > 1).values(enabled=False)
    found = session.execute(
        statement.returning(Installation.id, Installation.enabled)
    ).all()
    session.commit()

    assert sorted(tuple(row) for row in found) == [(2, False), (3, False)]
    assert happened(session) == ["installation.disable 2: unattributed"]


def test_a_bulk_delete_gives_back_what_it_returns(session: Session) -> None:
    three(session)

    found = session.execute(
        delete(Installation).where(Installation.id > 1).returning(Installation.id)
    ).all()
    session.commit()

    assert sorted(tuple(row) for row in found) == [(2,), (3,)]
    assert happened(session) == [
        "installation.destroy 2: unattributed",
        "installation.destroy 3: unattributed",
    ]


def test_a_bulk_insert_creates_rows_with_generated_keys(session: Session) -> None:
    rows = [{"jira_host": "https://a.net"}, {"jira_host": "https://b.net"}]

    with because("imported"):
        session.execute(insert(Installation), rows)
    session.commit()

    stored_keys = session.scalars(select(Installation.id)).all()
    events = recorded(session)
    assert {one.type for one in events} == {"installation.create"}
    assert {one.reason for one in events} == {"imported"}
    assert {one.jira_hostname for one in events} == {"https://a.net", "https://b.net"}
    assert sorted(one.subject_id or "" for one in events) == [
        str(key) for key in sorted(stored_keys)
    ]


def test_a_bulk_insert_creates_rows_with_given_keys(session: Session) -> None:
    session.execute(insert(Installation), [{"id": 5}, {"id": 6, "enabled": False}])
    session.commit()

    states = {one.subject_id: one.state for one in recorded(session)}
    assert states == {"5": State.ENABLED, "6": State.DISABLED}


def test_a_bulk_insert_gives_back_what_it_returns(session: Session) -> None:
    rows = [{"enabled": True}, {"enabled": False}]

    statement = insert(Installation).returning(
        Installation, sort_by_parameter_order=True
    )
    found = session.scalars(statement, rows).all()
    session.commit()

    assert [one.enabled for one in found] == [True, False]
    assert happened(session) == [
        f"installation.create {one.id}: unattributed" for one in found
    ]


def test_a_bulk_insert_of_values_is_a_create(session: Session) -> None:
    row = session.scalars(
        insert(Installation).values(enabled=False).returning(Installation)
    ).one()
    session.commit()

    event = only_event(session)
    assert (event.subject_id, event.state) == (str(row.id), State.DISABLED)


def test_a_bulk_update_by_primary_key_changes_each_row(session: Session) -> None:
    three(session)

    with because("swept"):
        session.execute(
            update(Installation),
            [{"id": 1, "enabled": False}, {"id": 3, "enabled": True}],
        )
    session.commit()

    assert happened(session) == [
        "installation.disable 1: swept",
        "installation.enable 3: swept",
    ]


@SYNCHRONIZED
def test_query_update_changes_the_rows_it_matches(
    session: Session, strategy: Any
) -> None:
    three(session)

    with because("swept"):
        count = (
            session.query(Installation)
            .filter(Installation.id < 3)
            .update({Installation.enabled: False}, synchronize_session=strategy)
        )
    session.commit()

    assert count == 2
    assert happened(session) == [
        "installation.disable 1: swept",
        "installation.disable 2: swept",
    ]


@SYNCHRONIZED
def test_query_delete_destroys_the_rows_it_matches(
    session: Session, strategy: Any
) -> None:
    three(session)

    with because("swept"):
        count = (
            session.query(Installation)
            .filter(Installation.id > 2)
            .delete(synchronize_session=strategy)
        )
    session.commit()

    assert count == 1
    assert happened(session) == ["installation.destroy 3: swept"]


@pytest.mark.parametrize("defaults", [True, False])
def test_bulk_save_objects_creates_new_rows(session: Session, defaults: bool) -> None:  # noqa: FBT001 - pytest's way
    rows = [Installation(jira_host="https://a.net"), Installation(enabled=False)]

    with because("imported"):
        session.bulk_save_objects(rows, return_defaults=defaults)
    session.commit()

    stored_keys = sorted(session.scalars(select(Installation.id)))
    assert happened(session) == [
        f"installation.create {key}: imported" for key in stored_keys
    ]


def test_bulk_save_objects_changes_rows(session: Session) -> None:
    three(session)
    row = session.get_one(Installation, 1)
    session.expunge(row)

    row.enabled = False
    with because("saved"):
        session.bulk_save_objects([row])
    session.commit()

    assert happened(session) == ["installation.disable 1: saved"]


def test_bulk_insert_mappings_creates_rows(session: Session) -> None:
    with because("imported"):
        session.bulk_insert_mappings(
            Installation.__mapper__, [{"id": 8}, {"id": 9, "enabled": None}]
        )
    session.commit()

    assert happened(session) == [
        "installation.create 8: imported",
        "installation.create 9: imported",
    ]


def test_bulk_update_mappings_changes_rows(session: Session) -> None:
    three(session)

    with because("mapped"):
        session.bulk_update_mappings(
            Installation.__mapper__,
            [{"id": 1, "enabled": False}, {"id": 2, "secret": "x"}],
        )
    session.commit()

    assert happened(session) == ["installation.disable 1: mapped"]


@pytest.mark.parametrize(
    "flag",
    [
        ~Installation.enabled,
        case((Installation.id == 3, True), else_=False),
        Installation.id == 3,
    ],
    ids=["not", "case", "expression"],
)
def test_a_flag_set_by_an_expression_is_read_back(session: Session, flag: Any) -> None:
    three(session)

    session.execute(update(Installation).values(enabled=flag))
    session.commit()

    assert happened(session) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: unattributed",
        "installation.enable 3: unattributed",
    ]


def test_a_bulk_update_to_null_is_a_disable_where_it_was_enabled(
    session: Session,
) -> None:
    three(session)

    session.execute(update(Installation).values(enabled=null()))
    session.commit()

    assert happened(session) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: unattributed",
    ]


def test_a_bulk_statement_that_matches_nothing_records_nothing(
    session: Session,
) -> None:
    three(session)

    nothing = Installation.id > 3
    updated = session.execute(update(Installation).where(nothing).values(enabled=False))
    deleted = session.execute(delete(Installation).where(nothing))
    session.commit()

    assert (rowcount(updated), rowcount(deleted)) == (0, 0)
    assert recorded(session) == []


def test_a_bulk_statement_on_untracked_columns_and_tables_records_nothing(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    three(session)
    stored(session, Untracked())

    session.execute(update(Installation).values(secret="x"))
    session.execute(update(Untracked).values(text="x"))
    session.execute(insert(Untracked), [{"text": "y"}])
    session.execute(delete(Untracked))
    session.commit()

    assert recorded(session) == []
    assert caplog.messages == []


def test_a_key_changed_in_bulk_is_a_destroy_and_a_create(session: Session) -> None:
    three(session)

    with because("renumbered"):
        session.execute(
            update(Installation).where(Installation.id == 1).values(id=9),
            execution_options={"synchronize_session": False},
        )
    session.commit()

    assert happened(session) == [
        "installation.create 9: renumbered",
        "installation.destroy 1: renumbered",
    ]


def test_keys_shifted_in_bulk_are_destroys_and_creates(session: Session) -> None:
    three(session)

    result = session.execute(
        update(Installation).values(id=Installation.id + 100),
        execution_options={"synchronize_session": False},
    )
    session.commit()

    assert rowcount(result) == 3
    told = {(one.type, one.subject_id, one.state) for one in recorded(session)}
    assert told == {
        ("installation.destroy", "1", State.ABSENT),
        ("installation.destroy", "2", State.ABSENT),
        ("installation.destroy", "3", State.ABSENT),
        ("installation.create", "101", State.ENABLED),
        ("installation.create", "102", State.ENABLED),
        ("installation.create", "103", State.DISABLED),
    }


@pytest.fixture
def odd(engine: Engine) -> Iterator[Session]:
    linked_models.Base.metadata.create_all(engine)
    with register(*linked_models.odd()), Session(engine) as session:
        yield session


def test_a_soft_delete_in_bulk_is_a_destroy_and_undone_a_create(odd: Session) -> None:
    stored(odd, Page(id=1), Page(id=2, is_deleted=True))

    with because("hidden"):
        odd.execute(update(Page).values(is_deleted=True))
    odd.commit()
    with because("restored"):
        odd.execute(update(Page).where(Page.id == 2).values(is_deleted=False))
    odd.commit()
    with because("gone"):
        odd.execute(delete(Page))
    odd.commit()

    assert [(one.type, one.subject_id, one.reason) for one in recorded(odd)] == [
        ("page.destroy", "1", "hidden"),
        ("page.create", "2", "restored"),
        ("page.destroy", "2", "gone"),
    ]


def test_bulk_statements_on_a_base_reach_its_subclasses(odd: Session) -> None:
    stored(odd, Animal(id=1), Dog(id=2), Cat(id=3))

    odd.execute(update(Animal).values(enabled=False))
    odd.execute(delete(Cat))
    odd.commit()

    assert happened(odd) == [
        "animal.destroy 3: unattributed",
        "animal.disable 1: unattributed",
        "animal.disable 2: unattributed",
    ]


def test_a_bulk_insert_of_subclasses_creates_subjects_of_the_base(
    odd: Session,
) -> None:
    odd.execute(insert(Dog), [{"id": 1, "name": "Rex"}, {"id": 2, "name": "Max"}])
    odd.execute(insert(Cat), [{"id": 3, "enabled": False}])
    odd.commit()

    assert happened(odd) == [
        "animal.create 1: unattributed",
        "animal.create 2: unattributed",
        "animal.create 3: unattributed",
    ]


def test_a_bulk_update_of_a_single_table_subclass_leaves_its_siblings(
    odd: Session,
) -> None:
    stored(odd, Animal(id=1), Cat(id=2))

    odd.execute(update(Cat).values(enabled=False))
    odd.commit()

    assert happened(odd) == ["animal.disable 2: unattributed"]


def test_of_a_tracked_single_table_subclass_only_its_rows_are_subjects(
    odd: Session,
) -> None:
    stored(odd, Task(id=1), Job(id=2))

    odd.execute(update(Task).values(enabled=False))
    odd.execute(insert(Task), [{"id": 3}])
    odd.execute(insert(Job), [{"id": 4}])
    odd.commit()

    assert happened(odd) == [
        "job.create 4: unattributed",
        "job.disable 2: unattributed",
    ]


def test_rows_with_keys_beyond_the_counter_are_not_taken_for_those_of_a_later_insert(
    session: Session,
) -> None:
    with because("given"):
        session.execute(insert(Installation), [{"id": 700}, {"id": 701}])
    session.execute(delete(Installation).where(Installation.id == 701))
    with because("made"):
        session.execute(insert(Installation), [{"enabled": True}, {"enabled": True}])
    session.commit()

    reasons = {one.subject_id: one.reason for one in recorded(session)}
    assert reasons.pop("700") == "given"
    assert list(reasons.values()) == ["made", "made"]
