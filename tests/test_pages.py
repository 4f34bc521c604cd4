"""The pages: what they tell, to whom, and that they change and leak nothing."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from databases import Database
from flask import Blueprint, Flask
from page_site import site
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.exc import DBAPIError
from test_cli import run
from test_cli_processes import started
from test_journal import (
    HOST,
    SECRET,
    installation,
    receive,
    record,
    reject,
    settle,
    subscription,
)

from hydro_hooks import creation, outbox, tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import Event, new_id
from hydro_hooks.exports import RECORD_FIELDS
from hydro_hooks.testing.gateway import LocalGateway
from hydro_hooks.transition import Action, State
from hydro_hooks.web import create_server, pages, with_token
from hydro_hooks.web.reading import reading
from hydro_hooks.web.stories import ROWS

TOKEN = "a-token-that-is-long-enough"
EVIL = "<script>alert('4711')</script>"
ADDRESS = re.compile(r'(?:src|href|action|url)\s*[=(]\s*["\']?([^"\')\s>]+)')


def get(url: str, **parameters: str) -> requests.Response:
    return requests.get(url, params=parameters, timeout=30)


def told(answer: requests.Response) -> str:
    """Return what a page says, without its tags, blanks collapsed."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


@pytest.fixture
def events(engine: Engine) -> list[Event]:
    """Return a customer's events: disabled on 3 March, with two subscriptions."""
    company = new_id()
    customer = [
        installation(Action.CREATE, github_actor="octocat", reason="web interaction"),
        installation(Action.ENABLE, day=1, jira_actor="557058:0f9b"),
        *(
            subscription(Action.CREATE, day=1, subject_id=str(number))
            for number in (7, 8)
        ),
        installation(Action.DISABLE, day=2, transaction_id=company),
        *(
            subscription(
                Action.DESTROY, day=2, subject_id=str(number), transaction_id=company
            )
            for number in (7, 8)
        ),
    ]
    settle(engine, *customer)
    return customer


@pytest.fixture
def here(engine: Engine, events: list[Event]) -> Iterator[str]:
    assert events
    with site(engine) as url:
        yield url


@pytest.mark.parametrize(
    "line", ["test-host.jira.com", "HTTPS://Test-Host.jira.com/", "19", "19 as:jira"]
)
def test_a_customer_is_found_and_the_answer_is_the_first_sentence(
    here: str, line: str
) -> None:
    answer = get(f"{here}/search", q=line)

    assert answer.status_code == 200
    assert told(answer).startswith("test-host.jira.com · hydro_hooks Skip to")
    assert (
        "Disabled since 3 March 2026, 12:00 UTC by a Jira webhook; no person was named;"
        " made at jira_app.webhooks:42 in installed."
    ) in told(answer)
    assert "With it: 2 subscriptions destroyed, in the same transaction" in told(answer)
    assert "Before: 2026-03-02 12:00:00 enable installation 19" in told(answer)


def test_terminal_and_page_tell_the_same(
    here: str, database: Database, events: list[Event]
) -> None:
    there = ("--database", database.text_url)
    terminal = run("why", HOST, "--json", *there)
    listed = run("history", HOST, "--csv", *there)

    answer = get(f"{here}/search", q=HOST)
    exported = get(f"{here}/search.csv", q=HOST)

    assert json.loads(terminal.stdout)["answer"]["id"] == events[4].id
    assert f"/events/{events[4].id}" in answer.text.partition("Over time")[0]
    rows = list(csv.DictReader(io.StringIO(exported.text, newline="")))
    same = list(csv.DictReader(io.StringIO(listed.stdout_bytes.decode(), newline="")))
    assert tuple(rows[0]) == RECORD_FIELDS
    assert rows == same[::-1]


def test_the_timeline_is_grouped_by_transaction_the_newest_first(here: str) -> None:
    page = told(get(f"{here}/search", q=HOST)).partition("What happened")[2]

    order = [
        "2026-03-03 12:00:00 installation 19 with 2 subscriptions destroyed",
        "2026-03-02 12:00:00 subscription 8",
        "2026-03-02 12:00:00 subscription 7",
        "2026-03-02 12:00:00 installation 19",
        "2026-03-01 12:00:00 installation 19",
    ]
    places = [page.index(each) for each in order]
    assert places == sorted(places)


def test_the_state_bar_tells_the_states_and_when_they_changed(here: str) -> None:
    titles = re.findall(r"<title>([^<]*) UTC</title>", get(f"{here}/search?q=19").text)

    its = [each for each in titles if each.startswith("installation 19 ")]
    assert [each.split(": ")[0].removeprefix("installation 19 ") for each in its] == [
        *("absent", "disabled", "enabled", "disabled")
    ]
    assert its[2].endswith("2026-03-02 12:00 to 2026-03-03 12:00")
    thin = [each for each in titles if each.startswith("subscription 7 ")]
    assert [each.split(": ")[0].removeprefix("subscription 7 ") for each in thin] == [
        *("absent", "enabled", "absent")
    ]


def test_what_was_before_the_first_record_is_not_known(engine: Engine) -> None:
    settle(engine, installation(Action.DISABLE))
    with site(engine) as url:
        page = get(f"{url}/search", q=HOST)

    assert "<title>installation 19 not known: " in page.text
    assert 'class="not-known"' in page.text


def test_a_former_host_leads_to_the_present_one(engine: Engine) -> None:
    settle(
        engine,
        installation(Action.CREATE, jira_hostname="https://old.example"),
        installation(Action.DISABLE, day=1, jira_hostname="https://new.example"),
    )
    with site(engine) as url:
        page = get(f"{url}/search", q="old.example")

    assert "<h1>new.example</h1>" in page.text
    assert "Formerly old.example." in told(page)


def test_a_number_of_two_systems_offers_the_other_reading(engine: Engine) -> None:
    settle(
        engine,
        installation(Action.CREATE, jira_integration_id=10, subject_id="10"),
        subscription(Action.CREATE, github_installation_id=10),
    )
    with site(engine) as url:
        page = get(f"{url}/search", q="10")
        other = get(f"{url}/search", q="10 as:github")

    assert "10 was taken for a Jira integration id" in told(page)
    assert "?q=10+as:github" in page.text
    assert "10 was taken for a GitHub installation id" in told(other)


def test_customers_that_share_a_host_are_told_one_by_one(engine: Engine) -> None:
    other = {"subject_id": "40", "jira_integration_id": 40}
    moved = installation(Action.CREATE, day=3, jira_hostname="https://b.jira.com")
    settle(
        engine,
        installation(Action.CREATE),
        installation(Action.DISABLE, day=1, **other),
        moved,
    )
    with site(engine) as url:
        page = told(get(f"{url}/search", q=HOST))
        new = told(get(f"{url}/search", q="b.jira.com"))

    assert page.startswith("test-host.jira.com · hydro_hooks")
    assert "Disabled since 2 March 2026, 12:00 UTC by a Jira webhook" in page
    assert "Formerly" not in page
    assert "b.jira.com" not in page  # a create: the number was given away again
    assert new.startswith("b.jira.com · hydro_hooks")


def test_a_subscription_is_not_told_as_the_customer(engine: Engine) -> None:
    settle(engine, subscription(Action.DISABLE, state=State.DISABLED))
    with site(engine) as url:
        page = told(get(f"{url}/search", q=HOST))

    assert "Subscription 7 (GitHub installation 10): disabled since 1 March" in page
    assert "Of the installation itself nothing is recorded." in page


def test_a_large_transaction_is_one_entry_that_begins_with_the_installation(
    engine: Engine,
) -> None:
    shared = new_id()
    gone = [
        subscription(Action.DESTROY, day=1, subject_id=str(n), transaction_id=shared)
        for n in range(3 * ROWS)
    ]
    lost = installation(Action.DISABLE, day=1, transaction_id=shared)
    settle(engine, installation(Action.CREATE), lost, *gone)
    with site(engine) as url:
        page = get(f"{url}/search", q=HOST)

    assert page.text.count("<tr data-item>") == 2
    assert "installation 19 with 150 subscriptions destroyed" in told(page)
    assert "Older events" not in told(page)
    assert "50 more: all of this transaction" in told(page)


def test_with_filters_both_the_state_and_the_newest_that_fits_are_told(
    here: str,
) -> None:
    page = told(get(f"{here}/search", q=f"{HOST} action:enable"))
    none = told(get(f"{here}/search", q=f"{HOST} actor:nobody"))

    assert "Disabled since 3 March 2026" in page
    assert f"The newest that is as asked for ({HOST} action:enable): inst" in page
    assert "Enabled on 2 March 2026, 12:00 UTC" in page
    assert "there is none." in none


def test_letters_that_nobody_sees_or_that_turn_others_round_are_shown(
    engine: Engine,
) -> None:
    settle(
        engine,
        installation(Action.CREATE, github_actor="\u202egnp.exe", note="a\u200bb"),
    )
    with site(engine) as url:
        page = get(f"{url}/search", q=HOST)

    assert r"GitHub user \u202egnp.exe" in told(page)
    assert r"a\u200bb" in told(page)
    assert not set("\u202e\u200b") & set(page.text)


def test_hosts_and_reasons_that_are_odd_lead_to_what_is_theirs(engine: Engine) -> None:
    host, reason = 'https://odd"host.example', 'say "hi"'
    settle(
        engine,
        installation(Action.DISABLE, jira_hostname=host, reason=reason),
        installation(Action.DISABLE, subject_id="60", jira_hostname="/evil"),
    )
    with site(engine) as url:
        start = get(url).text
        links = {unescape(it) for it in re.findall(r'href="(/search\?q=[^"]*)"', start)}
        pages_there = [get(f"{url}{link}") for link in sorted(links)]

    assert [each.status_code for each in pages_there] == [200] * len(links)
    assert ">/evil</a>" in start


def test_what_took_several_tries_is_told(engine: Engine) -> None:
    settle(engine, installation(Action.DISABLE))
    with engine.begin() as connection:
        connection.execute(tables.journal.update().values(attempts=7, settled_by="r:1"))
    with site(engine) as url:
        page = get(f"{url}/search", q=HOST)
        event = re.search(r'href="(/events/[^"]+)"', page.text)
        assert event is not None
        shown = told(get(f"{url}{event[1]}"))

    tries = "delivered on 1 March 2026, 12:00 UTC, at try 7."
    assert f"This event was {tries}" in told(page)
    assert "Delivered by r:1 on 1 March 2026, 12:00 UTC , at try 7." in shown


def test_what_is_no_page_says_so(here: str) -> None:
    for path in ("/nope", "/events/zzz"):
        answer = get(f"{here}{path}")

        assert answer.status_code == 404
        assert 'role="search"' in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_password_that_is_no_base64_is_refused(engine: Engine) -> None:
    with site(engine, guard=with_token(TOKEN)) as url:
        answer = requests.get(url, headers={"Authorization": b"Basic \xff"}, timeout=30)

    assert answer.status_code == 401


def test_filters_and_actors_make_lists(here: str, events: list[Event]) -> None:
    actor = get(f"{here}/search", q="octocat")
    filtered = get(f"{here}/search", q="action:create until:2026-03-01")
    within = get(f"{here}/search", q=f"{HOST} action:enable")

    assert "octocat was taken for an actor" in told(actor)
    for page in (actor, filtered):
        assert page.text.count("<tr data-item>") == 1
        assert events[0].id in page.text
    assert within.text.count("<tr data-item>") == 1
    assert "Disabled since 3 March 2026, 12:00 UTC" in told(within)


def test_nothing_found_suggests_hosts_like_it(here: str) -> None:
    answer = get(f"{here}/search", q="test-hots.jira.com")
    unknown = get(f"{here}/events/{new_id()}")

    assert answer.status_code == unknown.status_code == 404
    assert "No events are recorded for “test-hots.jira.com”" in told(answer)
    assert "Hosts like it: test-host.jira.com" in told(answer)
    assert "Records are held since 1 March 2026, 12:00 UTC" in told(answer)


@pytest.mark.parametrize("place", ["search", "search.csv", "unattributed"])
def test_a_qualifier_that_cannot_be_is_told_by_name(here: str, place: str) -> None:
    answer = get(f"{here}/{place}", q="action:vanish")

    assert answer.status_code == 400
    assert "action: 'vanish' is none of create, enable" in told(answer)


def test_a_list_goes_on_where_it_ended(engine: Engine) -> None:
    many = [installation(Action.ENABLE, day=n % 20) for n in range(ROWS + 3)]
    settle(engine, *many)
    with site(engine) as url:
        for line in (HOST, "action:enable"):
            first = get(f"{url}/search", q=line)
            [older] = re.findall(r'rel="next" href="([^"]*)"', first.text)
            second = get(url + unescape(older))
            shown = [
                re.findall(r'class="event" href="/events/([^"]*)"', page.text)
                for page in (first, second)
            ]

            assert len(set(shown[0]) | set(shown[1])) == ROWS + 3
            assert 'rel="next"' not in second.text


def test_an_event_shows_every_field_and_what_else_its_transaction_did(
    here: str, events: list[Event]
) -> None:
    page = get(f"{here}/events/{events[5].id}")

    assert page.status_code == 200
    for name in set(RECORD_FIELDS) - {"payload"}:
        assert re.search(rf'<th scope="row">{name}</th>', page.text)
    assert f'"eventId":"{events[5].id}"' in told(page).replace('": "', '":"')
    others = told(page).partition("In the same transaction")[2]
    assert "disable installation 19" in others
    assert "destroy subscription 8" in others
    assert "No request is stored here" in told(page)


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ((SECRET,), "its signature is valid"),
        (("another",), "its signature matches no known secret"),
        ((), "its signature is not checked"),
    ],
)
def test_a_stored_request_is_shown_with_its_signature_checked_now(
    database: Database, secrets: tuple[str, ...], words: str
) -> None:
    engine = database.engine()
    creation.create_gateway_tables(engine)
    event = installation(Action.CREATE)
    body = receive(engine, event)
    with site(engine, secrets=secrets) as url:
        page = get(f"{url}/events/{event.id}")
    engine.dispose()

    assert "Received 1 March 2026, 12:00 UTC from jira-integration" in told(page)
    assert words in told(page)
    assert body.decode() in unescape(page.text)
    assert SECRET not in page.text
    assert "Hydro " not in page.text


def test_places_without_a_reason_are_listed_and_exported(engine: Engine) -> None:
    shell = "shell:1 in <module>"
    for day in (0, 2):
        record(
            engine,
            installation(Action.ENABLE, day=day, reason="unattributed", origin=shell),
        )
    with site(engine) as url:
        page = get(f"{url}/unattributed")
        some = get(f"{url}/unattributed.json", q="since:2026-03-02")

    assert f"{shell} 2 2026-03-01 12:00:00 2026-03-03 12:00:00" in told(page)
    assert json.loads(some.text)["count"] == 1


def test_the_start_page_tells_of_the_last_days_and_what_was_lost(
    engine: Engine,
) -> None:
    now = datetime.now(UTC)

    def at(days: float, action: Action, **changes: Any) -> Event:
        return installation(action, occurred_at=now - timedelta(days=days), **changes)

    settle(
        engine,
        at(40, Action.CREATE),
        at(20, Action.DISABLE),
        at(0.001, Action.ENABLE, reason="web interaction"),
    )
    reject(engine, at(0.0005, Action.CREATE, reason="unattributed"), "no such field")
    record(engine, at(0, Action.DESTROY))
    with site(engine) as url:
        page = get(f"{url}/")

    words = told(page)
    assert "1 of 3 events bear no reason" in words
    assert re.search(r"<title>\d{4}-\d\d-\d\d: 1 destroy</title>", page.text)
    lost = words.partition("Installations disabled or destroyed last")[2].partition(
        "The last"
    )[0]
    assert lost.count("installation 19") == 2
    assert lost.index(" destroy ") < lost.index(" disable ")
    assert "web interaction 1" in words
    assert "1 waiting, the oldest since " in words
    assert "1 rejected" in words
    assert f"Last event {now:%Y-%m-%d %H:%M}" in words


def test_an_empty_journal_has_pages_too(engine: Engine) -> None:
    with site(engine) as url:
        pages_of = [get(f"{url}{path}") for path in ("/", "/unattributed", "/search")]

    assert [each.status_code for each in pages_of] == [200, 200, 404]
    assert "No installation that is held was ever disabled or destroyed" in told(
        pages_of[0]
    )
    assert "No event is held yet" in told(pages_of[0])


@pytest.mark.parametrize("path", ["", "search.csv", "search.json", "unattributed.csv"])
def test_a_database_without_a_journal_is_told_of(database: Database, path: str) -> None:
    engine = database.engine()
    with engine.connect() as connection:  # SQLite makes its file
        connection.execute(text("SELECT 1"))
    with site(engine) as url:
        answer = get(f"{url}/{path}")
    engine.dispose()

    assert answer.status_code == 503
    assert "The database does not answer, or has no journal" in told(answer)


def test_everything_that_others_wrote_is_escaped_and_nothing_is_fetched_elsewhere(
    engine: Engine,
) -> None:
    wicked = installation(
        Action.DISABLE,
        jira_hostname=f"https://x.example{EVIL}",
        note=EVIL,
        github_actor=EVIL,
        jira_actor=EVIL,
        reason=EVIL,
        origin=EVIL,
        subject_id=EVIL,
        occurred_at=datetime.now(UTC),
    )
    nameless = installation(
        Action.CREATE, day=1, reason="unattributed", origin=EVIL, subject_id=EVIL
    )
    settle(engine, wicked, nameless)
    with site(engine) as url:
        answers = [
            get(f"{url}/"),
            get(f"{url}/search", q="19"),
            get(f"{url}/search", q=EVIL),
            get(f"{url}/search", q=f'nobody reason:"{EVIL}'),
            get(f"{url}/search", q=f"action:{EVIL}"),
            get(f"{url}/search", q="action:disable"),
            get(f"{url}/events/{wicked.id}"),
            get(f"{url}/unattributed"),
        ]

    for answer in answers:
        assert "<script>alert" not in answer.text
        assert "alert(" in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for address in ADDRESS.findall(answer.text):
            assert address.startswith(("/", "#"))


@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}], ids=str)
def test_a_connection_of_the_pages_cannot_write(
    engine: Engine, options: dict[str, Any]
) -> None:
    row = {"shard": 3, "attempts": 0}
    own = engine.execution_options(**options)
    with reading(own) as connection, pytest.raises(DBAPIError):
        connection.execute(insert(tables.shard), row)
    with pytest.raises(ZeroDivisionError), reading(engine):
        raise ZeroDivisionError

    with engine.begin() as connection:  # nor does the pool keep it from others
        connection.execute(insert(tables.shard), row)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_exports_stream_all_of_it_and_are_logged(
    engine: Engine, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydro_hooks")
    many = [installation(Action.ENABLE) for _ in range(1200)]
    with engine.begin() as connection:
        outbox.record(connection, many)
    with site(engine) as url:
        answer = get(f"{url}/search.{form}", q="action:enable")

    ids = re.findall(r'^"?\{?"?(?:id": ")?([0-9a-f-]{36})', answer.text, re.MULTILINE)
    assert ids == [each.id for each in reversed(many)]
    name = {"csv": "search.csv", "json": "search.jsonl"}[form]
    assert f'filename="{name}"' in answer.headers["Content-Disposition"]
    assert "Content-Length" not in answer.headers
    assert f"/search.{form} is exported to 127.0.0.1: 'action:enable'" in caplog.text


def test_another_name_for_this_machine_is_refused(here: str) -> None:
    evil = {"Host": "evil.example"}
    for path in ("/", "/search.csv", "/hydro-hooks-static/pages.css"):
        answer = requests.get(f"{here}{path}", headers=evil, timeout=30)
        assert answer.status_code == 403
        assert "test-host" not in answer.text

    assert (
        requests.get(here, headers={"Host": "localhost:1"}, timeout=30).status_code
        == 200
    )


def test_with_a_token_whoever_knows_it_may_read(engine: Engine) -> None:
    settle(engine, installation(Action.CREATE))
    with site(engine, guard=with_token(TOKEN)) as url:
        without = get(url)
        wrong = requests.get(url, auth=("me", TOKEN[:-1]), timeout=30)
        asked = requests.get(
            f"{url}/search?q=19",
            auth=("me", TOKEN),
            headers={"Host": "hydro.example"},
            timeout=30,
        )
        bearer = requests.get(
            url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )

    assert (without.status_code, wrong.status_code) == (401, 401)
    assert without.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert "test-host" not in without.text
    assert (asked.status_code, bearer.status_code) == (200, 200)
    assert "test-host.jira.com" in asked.text
    assert TOKEN not in asked.text


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has 6 letters; give at least 16"):
        with_token("secret")


def test_pages_are_mounted_in_an_apps_own_admin(
    engine: Engine, events: list[Event]
) -> None:
    app = Flask("admin")
    app.register_blueprint(pages(engine), url_prefix="/admin/hydro")
    server = create_server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        page = get(f"{server.url}/admin/hydro/search", q=HOST)
        style = get(f"{server.url}/admin/hydro/hydro-hooks-static/pages.css")
        elsewhere = get(f"{server.url}/")
    finally:
        server.close()
        thread.join()

    assert page.status_code == style.status_code == 200
    assert f"/admin/hydro/events/{events[4].id}" in page.text
    for address in ADDRESS.findall(page.text):
        assert address.startswith(("/admin/hydro/", "#"))
    assert "Content-Security-Policy" not in elsewhere.headers


def test_a_gateway_has_pages_over_what_it_holds() -> None:
    with LocalGateway(secrets=[SECRET]) as gateway:
        event = installation(Action.DISABLE)
        receive(gateway.engine, event)
        base = gateway.url.partition("/api")[0]
        page = get(f"{base}/search", q=HOST)
        shown = get(f"{base}/events/{event.id}")
        refused = requests.get(base, headers={"Host": "evil.example"}, timeout=30)

    assert "Disabled since 1 March 2026" in told(page)
    assert "its signature is valid" in told(shown)
    assert "waiting" not in told(page)
    assert refused.status_code == 403


def test_the_command_serves_the_pages_until_it_is_told_to_end(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    creation.create_tables(engine)
    settle(engine, installation(Action.DISABLE))
    engine.dispose()

    with started(
        "web", "--port", "0", "--database", str(engine.url), cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        page = get(f"{url}search", q=HOST)
        process.terminate()
        code = process.wait(timeout=30)

    assert url.endswith("/")
    assert "Disabled since 1 March 2026" in told(page)
    assert code == 0


def test_a_file_that_goes_away_is_missed_and_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a b?%.db"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
    creation.create_tables(engine)
    settle(engine, installation(Action.DISABLE))
    engine.dispose()
    url = f"sqlite:///{path}".replace("?", "%3F")
    with started("web", "--port", "0", "--database", url, cwd=tmp_path) as process:
        assert process.stdout is not None
        place = process.stdout.readline().strip()
        there = get(f"{place}search", q=HOST).status_code
        path.unlink()
        gone = [get(place).status_code for _ in range(3)]

    assert there == 200
    assert gone == [503] * 3
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--host", "0.0.0.0"), "use 127.0.0.1, or give a --token"),  # noqa: S104
        (("--host", "0.0.0.0", "--token", "short"), "has 5 letters"),  # noqa: S104
        (("--database", "sqlite:///nowhere.db"), "there is no file nowhere.db"),
    ],
)
def test_the_command_refuses_what_is_not_safe_or_not_there(
    tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    path = tmp_path / "app.db"
    path.touch()

    result = run("web", "--database", f"sqlite:///{path}", *words)

    assert result.exit_code in {1, 2}
    assert problem in " ".join(result.stderr.split())


def test_what_is_over_is_not_told_as_the_present(
    engine: Engine, database: Database
) -> None:
    past = installation(Action.DISABLE, day=1)
    settle(
        engine,
        installation(Action.CREATE, jira_hostname="https://old.example"),
        past,
        installation(Action.ENABLE, day=2),
    )
    with site(engine) as url:
        filtered = get(f"{url}/search", q=f"{HOST} action:disable")
        until = get(f"{url}/search", q=f"{HOST} until:2026-03-02")
        shown = get(f"{url}/events/{past.id}")
    there = ("--database", database.text_url)
    terminal = run("why", HOST, "action:disable", *there)
    named = run("why", past.id, *there)

    for page in (filtered, until):
        assert "Enabled since 3 March 2026" in told(page)
        assert "Disabled since" not in told(page)
        assert "<h1>test-host.jira.com</h1>" in page.text
        titles = re.findall(r"<title>installation 19 (\w+): ", page.text)
        assert titles == ["absent", "disabled", "enabled"]
    assert "Disabled on 2 March 2026" in told(shown)
    for result in (terminal, named):
        first = result.stdout.splitlines()[0]
        assert "installation 19 was disabled at 2026-03-02 12:00:00 UTC" in first


def test_a_large_transaction_is_counted_whole_and_leaves_room_for_others(
    engine: Engine,
) -> None:
    company = new_id()
    large = [
        installation(Action.DESTROY, day=2, transaction_id=company),
        *(
            subscription(
                Action.DESTROY, day=2, subject_id=str(number), transaction_id=company
            )
            for number in range(90)
        ),
    ]
    other = installation(
        Action.DISABLE,
        subject_id="20",
        jira_integration_id=20,
        jira_hostname="https://other.example",
    )
    settle(engine, other, *large)
    with site(engine) as url:
        start = get(f"{url}/")
        shown = get(f"{url}/events/{large[5].id}")

    assert "installation 19 with 90 subscriptions destroyed" in told(start)
    assert "other.example" in start.text
    words = told(shown).partition("In the same transaction")[2]
    assert words.startswith(" 1 installation destroyed and 89 subscriptions destroyed")


@pytest.mark.parametrize("number", ["99999999999999999999", "-1", "x", "9" * 5000])
def test_a_place_to_go_on_from_may_be_anything(here: str, number: str) -> None:
    story = get(f"{here}/search", q=HOST, before=number)
    listed = get(f"{here}/search", q="action:create", before=number)

    assert (story.status_code, listed.status_code) == (200, 200)


def test_rows_that_their_schema_does_not_number_have_bars_of_their_own(
    database: Database,
) -> None:
    engine = database.engine()
    creation.create_gateway_tables(engine)
    for number, action in ((1, Action.CREATE), (2, Action.DESTROY)):
        event = subscription(action, subject_id=None, github_installation_id=number)
        receive(engine, event, name="jira.v0.Action")
    with site(engine) as url:
        page = get(f"{url}/search", q="19")
    engine.dispose()

    assert page.text.count("<title>subscription ") == 4


def test_a_link_asks_for_what_it_shows_whatever_is_in_it(engine: Engine) -> None:
    settle(
        engine,
        installation(
            Action.DISABLE,
            jira_hostname="https://acme.net/ since:nope",
            reason="unattributed",
            origin="views:3 in f since:nope",
            occurred_at=datetime.now(UTC),
        ),
    )
    with site(engine) as url:
        for path in ("/", "/unattributed"):
            links = re.findall(r'href="(/search\?[^"]*)"', get(f"{url}{path}").text)
            answers = [get(url + unescape(link)) for link in links]

            assert links
            assert [each.text.count("<tr data-item>") for each in answers] == [
                1 for _ in links
            ]


def test_only_filters_narrow_down_the_places(here: str) -> None:
    answer = get(f"{here}/unattributed", q=HOST)
    none = get(f"{here}/unattributed", q="since:2026-03-09")

    assert answer.status_code == 400
    assert "is no qualifier" in told(answer)
    assert "Every change that is asked for has a reason" in told(none)


def test_pages_are_mounted_inside_another_blueprint(
    engine: Engine, events: list[Event]
) -> None:
    admin = Blueprint("admin", "admin", url_prefix="/admin")
    admin.register_blueprint(pages(engine), url_prefix="/hydro")
    app = Flask("app")
    app.register_blueprint(admin)

    page = app.test_client().get("/admin/hydro/search", query_string={"q": HOST})

    assert page.status_code == 200
    assert f'href="/admin/hydro/events/{events[4].id}"' in page.text


def test_a_moment_at_the_beginning_of_time_breaks_no_page(engine: Engine) -> None:
    year = 1000 if engine.dialect.name == "mariadb" else 1  # MariaDB's first
    event = installation(Action.CREATE, occurred_at=datetime(year, 1, 1, tzinfo=UTC))
    settle(engine, event)
    with site(engine) as url:
        assert get(f"{url}/search", q=HOST).status_code == 200
