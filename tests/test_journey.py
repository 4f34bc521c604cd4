"""From an ORM change to an answer, through every room of the house."""

from __future__ import annotations

from sqlalchemy.orm import Session
from tracked_models import HOST, Installation, Subscription

from hydro_hooks import Reason, Settings, because, journal
from hydro_hooks.journal import Place, Query
from hydro_hooks.relay import Relay
from hydro_hooks.signing import HydroHmac
from hydro_hooks.testing.gateway import LocalGateway


def test_a_change_is_found_on_both_sides_with_its_reason(session: Session) -> None:
    row = Installation(subscriptions=[Subscription(), Subscription()])
    with because(Reason.WEB_INTERACTION, github_actor="octocat"):
        session.add(row)
    session.commit()
    with because(Reason.STAFFTOOLS_API, github_actor=583231, note="ticket 4711"):
        session.delete(row)
    session.commit()

    waiting = journal.why(session.connection(), Query(text=HOST))
    assert waiting is not None
    assert waiting.record is not None
    assert waiting.record.place is Place.WAITING
    session.rollback()

    engine = session.get_bind().engine
    with LocalGateway() as gateway:
        relay = Relay(engine, gateway.settings())
        counts = relay.drain()
        relay.stop()
        assert (counts.delivered, counts.rejected, counts.waiting) == (6, 0, 0)
        with gateway.engine.connect() as there:
            received = journal.why(there, Query(text=HOST))
            assert received is not None
            assert received.record is not None
            request = journal.request_of(there, received.record)
    delivered = journal.why(session.connection(), Query(text=HOST))

    assert delivered is not None
    assert delivered.record is not None
    assert delivered.record.place is Place.DELIVERED
    event = received.record.event
    assert event == delivered.record.event
    assert (event.action, event.reason, event.github_actor, event.note) == (
        "destroy",
        "stafftools-api",
        583231,
        "ticket 4711",
    )
    assert [(one.association, one.count) for one in received.companions] == [
        ("subscription", 2)
    ]
    assert request is not None
    assert HydroHmac(gateway.secrets).verify(request.body, request.authorization)


def test_in_the_deployed_schema_the_same_change_is_found_too(session: Session) -> None:
    with because("a reason that v0 has no word for", github_actor="octocat"):
        session.add(Installation(id=19))
    session.commit()

    with LocalGateway() as gateway:
        settings: Settings = gateway.settings(schema="jira.v0.Action")
        relay = Relay(session.get_bind().engine, settings)
        counts = relay.drain()
        relay.stop()
        events = gateway.events()

    assert (counts.delivered, counts.rejected) == (1, 0)
    [event] = events
    assert (event.action, event.jira_hostname, event.jira_integration_id) == (
        "create",
        HOST,
        19,
    )
    assert (event.reason, event.github_actor) == ("unattributed", None)
