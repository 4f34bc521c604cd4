"""A subject that moves from one installation to another keeps its order."""

from __future__ import annotations

import pytest
from delivering import end_back_off
from faults.stage import Stage
from scripted_gateway import Received, Scripted
from sqlalchemy.orm import Session
from tracked_models import Installation, Subscription, mappings

from hydro_hooks import register
from hydro_hooks.relay import Relay

FIRST, SECOND = 1, 2
"""Installations whose events are in different shards."""


def refuse_first(request: Received) -> Scripted:
    """Refuse for now what is of the first installation."""
    is_first = any(value["jiraIntegrationId"] == FIRST for value in request.values)
    return Scripted(status=503 if is_first else 200)


@pytest.mark.xfail(
    raises=AssertionError,
    reason="the events of a subject are in the shards of the installations that it was"
    " of, which are delivered independently",
)
def test_a_subscription_that_moves_is_not_destroyed_before_it_is_created(
    stage: Stage,
) -> None:
    with register(*mappings()), Session(stage.engine) as session:
        session.add_all([Installation(id=FIRST), Installation(id=SECOND)])
        session.flush()
        subscription = Subscription(id=5, installation_id=FIRST)
        session.add(subscription)
        session.commit()
        subscription.installation_id = SECOND
        session.commit()
        session.delete(subscription)
        session.commit()
    settings = stage.receiver.settings()

    stage.receiver.script = refuse_first
    Relay(stage.engine, settings).drain()
    stage.receiver.script = lambda _: Scripted()
    end_back_off(stage.engine)
    Relay(stage.engine, settings).drain()

    found = stage.concluded("14c", "subject moved between shards", runs=1)
    assert found.flaws == []
