from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from databases import Database
from gateway_process import gateway_process
from signed_requests import body_of, counts, post, value_of
from sqlalchemy import Engine, RowMapping, select, text

from hydro_hooks import tables
from hydro_hooks.signing import HydroHmac
from hydro_hooks.testing.gateway import SECRET, LocalGateway
from hydro_hooks.web import open_store

LONG = "https://" + "a" * 2992


@pytest.fixture
def gateway(database: Database) -> Iterator[LocalGateway]:
    """Yield a gateway whose store is in each of the databases."""
    with LocalGateway(store=database.url) as gateway:
        yield gateway


def held(engine: Engine) -> list[RowMapping]:
    """Return the rows of the journal."""
    with engine.connect() as connection:
        rows = connection.execute(select(tables.journal).order_by(tables.journal.c.seq))
        return list(rows.mappings())


def test_an_event_is_held_with_its_app_time_schema_and_request(
    gateway: LocalGateway,
) -> None:
    value = value_of()
    before = datetime.now(UTC)

    answer = post(gateway.url, body_of(value))

    assert answer.status_code == 200
    (row,) = held(gateway.engine)
    (request,) = gateway.requests()
    assert json.loads(row["payload"]) == value
    assert (row["id"], row["schema"]) == (value["eventId"], "jira.v1.Action")
    assert (row["settled_by"], row["request_id"]) == ("jira-integration", request["id"])
    assert before <= row["settled_at"] == request["received_at"] <= datetime.now(UTC)
    assert (request["app"], request["status"]) == ("jira-integration", 200)
    assert (row["jira_integration_id"], row["github_actor"]) == ("19", "583231")
    assert row["transaction_id"] == value["transactionId"]


def test_an_event_seen_before_is_accepted_and_stored_once(
    gateway: LocalGateway,
) -> None:
    seen, new = value_of(), value_of()
    post(gateway.url, body_of(seen))

    again = post(gateway.url, body_of({**seen, "note": "another"}))
    with_a_new_one = post(gateway.url, body_of(seen, new))

    assert (again.status_code, with_a_new_one.status_code) == (200, 200)
    assert [event.id for event in gateway.events()] == [seen["eventId"], new["eventId"]]
    assert gateway.events()[0].note == seen["note"]
    # A request that brought nothing new is not stored.
    assert counts(gateway.engine) == (2, 2)


def test_an_id_twice_in_one_request_is_stored_once(gateway: LocalGateway) -> None:
    value = value_of()

    answer = post(gateway.url, body_of(value, value_of(), value))

    assert answer.status_code == 200
    assert counts(gateway.engine) == (2, 1)


def test_events_without_an_id_are_each_stored(gateway: LocalGateway) -> None:
    value = {"type": "created", "association": "installation"}
    body = body_of(value, value, schema_name="jira.v0.Action")

    answers = [post(gateway.url, body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({event.id for event in gateway.events()}) == 4
    assert counts(gateway.engine) == (4, 2)


def test_a_request_of_many_events_is_stored_in_its_order(gateway: LocalGateway) -> None:
    values = [value_of(subjectId=str(number)) for number in range(1200)]
    post(gateway.url, body_of(*values[:600]))

    # 600 held ones first: whether there is a new one takes more than one look.
    answer = post(gateway.url, body_of(*values))

    assert answer.status_code == 200
    subjects = [event.subject_id for event in gateway.events()]
    assert subjects == [str(number) for number in range(1200)]
    assert len(gateway.requests()) == 2


def post_until_stored(url: str, body: bytes) -> requests.Response:
    """Send again as long as the store asks for it, as a relay does."""
    while (answer := post(url, body)).status_code == 503:
        time.sleep(0.1)
    return answer


def test_two_gateways_given_the_same_events_at_once_store_each_once(
    database: Database,
) -> None:
    values = [value_of() for _ in range(400)]
    # In both directions: transactions that wait for each other are tried again.
    bodies = [body_of(*values), body_of(*reversed(values))] * 8
    with (
        gateway_process(database.text_url) as one,
        gateway_process(database.text_url) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        urls = [one.url, other.url, other.url, one.url] * 4
        answers = list(pool.map(post_until_stored, urls, bodies))
        engine = open_store(database.url)
        ids = [row["id"] for row in held(engine)]
        _, stored = counts(engine)
        engine.dispose()

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(ids) == sorted(value["eventId"] for value in values)
    assert stored == 1


# MariaDB draws numbers for several transactions at once.
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_requests_at_once_stand_one_after_the_other(gateway: LocalGateway) -> None:
    bodies = [body_of(*(value_of() for _ in range(400))) for _ in range(12)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, [gateway.url] * len(bodies), bodies))

    assert {answer.status_code for answer in answers} == {200}
    brought_by = [row["request_id"] for row in held(gateway.engine)]
    runs = [request for request, _ in itertools.groupby(brought_by)]
    assert len(runs) == len(bodies)


@pytest.mark.parametrize("hostname", ["<script>", LONG], ids=["script", "long"])
def test_a_hostname_of_any_kind_is_kept(gateway: LocalGateway, hostname: str) -> None:
    value = {"type": "created", "jiraHostname": hostname}

    answer = post(gateway.url, body_of(value, schema_name="jira.v0.Action"))

    assert answer.status_code == 200
    (row,) = held(gateway.engine)
    assert json.loads(row["payload"]) == value
    shortened = hostname if len(hostname) < 256 else hostname[:254] + "…"
    assert row["jira_hostname"] == shortened


@pytest.mark.parametrize(
    ("field", "value", "column", "stored"),
    [
        ("note", "a\0b", "note", "a\ufffdb"),
        ("note", "a\ud800b", "note", "a\ufffdb"),
        ("note", "", "note", ""),
        ("note", "\U0001f600" * 2000, "note", "\U0001f600" * 2000),
        ("githubInstallationId", 10**300, "github_installation_id", f"1{'0' * 253}…"),
        ("jiraIntegrationId", 19.0, "jira_integration_id", "19"),
        ("githubActor", -1, "github_actor", "-1"),
        ("transactionId", "no UUID", "transaction_id", None),
        ("transactionId", "\0", "transaction_id", None),
    ],
)
def test_a_value_that_a_database_refuses_never_loses_the_event(
    gateway: LocalGateway, field: str, value: Any, column: str, stored: str | None
) -> None:
    sent = value_of(**{field: value})
    body = body_of(sent)

    answer = post(gateway.url, body)

    assert answer.status_code == 200
    (row,) = held(gateway.engine)
    assert row[column] == stored
    assert json.loads(row["payload"]) == sent
    assert gateway.requests()[0]["body"] == body


def test_a_lone_surrogate_in_a_payload_is_stored_as_its_escape(
    gateway: LocalGateway,
) -> None:
    sent = value_of(note="a\ud800b")

    answer = post(gateway.url, body_of(json.dumps(sent, ensure_ascii=False)))

    assert answer.status_code == 200
    assert json.loads(held(gateway.engine)[0]["payload"]) == sent


@pytest.mark.parametrize("year", ["0000", "0001", "9999"])
def test_a_time_that_no_calendar_has_becomes_that_of_arrival(
    gateway: LocalGateway, year: str
) -> None:
    answer = post(
        gateway.url, body_of(value_of(occurredAt=f"{year}-01-01T00:00:00.000Z"))
    )

    assert answer.status_code == 200
    (row,) = held(gateway.engine)
    assert row["occurred_at"] == row["settled_at"]


def test_a_store_that_fails_half_way_stores_nothing_and_says_503(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(text("DROP TABLE hydro_request"))

    answer = post(gateway.url, body_of(value_of(note="of a customer")))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["failures"] == []
    assert held(gateway.engine) == []
    assert "the store failed" in caplog.text
    assert "of a customer" not in caplog.text


def test_the_front_page_of_a_store_that_fails_says_503(gateway: LocalGateway) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(text("DROP TABLE hydro_journal"))

    page = requests.get(gateway.url.removesuffix("api/v1/events"), timeout=30)

    assert page.status_code == 503


def test_a_file_locked_by_another_says_503_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    body = body_of(value_of())
    with LocalGateway(store=f"sqlite:///{path}?timeout=0.01") as gateway:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        locked = post(gateway.url, body)
        readable = requests.get(gateway.url.removesuffix("api/v1/events"), timeout=30)
        other.close()
        free = post(gateway.url, body)

    assert (locked.status_code, free.status_code) == (503, 200)
    assert readable.status_code == 200  # WAL: nobody waits to read


@pytest.mark.timeout(300)
def test_what_was_answered_200_outlives_kill_9_and_nothing_is_half(
    database: Database,
) -> None:
    answered: list[str] = []
    for _ in range(5):
        with gateway_process(database.text_url) as gateway:
            answered += _post_until_killed(gateway.url, gateway.process)
    engine = open_store(database.url)
    rows = held(engine)
    with engine.connect() as connection:
        stored = connection.execute(select(tables.request)).mappings().all()
    engine.dispose()

    assert set(answered) <= {row["id"] for row in rows}
    signature = HydroHmac([SECRET])
    assert all(signature.verify(each["body"], each["authorization"]) for each in stored)
    brought = {each["id"]: _ids_in(each["body"]) for each in stored}
    for row in rows:
        assert row["id"] in brought[row["request_id"]]
    assert len(rows) == sum(len(ids) for ids in brought.values())


def _post_until_killed(url: str, process: Any) -> list[str]:
    """Post from four threads, kill meanwhile; return the ids answered with 200."""
    answered: list[str] = []

    def post_on(_thread: int) -> None:
        while True:
            body = body_of(*(value_of() for _ in range(3)))
            try:
                answer = post(url, body)
            except requests.RequestException:
                return
            assert answer.status_code == 200
            answered.extend(_ids_in(body))
            if len(answered) > 30:
                process.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(post_on, range(4)))
    return answered


def _ids_in(body: bytes) -> list[str]:
    events = json.loads(body)["events"]
    return [json.loads(event["value"])["eventId"] for event in events]
