"""Bulk statements among other changes: causes, values and the net of a transaction."""

from __future__ import annotations

from linked_models import happened, only_event, stored
from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session
from tracked_models import HOST, Installation, Subscription

from hydro_hooks import because
from hydro_hooks.testing import recorded


def three(session: Session) -> None:
    """Store rows 1 and 2, enabled, and 3, disabled."""
    stored(
        session,
        Installation(id=1),
        Installation(id=2),
        Installation(id=3, enabled=False),
    )


def test_a_bulk_update_of_a_value_alone_is_nothing(session: Session) -> None:
    three(session)

    session.execute(update(Installation).values(jira_host="https://new.net"))
    session.commit()

    assert recorded(session) == []


def test_a_value_changed_in_bulk_shows_in_what_happens_after_it(
    session: Session,
) -> None:
    three(session)

    session.execute(update(Installation).values(jira_host="https://new.net"))
    session.execute(
        update(Installation).where(Installation.id == 1).values(enabled=False)
    )
    session.execute(delete(Installation).where(Installation.id == 2))
    session.commit()

    hosts = {one.subject_id: one.jira_hostname for one in recorded(session)}
    assert hosts == {"1": "https://new.net", "2": HOST}


def test_a_value_changed_in_bulk_after_the_step_is_told_as_committed(
    session: Session,
) -> None:
    three(session)

    session.execute(
        update(Installation).where(Installation.id == 1).values(enabled=False)
    )
    session.execute(update(Installation).values(jira_host="https://new.net"))
    session.commit()

    assert only_event(session).jira_hostname == "https://new.net"


def test_two_bulk_statements_on_one_row_net_out(session: Session) -> None:
    three(session)

    session.execute(update(Installation).values(enabled=True))
    session.execute(
        update(Installation).where(Installation.id == 3).values(enabled=False)
    )
    session.execute(insert(Installation), [{"id": 4}])
    session.execute(delete(Installation).where(Installation.id == 4))
    session.commit()

    assert recorded(session) == []


def test_a_bulk_change_after_a_flushed_one_nets_with_it(session: Session) -> None:
    three(session)

    session.get_one(Installation, 1).enabled = False
    session.get_one(Installation, 2).enabled = False
    session.flush()
    with because("revised"):
        session.execute(
            update(Installation).where(Installation.id == 1).values(enabled=True)
        )
        session.execute(delete(Installation).where(Installation.id == 2))
    session.commit()

    assert happened(session) == ["installation.destroy 2: revised"]


def test_a_flushed_change_after_a_bulk_one_nets_with_it(session: Session) -> None:
    three(session)

    session.execute(update(Installation).values(enabled=False))
    session.get_one(Installation, 1).enabled = True
    with because("deleted"):
        session.delete(session.get_one(Installation, 2))
    session.commit()

    assert happened(session) == ["installation.destroy 2: deleted"]


def test_a_change_flushed_by_a_bulk_statement_keeps_its_own_cause(
    session: Session,
) -> None:
    three(session)
    row = session.get_one(Installation, 1)

    with because("edited"):
        row.enabled = False
    with because("swept"):
        session.execute(
            update(Installation).where(Installation.id == 2).values(enabled=False)
        )
    with because("committed"):
        session.commit()

    assert happened(session) == [
        "installation.disable 1: edited",
        "installation.disable 2: swept",
    ]


def test_a_bulk_update_in_a_rolled_back_savepoint_is_forgotten(
    session: Session,
) -> None:
    three(session)

    session.execute(
        update(Installation).where(Installation.id == 1).values(enabled=False)
    )
    savepoint = session.begin_nested()
    session.execute(update(Installation).values(enabled=False))
    session.execute(delete(Installation).where(Installation.id == 3))
    savepoint.rollback()
    session.commit()

    assert happened(session) == ["installation.disable 1: unattributed"]


def test_a_rolled_back_bulk_statement_is_not_recorded(session: Session) -> None:
    three(session)

    session.execute(delete(Installation))
    session.rollback()
    session.commit()

    assert recorded(session) == []


def test_bulk_statements_on_two_models_are_one_transaction(session: Session) -> None:
    stored(session, Installation(id=1), Subscription(id=7, installation_id=1))

    with because("uninstalled"):
        session.execute(delete(Subscription).where(Subscription.installation_id == 1))
        session.execute(delete(Installation).where(Installation.id == 1))
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: uninstalled",
        "subscription.destroy 7: uninstalled",
    ]
    assert len({one.transaction_id for one in recorded(session)}) == 1
