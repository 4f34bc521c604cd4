"""Customers of the example app, and what its database holds of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jira_app import Installation, Subscription
from outside_world import OutsideWorld, Site
from sqlalchemy import Engine, select
from werkzeug.test import TestResponse

from hydro_hooks import Event
from hydro_hooks.testing import capture_events

SITE = Site(
    host="https://test-host.jira.com",
    client_key="the-client-key-of-the-test-host",
    secret="a-shared-secret-that-nobody-else-knows",
    github_installation_id=48_213_907,
)
OTHER = Site(
    host="https://other-host.jira.com",
    client_key="the-client-key-of-the-other-host",
    secret="another-shared-secret-for-the-other-host",
    github_installation_id=48_213_907,
)
USER = "5b10ac8d82e05b22cc7d4ef5"
LOGIN = "octocat"
STAFF = "hubot"


def engine_of(world: OutsideWorld) -> Engine:
    engine: Engine = world.app.extensions["jira_app"]
    return engine


def became_customer(world: OutsideWorld, site: Site = SITE) -> int:
    """Install the app, and return its id of the customer."""
    assert world.jira_calls("installed", site, is_new=True).status_code == 204
    with engine_of(world).connect() as connection:
        statement = select(Installation.id).filter_by(client_key=site.client_key)
        return connection.execute(statement).scalar_one()


def is_enabled_customer(world: OutsideWorld, site: Site = SITE) -> int:
    """Install and enable the app, connect GitHub, and return the customer's id."""
    number = became_customer(world, site)
    assert world.jira_calls("enabled", site).status_code == 204
    connected = world.person_connects(site, login=LOGIN, user=USER)
    assert connected.status_code == 201
    return number


def happened(world: OutsideWorld, deed: Callable[[], TestResponse]) -> list[Event]:
    """Return what is recorded of a deed that the app accepts."""
    with capture_events(engine_of(world)) as events:
        answer = deed()
    assert answer.status_code < 400, answer.text
    return events


def installations(world: OutsideWorld) -> list[tuple[Any, ...]]:
    """Return each customer's host, secret and flag."""
    it = Installation
    with engine_of(world).connect() as connection:
        statement = select(it.jira_host, it.shared_secret, it.enabled).order_by(it.id)
        return [tuple(row) for row in connection.execute(statement)]


def subscriptions(world: OutsideWorld) -> list[tuple[Any, ...]]:
    """Return each subscription's host, GitHub installation and flag."""
    it = Subscription
    with engine_of(world).connect() as connection:
        columns = (it.jira_host, it.github_installation_id, it.active)
        statement = select(*columns).order_by(it.id)
        return [tuple(row) for row in connection.execute(statement)]


def rows(world: OutsideWorld) -> list[tuple[Any, ...]]:
    """Return all that the app holds of its customers."""
    return installations(world) + subscriptions(world)


def connect_by(world: OutsideWorld, *, token: str, number: object) -> TestResponse:
    """Connect as somebody who is logged in and looks after SITE's installation."""
    mine = {"login": LOGIN, "installations": [SITE.github_installation_id]}
    with world.client.session_transaction() as cookie:
        cookie["github"] = mine
    form = {"github_installation_id": number, "jwt": token}
    return world.client.post("/github/configuration", data=form)


def assert_told(
    event: Event,
    kind: str,
    effect: tuple[str, str],
    *,
    reason: str,
    customer: int,
    github_installation_id: int | None = SITE.github_installation_id,
    github_actor: str | None = None,
    jira_actor: str | None = None,
) -> None:
    """Assert all that an event tells of the test host."""
    assert (event.association, event.action, event.state) == (kind, *effect)
    assert (event.reason, event.github_actor) == (reason, github_actor)
    assert event.jira_actor == jira_actor
    assert event.jira_hostname == SITE.host
    assert event.jira_integration_id == customer
    assert event.github_installation_id == github_installation_id
    assert event.origin is not None
    assert event.origin.startswith("jira_app.")
