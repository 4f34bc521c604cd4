from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from signed_requests import (
    CAPTURED,
    assert_refused,
    body_of,
    counts,
    errors_of,
    post,
    signature_of,
    value_of,
)

from hydro_hooks.signing import HydroHmac
from hydro_hooks.testing.gateway import SECRET, LocalGateway


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        yield gateway


@pytest.fixture(params=[0, 1], ids=["one_event", "two_events"])
def captured(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = CAPTURED["requests"][request.param]
    return found


def test_the_requests_of_the_deployed_client_are_accepted_byte_for_byte(
    captured: dict[str, Any],
) -> None:
    body = captured["body"].encode()
    with LocalGateway(secrets=[CAPTURED["secret"]]) as gateway:
        answer = requests.post(
            gateway.url, data=body, headers=captured["headers"], timeout=30
        )
        stored = gateway.requests()

    assert answer.status_code == 200
    assert answer.json() == {"status": "OK"}
    assert [request["body"] for request in stored] == [body]
    assert captured["path"] in gateway.url


def test_the_requests_of_the_deployed_client_are_refused_with_one_byte_changed(
    captured: dict[str, Any],
) -> None:
    body = bytearray(captured["body"].encode())
    body[-20] ^= 1
    with LocalGateway(secrets=[CAPTURED["secret"]]) as gateway:
        answer = requests.post(
            gateway.url, data=bytes(body), headers=captured["headers"], timeout=30
        )
        held = counts(gateway.engine)

    assert_refused(answer, 401)
    assert held == (0, 0)


def test_what_the_deployed_client_tells_is_held_in_our_words() -> None:
    captured = CAPTURED["requests"][1]
    with LocalGateway(secrets=[CAPTURED["secret"]]) as gateway:
        body = captured["body"].encode()
        requests.post(gateway.url, data=body, headers=captured["headers"], timeout=30)
        events = gateway.events()

    assert [event.type for event in events] == [
        "installation.destroy",
        "subscription.destroy",
    ]
    assert {event.reason for event in events} == {"stafftools-api"}
    assert {event.jira_hostname for event in events} == {"https://tëst-host.jira.com"}


def test_a_stored_signature_can_be_checked_again(gateway: LocalGateway) -> None:
    post(gateway.url, body_of(value_of(note="tëst")))

    (stored,) = gateway.requests()

    signature = HydroHmac([SECRET])
    assert signature.verify(stored["body"], stored["authorization"])
    assert not signature.verify(stored["body"] + b" ", stored["authorization"])


def test_a_signature_by_any_of_several_secrets_is_accepted() -> None:
    with LocalGateway(secrets=["new", "old"]) as gateway:
        statuses = []
        for secret in ("new", "old", "older"):
            body = body_of(value_of())
            answer = post(gateway.url, body, Authorization=signature_of(body, secret))
            statuses.append(answer.status_code)

    assert statuses == [200, 200, 401]


@pytest.mark.parametrize("app", [None, "", "another-app"])
def test_an_app_that_is_missing_or_unknown_is_refused(
    gateway: LocalGateway, app: str | None
) -> None:
    answer = post(gateway.url, body_of(value_of()), X_Hydro_App=app)

    assert_refused(answer, 400)
    assert counts(gateway.engine) == (0, 0)


@pytest.mark.parametrize("authorization", [None, "", "Hydro", "Hydro é", "Basic eDp5"])
def test_a_signature_that_is_missing_or_wrong_is_refused(
    gateway: LocalGateway, authorization: str | None
) -> None:
    header = None if authorization is None else authorization.encode()
    answer = post(gateway.url, body_of(value_of()), Authorization=header)  # type: ignore[arg-type]  # bytes: the header is not ASCII

    assert_refused(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Hydro")
    assert counts(gateway.engine) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        body_of(value_of()).decode().encode("utf-16"),
        body_of({})[:-9],
        b"[" * 200_000,
        b"[]",
        b"{}",
        b'{"events": {}}',
        b'{"events": []}',
    ],
    ids=[
        "empty",
        "not_utf8",
        "utf16",
        "truncated",
        "nested",
        "no_object",
        "no_events",
        "events_no_list",
        "no_event",
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    gateway: LocalGateway, body: bytes
) -> None:
    answer = post(gateway.url, body)

    assert_refused(answer, 422)
    assert counts(gateway.engine) == (0, 0)


def test_an_unknown_schema_is_refused_with_all_that_came_along(
    gateway: LocalGateway,
) -> None:
    document = json.loads(body_of(value_of(), value_of()))
    document["events"][1]["schema"] = "jira.v9.Action"

    answer = post(gateway.url, json.dumps(document).encode())

    assert_refused(answer, 404)
    assert "'jira.v9.Action'" in answer.json()["error"]
    assert counts(gateway.engine) == (0, 0)


def test_events_that_failures_does_not_name_are_stored(gateway: LocalGateway) -> None:
    good = value_of()
    bad = value_of(association="")

    answer = post(gateway.url, body_of(bad, good, "{", "[]"))

    assert list(errors_of(answer)) == [0, 2, 3]
    assert "association" in errors_of(answer)[0]
    assert [event.id for event in gateway.events()] == [good["eventId"]]
    assert [stored["status"] for stored in gateway.requests()] == [422]


@pytest.mark.parametrize(
    "entry",
    [None, [], {}, {"schema": "jira.v1.Action"}, {"schema": 1, "value": "{}"}],
    ids=["null", "list", "empty", "no_value", "schema_no_text"],
)
def test_an_entry_that_is_no_event_fails_alone(
    gateway: LocalGateway, entry: object
) -> None:
    document = json.loads(body_of(value_of()))
    document["events"].append(entry)

    answer = post(gateway.url, json.dumps(document).encode())

    assert list(errors_of(answer)) == [1]
    assert counts(gateway.engine) == (1, 1)


def test_a_request_with_no_good_event_stores_nothing(gateway: LocalGateway) -> None:
    answer = post(gateway.url, body_of(value_of(state="gone")))

    assert list(errors_of(answer)) == [0]
    assert counts(gateway.engine) == (0, 0)


def test_an_event_that_names_no_action_fails(gateway: LocalGateway) -> None:
    answer = post(gateway.url, body_of({}, schema_name="jira.v0.Action"))

    assert "names no action" in errors_of(answer)[0]


def test_values_nested_too_deeply_fail(gateway: LocalGateway) -> None:
    # Some depths can be parsed and not be quoted in an error: each one counts.
    for first in range(860, 1000, 20):
        values = ["[" * depth + "]" * depth for depth in range(first, first + 20)]
        answer = post(gateway.url, body_of(*values))

        assert list(errors_of(answer)) == list(range(20))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/events", 405), ("POST", "/", 405), ("POST", "/api/v2", 404)],
)
def test_another_method_or_path_is_refused(
    gateway: LocalGateway, method: str, path: str, status: int
) -> None:
    url = gateway.url.removesuffix("/api/v1/events") + path

    answer = requests.request(method, url, timeout=30)

    assert_refused(answer, status)
    assert ("Allow" in answer.headers) == (status == 405)


def test_the_front_page_says_what_it_is_and_how_much_it_holds(
    gateway: LocalGateway,
) -> None:
    post(gateway.url, body_of(value_of(), value_of()))

    page = requests.get(gateway.url.removesuffix("api/v1/events"), timeout=30)

    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Last event" in page.text


def test_neither_secrets_nor_bodies_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.engine")
    body = body_of(value_of(note="of a customer"), value_of(state="of a customer"))

    with LocalGateway() as gateway:
        for headers in ({}, {"Authorization": "Hydro 00"}, {"X_Hydro_App": "nobody"}):
            post(gateway.url, body, **headers)

    assert "INSERT INTO hydro_request" in caplog.text
    assert "answered 401" in caplog.text
    assert "1 accepted, 1 refused" in caplog.text
    for hidden in (SECRET, signature_of(body)[6:], "of a customer"):
        assert hidden not in caplog.text
