"""The cause of an event is the one in force where the change was made."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tracked_models import Account, Installation, Subscription, told

from hydro_hooks import Reason, because
from hydro_hooks.testing import recorded


def reasons(session: Session) -> list[str]:
    return told(recorded(session))


def kept(session: Session, row: Installation) -> Installation:
    session.add(row)
    session.commit()
    return row


def test_a_delete_counts_where_it_was_asked_for(session: Session) -> None:
    row = kept(session, Installation())

    with because(Reason.STAFFTOOLS_API, github_actor="octocat"):
        session.delete(row)
    session.commit()

    assert reasons(session)[-1] == "installation.destroy: stafftools-api"
    assert recorded(session)[-1].github_actor == "octocat"


def test_a_set_counts_where_it_was_made_not_where_it_was_flushed(
    session: Session,
) -> None:
    row = kept(session, Installation())

    with because("made"):
        row.enabled = False
    with because("flushed"):
        session.flush()
    with because("committed"):
        session.commit()

    assert reasons(session)[-1] == "installation.disable: made"


def test_an_add_counts_where_it_was_made(session: Session) -> None:
    with because("made"):
        session.add(Installation())
    with because("flushed"):
        session.commit()

    assert reasons(session) == ["installation.create: made"]


def test_a_cascaded_add_counts_where_it_was_made(session: Session) -> None:
    row = kept(session, Installation())

    with because("made"):
        row.subscriptions.append(Subscription())
    session.commit()

    assert reasons(session)[-1] == "subscription.create: made"


def test_two_blocks_in_one_transaction_each_have_their_own(session: Session) -> None:
    with because("first"):
        session.add(Installation(id=1))
    with because("second"):
        session.add(Installation(id=2))
    session.commit()

    assert reasons(session) == [
        "installation.create: first",
        "installation.create: second",
    ]


def test_created_by_one_and_disabled_by_another_is_a_create_by_the_first(
    session: Session,
) -> None:
    with because("creator"):
        row = Installation()
        session.add(row)
        session.flush()
    with because("disabler"):
        row.enabled = False
    session.commit()

    assert reasons(session) == ["installation.create: creator"]


def test_of_several_changes_the_last_that_counts_gives_the_cause(
    session: Session,
) -> None:
    row = kept(session, Installation())

    with because("first"):
        row.enabled = False
        session.flush()
    with because("second"):
        row.enabled = True
        session.flush()
    with because("third"):
        row.enabled = False
        session.flush()
    with because("bystander"):
        row.jira_host = "https://renamed.jira.com"
    session.commit()

    assert reasons(session)[-1] == "installation.disable: third"


def test_a_change_set_to_what_it_is_already_blames_nobody_else(
    session: Session,
) -> None:
    row = kept(session, Installation())
    assert row.enabled

    with because("first"):
        row.enabled = False
    with because("second"):
        row.enabled = False
    session.commit()

    assert reasons(session)[-1] == "installation.disable: first"


def test_a_second_delete_of_the_same_object_blames_nobody_else(
    session: Session,
) -> None:
    row = kept(session, Installation(subscriptions=[Subscription()]))
    [child] = row.subscriptions

    with because("parent removed"):
        session.delete(row)
    with because("child removed too"):
        session.delete(child)
    session.commit()

    assert sorted(reasons(session)[-2:]) == [
        "installation.destroy: parent removed",
        "subscription.destroy: parent removed",
    ]


def test_nothing_in_force_is_unattributed(session: Session) -> None:
    session.add(Installation())
    session.commit()

    [event] = recorded(session)
    assert (event.reason, event.github_actor, event.jira_actor) == (
        "unattributed",
        None,
        None,
    )
    assert event.origin is not None
    assert event.origin.startswith("tests.test_attribution:")
    assert event.origin.endswith("in test_nothing_in_force_is_unattributed")


def test_the_origin_is_where_the_change_was_made(session: Session) -> None:
    row = kept(session, Installation())

    def disable() -> None:
        row.enabled = False

    disable()
    session.commit()

    origin = recorded(session)[-1].origin
    assert origin is not None
    assert origin.endswith("<locals>.disable")


def test_a_delete_forgotten_by_a_rollback_does_not_attribute_a_later_one(
    session: Session,
) -> None:
    account = Account(installations=[Installation()])
    session.add(account)
    session.commit()
    [row] = account.installations

    with because("forgotten"):
        session.delete(row)
    session.rollback()
    with because("closed"):
        session.delete(account)
    session.commit()

    assert reasons(session)[-1] == "installation.destroy: closed"


def test_a_delete_forgotten_by_a_closed_session_does_not_attribute_a_later_one(
    tracked: Engine,
) -> None:
    with Session(tracked) as session:
        account = Account(installations=[Installation()])
        session.add(account)
        session.commit()
        [row] = account.installations
        with because("forgotten"):
            session.delete(row)
    with Session(tracked) as session:
        session.add(account)
        with because("closed"):
            session.delete(account)
        session.commit()

        assert reasons(session)[-1] == "installation.destroy: closed"


def test_a_delete_forgotten_by_a_savepoint_does_not_attribute_a_later_one(
    session: Session,
) -> None:
    account = Account(installations=[Installation()])
    session.add(account)
    session.commit()
    [row] = account.installations

    with because("forgotten"), session.begin_nested() as savepoint:
        session.delete(row)
        savepoint.rollback()
    with because("closed"):
        session.delete(account)
    session.commit()

    assert reasons(session)[-1] == "installation.destroy: closed"


def test_the_same_delete_after_a_rollback_has_its_own_cause(session: Session) -> None:
    row = kept(session, Installation())

    with because("first"):
        session.delete(row)
        session.flush()
    session.rollback()
    with because("second"):
        session.delete(row)
    session.commit()

    assert reasons(session)[-1] == "installation.destroy: second"


def test_a_change_of_a_detached_object_counts_where_it_was_made(
    tracked: Engine,
) -> None:
    with Session(tracked, expire_on_commit=False) as session:
        row = kept(session, Installation())
    with because("detached"):
        row.enabled = False
    with Session(tracked) as session, because("added"):
        session.add(row)
        session.commit()

        assert reasons(session)[-1] == "installation.disable: detached"


def test_delete_all_counts_where_it_was_asked_for(session: Session) -> None:
    if not hasattr(session, "delete_all"):
        pytest.skip("Session.delete_all() is new in SQLAlchemy 2.1")
    rows = [kept(session, Installation()) for _ in range(2)]

    with because("all gone"):
        session.delete_all(row for row in rows)
    session.commit()

    assert reasons(session)[-2:] == ["installation.destroy: all gone"] * 2


def run_in_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_another_threads_block_does_not_count(session: Session) -> None:
    row = kept(session, Installation())

    def disable() -> None:
        row.enabled = False

    with because("main thread"):
        run_in_thread(disable)
    session.commit()

    assert reasons(session)[-1] == "installation.disable: unattributed"


def test_a_thread_that_carries_the_context_counts(session: Session) -> None:
    row = kept(session, Installation())

    def disable() -> None:
        row.enabled = False

    with because("carried"):
        context = contextvars.copy_context()
        run_in_thread(lambda: context.run(disable))
    session.commit()

    assert reasons(session)[-1] == "installation.disable: carried"


def test_a_delete_asked_for_in_another_thread_counts_there(session: Session) -> None:
    row = kept(session, Installation())

    def delete() -> None:
        with because("worker"):
            session.delete(row)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(delete).result()
    session.commit()

    assert reasons(session)[-1] == "installation.destroy: worker"


def test_an_orphan_counts_where_it_was_taken_out(session: Session) -> None:
    row = kept(session, Installation(subscriptions=[Subscription()]))

    with because("taken out"):
        row.subscriptions.pop()
    with because("flushed"):
        session.commit()

    assert reasons(session)[-1] == "subscription.destroy: taken out"


def test_a_change_flushed_by_a_query_in_another_block_counts_where_it_was_made(
    session: Session,
) -> None:
    row = kept(session, Installation())

    with because("made"):
        row.enabled = False
    with because("queried"):
        session.scalars(select(Installation)).all()
    session.commit()

    assert reasons(session)[-1] == "installation.disable: made"
