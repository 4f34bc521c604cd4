"""The example app: what makes no sense, or says nothing new, changes nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from databases import Database
from jira_app import Installation, open_database, security, track_customers
from jira_customers import (
    LOGIN,
    OTHER,
    SITE,
    STAFF,
    USER,
    became_customer,
    connect_by,
    engine_of,
    happened,
    installations,
    is_enabled_customer,
    rows,
    subscriptions,
)
from outside_world import OutsideWorld, Site, payload
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hydro_hooks.testing import capture_events


@pytest.fixture
def world(tmp_path: Path) -> Iterator[OutsideWorld]:
    """Yield the app on SQLite, with one customer."""
    engine = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    with track_customers():
        world = OutsideWorld(engine)
        is_enabled_customer(world)
        yield world
    engine.dispose()


def first_from(world: OutsideWorld, **changes: object) -> TestResponse:
    """Send the first callback of another site."""
    return world.jira_calls("installed", OTHER, is_new=True, changes=changes)


Deed = Callable[[OutsideWorld], TestResponse]
TEXT_ID = {"id": "7"}
IMPOSTOR = replace(SITE, secret="a-secret-that-is-not-shared-with-jira")
NO_SENSE: dict[str, tuple[int, Deed]] = {
    "another's GitHub installation": (
        403,
        lambda w: connect_by(w, token=SITE.token(security.PAGE), number=7),
    ),
    "not a number": (
        400,
        lambda w: connect_by(w, token=SITE.token(security.PAGE), number="seven"),
    ),
    "a number beyond all": (
        400,
        lambda w: w.person_deletes_in_jira(
            replace(SITE, github_installation_id=2**63), user=USER
        ),
    ),
    "no such customer": (404, lambda w: w.staff_does("verify", OTHER, login=STAFF)),
    "no such subscription": (
        404,
        lambda w: w.person_deletes_in_jira(
            replace(SITE, github_installation_id=7), user=USER
        ),
    ),
    "not JSON": (
        400,
        lambda w: w.client.post(
            "/jira/events/installed", data=b"{", content_type="application/json"
        ),
    ),
    "not an object": (400, lambda w: w.client.post("/jira/events/installed", json=[])),
    "no host": (400, lambda w: first_from(w, baseUrl=None)),
    "an empty secret": (400, lambda w: first_from(w, sharedSecret="")),
    "a host of 3,000 characters": (400, lambda w: first_from(w, baseUrl="x" * 3000)),
    "NUL in the host": (400, lambda w: first_from(w, baseUrl="https://a\0b")),
    "a lone surrogate": (400, lambda w: first_from(w, baseUrl="https://\ud800")),
    "a number for a key": (400, lambda w: first_from(w, clientKey=7)),
    "github: no installation": (
        400,
        lambda w: w.github_calls("deleted", SITE, changes={"installation": None}),
    ),
    "github: text for an id": (
        400,
        lambda w: w.github_calls(
            "deleted", SITE, changes={"installation": {"id": "7"}}
        ),
    ),
}

NO_CHANGE: dict[str, Deed] = {
    "connected already": lambda w: w.person_connects(SITE, login=LOGIN, user=USER),
    "enabled already": lambda w: w.jira_calls("enabled", SITE),
    "github: created": lambda w: w.github_calls("created", SITE),
    "github: active already": lambda w: w.github_calls("unsuspend", SITE),
    "github: another webhook": lambda w: w.github_calls("deleted", SITE, event="push"),
    "github: unknown there": lambda w: w.github_calls(
        "deleted", replace(SITE, github_installation_id=7)
    ),
}


@pytest.mark.parametrize(("status", "deed"), NO_SENSE.values(), ids=NO_SENSE.keys())
def test_what_makes_no_sense_changes_nothing(
    world: OutsideWorld, status: int, deed: Deed
) -> None:
    before = rows(world)

    with capture_events(engine_of(world)) as events:
        answer = deed(world)

    assert answer.status_code == status
    assert rows(world) == before
    assert events == []


@pytest.mark.parametrize("deed", NO_CHANGE.values(), ids=NO_CHANGE.keys())
def test_what_changes_nothing_records_nothing(world: OutsideWorld, deed: Deed) -> None:
    before = rows(world)

    events = happened(world, lambda: deed(world))

    assert rows(world) == before
    assert events == []


def test_an_answer_of_jira_that_tells_nothing_changes_nothing(
    world: OutsideWorld,
) -> None:
    world.jira_answer = 503

    events = happened(world, lambda: world.staff_does("verify", SITE, login=STAFF))

    assert [row[-1] for row in installations(world)] == [True]
    assert events == []


def test_the_page_drops_and_no_longer_shows_what_is_gone_on_github(
    world: OutsideWorld,
) -> None:
    gone = replace(SITE, github_installation_id=5)
    unanswered = replace(SITE, github_installation_id=6)
    for site in (gone, unanswered):
        world.person_connects(site, login=LOGIN, user=USER)
    world.github_answers = {5: 404, 6: 503}

    answer = world.person_looks_in_jira(SITE, user=USER)

    assert answer.json == {"connected": [SITE.github_installation_id, 6]}
    assert [row[1] for row in subscriptions(world)] == [SITE.github_installation_id, 6]


def test_a_webhook_without_a_sender_counts_and_names_nobody(
    world: OutsideWorld,
) -> None:
    changes = {"sender": None}

    [event] = happened(
        world, lambda: world.github_calls("suspend", SITE, changes=changes)
    )

    assert (event.type, event.github_actor) == ("subscription.disable", None)


@pytest.mark.parametrize("side", ["github", "jira"])
def test_a_person_deletes_the_subscription_of_the_named_site_alone(
    world: OutsideWorld, side: str
) -> None:
    is_enabled_customer(world, OTHER)
    deletes: dict[str, Callable[[Site], TestResponse]] = {
        "github": lambda site: world.person_deletes_on_github(site, login=LOGIN),
        "jira": lambda site: world.person_deletes_in_jira(site, user=USER),
    }

    [event] = happened(world, lambda: deletes[side](OTHER))

    assert event.jira_hostname == OTHER.host
    assert [row[0] for row in subscriptions(world)] == [SITE.host]


def test_staff_mean_the_newest_customer_of_a_host(world: OutsideWorld) -> None:
    again = replace(OTHER, host=SITE.host)
    became_customer(world, again)

    happened(world, lambda: world.staff_does("uninstall", again, login=STAFF))

    assert installations(world) == [(SITE.host, SITE.secret, True)]


def test_on_sqlite_nobody_writes_between_a_read_and_its_write(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    other = sqlite3.connect(tmp_path / "app.db", timeout=0)

    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def test_who_installs_at_the_same_time_comes_second(database: Database) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite lets nobody in between: one transaction writes at a time")
    engine = open_database(database.text_url)
    world = OutsideWorld(engine)
    is_inserting = threading.Event()
    answers: list[TestResponse] = []
    second = threading.Thread(
        target=lambda: answers.append(
            world.jira_calls("installed", IMPOSTOR, is_new=True)
        )
    )
    with Session(engine) as session:
        row = Installation(
            jira_host=SITE.host, client_key=SITE.client_key, shared_secret=SITE.secret
        )
        session.add(row)
        session.flush()

        @event.listens_for(engine, "before_cursor_execute")
        def inserting(_: object, __: object, statement: str, *___: object) -> None:
            if statement.startswith("INSERT"):
                is_inserting.set()

        second.start()
        assert is_inserting.wait(30)
        session.commit()
        second.join()
    found = installations(world)
    engine.dispose()

    assert [answer.status_code for answer in answers] == [409]
    assert found == [(SITE.host, SITE.secret, False)]


@pytest.mark.parametrize("name", ["installed", "enabled", "disabled", "uninstalled"])
def test_callbacks_have_the_documented_fields(name: str) -> None:
    body = payload(f"jira.{name}")

    documented = {"key", "clientKey", "baseUrl", "displayUrl", "productType"}
    assert documented | {"description", "eventType"} <= body.keys()
    assert body["eventType"] == name
    assert ("sharedSecret" in body) is (name == "installed")


@pytest.mark.parametrize("name", ["created", "suspend", "unsuspend", "deleted"])
def test_github_webhooks_have_the_shape_of_real_ones(name: str) -> None:
    body = payload(f"github.installation.{name}")

    assert body["action"] == name
    assert {"id", "account", "app_id", "permissions"} <= body["installation"].keys()
    assert {"login", "id", "type"} <= body["sender"].keys()
    assert (body["installation"]["suspended_at"] is not None) is (name == "suspend")
