"""The example app: what is not signed as it should be changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from jira_app import create_app, open_database, security, track_customers
from jira_customers import (
    OTHER,
    SITE,
    USER,
    connect_by,
    engine_of,
    is_enabled_customer,
    rows,
)
from outside_world import OutsideWorld, payload
from sqlalchemy import select
from werkzeug.test import TestResponse

from hydro_hooks import tables
from hydro_hooks.testing import capture_events

IMPOSTOR = replace(SITE, secret="a-secret-that-is-not-shared-with-jira")
DISABLED = "/jira/events/disabled"
ABOUT_SITE = {"clientKey": SITE.client_key}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[OutsideWorld]:
    """Yield the app on SQLite, with one customer."""
    engine = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    with track_customers():
        world = OutsideWorld(engine)
        is_enabled_customer(world)
        yield world
    engine.dispose()


def with_token(world: OutsideWorld, token: str) -> TestResponse:
    headers = {"Authorization": f"JWT {token}"}
    return world.client.post(DISABLED, json=ABOUT_SITE, headers=headers)


def with_claims(world: OutsideWorld, **claims: Any) -> TestResponse:
    """Send a callback that is signed rightly, but says something else."""
    now = int(time.time())
    right = {
        "iss": SITE.client_key,
        "iat": now,
        "exp": now + 60,
        "qsh": security.hash_of("POST", DISABLED),
    }
    said = {name: value for name, value in (right | claims).items() if value}
    return with_token(world, jwt.encode(said, SITE.secret, algorithm="HS256"))


def with_github_signature(world: OutsideWorld, signature: str) -> TestResponse:
    told = payload("github.installation.deleted")
    headers = {"X-GitHub-Event": "installation", "X-Hub-Signature-256": signature}
    return world.client.post("/github/events", json=told, headers=headers)


def with_cookie(world: OutsideWorld, value: str) -> TestResponse:
    world.client.set_cookie("session", value)
    form = {"customer": SITE.host}
    return world.client.post("/api/jira/uninstall", data=form)


Deed = Callable[[OutsideWorld], TestResponse]
NOT_SIGNED: dict[str, Deed] = {
    "no token": lambda w: w.jira_calls("uninstalled", SITE, is_new=True),
    "no token, installed again": lambda w: w.jira_calls("installed", SITE, is_new=True),
    "signed with the new secret": lambda w: w.jira_calls("installed", IMPOSTOR),
    "another secret": lambda w: w.jira_calls("disabled", IMPOSTOR),
    "unknown customer": lambda w: w.jira_calls("disabled", OTHER),
    "not a token": lambda w: with_token(w, "nonsense"),
    "not a token, not ASCII": lambda w: with_token(w, "\xe9.\xe9.\xe9"),
    "no algorithm": lambda w: with_token(
        w, jwt.encode({"iss": SITE.client_key}, "", algorithm="none")
    ),
    "out of date": lambda w: with_claims(w, exp=int(time.time()) - 60),
    "without an end": lambda w: with_claims(w, exp=None),
    "from nobody": lambda w: with_claims(w, iss=None),
    "for another path": lambda w: with_claims(
        w, qsh=security.hash_of("POST", "/jira/events/enabled")
    ),
    "for a page": lambda w: with_claims(w, qsh=security.PAGE),
    "about another customer": lambda w: w.jira_calls(
        "disabled", SITE, changes={"clientKey": OTHER.client_key}
    ),
    "github: no signature": lambda w: with_github_signature(w, ""),
    "github: wrong signature": lambda w: with_github_signature(w, f"sha256={'0' * 64}"),
    "github: not ASCII": lambda w: with_github_signature(w, "sha256=\xe9"),
    "staff: not logged in": lambda w: w.client.post(
        "/api/jira/uninstall", data={"customer": SITE.host}
    ),
    "staff: made-up cookie": lambda w: with_cookie(w, "eyJzdGFmZiI6Imh1Ym90In0.x.y"),
    "github page: not logged in": lambda w: w.client.post(
        "/github/subscription/delete", data={"github_installation_id": "1"}
    ),
    "connect: a webhook's token": lambda w: connect_by(
        w, token=SITE.token(security.hash_of("POST", DISABLED)), number=48_213_907
    ),
    "jira frame: another secret": lambda w: w.person_looks_in_jira(IMPOSTOR, user=USER),
    "jira frame: for a page": lambda w: w.client.get(
        "/jira/configuration", query_string={"jwt": SITE.token(security.PAGE)}
    ),
    "jira page: another secret": lambda w: w.person_deletes_in_jira(
        IMPOSTOR, user=USER
    ),
}


@pytest.mark.parametrize("deed", NOT_SIGNED.values(), ids=NOT_SIGNED.keys())
def test_what_is_not_signed_changes_nothing(world: OutsideWorld, deed: Deed) -> None:
    before = rows(world)

    with capture_events(engine_of(world)) as events:
        answer = deed(world)

    assert answer.status_code == 401
    assert rows(world) == before
    assert events == []


def test_a_rotated_secret_is_the_one_that_counts_from_then_on(
    world: OutsideWorld,
) -> None:
    rotated = replace(SITE, secret="the-secret-that-jira-made-afterwards")
    changes = {"sharedSecret": rotated.secret}
    assert world.jira_calls("installed", SITE, changes=changes).status_code == 204

    answers = [world.jira_calls("enabled", site) for site in (SITE, rotated)]

    assert [answer.status_code for answer in answers] == [401, 204]


def test_no_secret_is_in_what_is_recorded(world: OutsideWorld) -> None:
    world.jira_calls("uninstalled", SITE, user=USER)

    with engine_of(world).connect() as connection:
        held = str(connection.execute(select(tables.outbox)).all())
    assert SITE.host in held
    assert SITE.secret not in held


@pytest.mark.parametrize("empty", ["github_secret", "secret_key"])
def test_the_app_does_not_start_with_an_empty_secret(
    tmp_path: Path, empty: str
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    secrets = {"github_secret": "some", "secret_key": "thing", empty: ""}

    with pytest.raises(ValueError, match="empty"):
        create_app(engine, verify=lambda _: 200, find=lambda _: 200, **secrets)
    engine.dispose()


def test_the_hash_of_a_request_is_that_of_atlassian() -> None:
    root = security.hash_of("GET", "/")
    query = {"jwt": ["left out"], "b": ["2", "1 +"], "a": ["é"]}

    assert root == "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239"
    assert security.hash_of("get", "/x/", query.items()) == security.hash_of(
        "GET", "/x", [("a", ["é"]), ("b", ["1 +", "2"])]
    )
    assert security.hash_of("GET", "/x") != security.hash_of("GET", "/x", query.items())


def test_the_signature_is_that_of_github() -> None:
    # The example of GitHub's manual, "Validating webhook deliveries".
    signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = "It's a Secret to Everybody"

    assert security.is_from_github(b"Hello, World!", f"sha256={signature}", secret)
    assert not security.is_from_github(b"Hello, World?", f"sha256={signature}", secret)
