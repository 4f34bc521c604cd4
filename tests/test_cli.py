from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from databases import Database, begin_explicitly
from sqlalchemy import Engine, create_engine
from test_journal import (
    HOST,
    NOON,
    SECRET,
    as_of_v0,
    installation,
    receive,
    record,
    reject,
    settle,
    subscription,
)

from hydro_hooks import creation
from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.event import new_id
from hydro_hooks.transition import Action

ESCAPE = "\x1b]0;owned\x07\x9b31m\u202e\x7f"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        hydro_hooks, arguments, env=environment, prog_name="hydro-hooks"
    )


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "hydro_hooks.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


def lines_of_json(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def url(database: Database, engine: Engine) -> str:
    """Return the URL of an app's database that has the tables."""
    assert engine.url == database.url
    return database.text_url


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield an app's database where the kind of database does not matter."""
    engine = create_engine(f"sqlite:///{tmp_path / 'one.db'}")
    begin_explicitly(engine)
    creation.create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def file_url(file_engine: Engine) -> str:
    return str(file_engine.url)


@pytest.fixture
def gateway_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    creation.create_gateway_tables(engine)
    yield engine
    engine.dispose()


def test_why_answers_in_its_first_line_then_tells_what_surrounds_it(
    engine: Engine, url: str
) -> None:
    created = installation(Action.CREATE)
    disabled = installation(Action.DISABLE, day=2, transaction_id=new_id())
    company = subscription(
        Action.DESTROY, day=2, transaction_id=disabled.transaction_id
    )
    settle(engine, created, installation(Action.ENABLE, day=1, jira_actor="5b10"))
    record(engine, disabled, company)

    result = run("why", "test-host.jira.com", "--database", url)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "https://test-host.jira.com: installation 19 is disabled since 2026-03-03"
        ' 12:00:00 UTC (disable, reason "jira webhook", no actor, made at'
        " jira_app.webhooks:42 in installed), not delivered yet"
    )
    assert lines[1] == "with it:  1 subscription destroyed, in the same transaction"
    assert lines[2].startswith(
        'before:   2026-03-02 12:00:00 UTC  installation 19: enable, reason "jira'
        ' webhook", by Jira user 5b10'
    )
    assert lines[3] == "after:    nothing recorded"
    assert lines[4] == f"event:    {disabled.id}"
    assert result.stderr == ""


def test_why_answers_from_a_gateways_database(gateway_engine: Engine) -> None:
    event = as_of_v0(installation(Action.DISABLE, github_actor=583231))
    receive(gateway_engine, event, name="jira.v0.Action")

    result = run("why", "19", "--database", str(gateway_engine.url))

    assert result.stdout.splitlines()[0] == (
        "https://test-host.jira.com: installation 19 is disabled since 2026-03-01"
        ' 12:00:00 UTC (disable, reason "jira webhook", by GitHub user id 583231)'
    )


def test_why_at_a_date_tells_the_state_at_the_end_of_that_day(
    file_engine: Engine, file_url: str
) -> None:
    settle(file_engine, installation(Action.CREATE), installation(Action.ENABLE, day=1))

    result = run("why", HOST, "--at", "2026-03-01", "--database", file_url)

    lines = result.stdout.splitlines()
    assert "was, at 2026-03-01 23:59:59 UTC, disabled since" in lines[0]
    assert lines[2].startswith("after:    2026-03-02 12:00:00 UTC")


def test_why_names_both_actors_the_note_and_the_origin_of_an_unattributed_change(
    file_engine: Engine, file_url: str
) -> None:
    event = installation(
        Action.DESTROY,
        reason="unattributed",
        github_actor="octocat",
        jira_actor="5b10",
        note="ticket 4711",
    )
    settle(file_engine, event)

    result = run("why", HOST, "--database", file_url)

    assert result.stdout.splitlines()[0] == (
        "https://test-host.jira.com: installation 19 is absent (destroyed) since"
        ' 2026-03-01 12:00:00 UTC (destroy, reason "unattributed", by GitHub user'
        " octocat and Jira user 5b10, made at jira_app.webhooks:42 in installed,"
        ' note "ticket 4711")'
    )


def test_a_reason_with_commas_and_quotes_stays_one_text(
    file_engine: Engine, file_url: str
) -> None:
    reason = 'dropped, "cascade", by hand'
    settle(file_engine, installation(Action.DISABLE, reason=reason, jira_actor="5b10"))

    result = run("why", HOST, "--database", file_url)

    quoted = r'"dropped, \"cascade\", by hand"'
    assert f"(disable, reason {quoted}, by Jira user 5b10)" in result.stdout


def test_why_names_the_host_of_a_neighbour_that_is_another_customers(
    file_engine: Engine, file_url: str
) -> None:
    other = "https://other.jira.com"
    settle(
        file_engine,
        installation(Action.DESTROY, day=1, jira_hostname=other),
        installation(Action.CREATE, day=2),
    )

    alone = run("why", "19", "--database", file_url).stdout.splitlines()
    settle(file_engine, installation(Action.ENABLE, day=3))
    later = run("why", "19", "--database", file_url).stdout.splitlines()

    moment = "2026-03-02 12:00:00 UTC"
    assert alone[0].startswith(f"{HOST}: installation 19 is disabled")
    assert alone[1].startswith(f"before:   {moment}  {other}: installation 19: destroy")
    assert later[1].startswith("before:   2026-03-03 12:00:00 UTC  installation 19: cr")


def test_why_tells_that_an_event_was_rejected_and_why(
    file_engine: Engine, file_url: str
) -> None:
    reject(file_engine, installation(Action.ENABLE), "unknown\nfield")

    result = run("why", HOST, "--database", file_url)

    assert result.stdout.splitlines()[0].endswith(", rejected: unknown\\nfield")


def test_why_says_what_else_a_number_is(file_engine: Engine, file_url: str) -> None:
    settle(
        file_engine,
        installation(Action.CREATE, jira_integration_id=10),
        subscription(Action.CREATE),
    )

    first = run("why", "10", "--database", file_url)
    second = run("why", "10", "--as", "github", "--database", file_url)

    assert "installation 19 is" in first.stdout
    assert "(a Jira integration id was asked for)" in first.stdout
    assert "it is a GitHub installation id too: --as github" in first.stderr
    assert "subscription 7 (GitHub installation 10) is enabled" in second.stdout


def test_why_as_json_is_one_line_with_every_field(engine: Engine, url: str) -> None:
    created = installation(Action.CREATE)
    settle(engine, created, installation(Action.DISABLE, day=1))

    (answer,) = lines_of_json(run("why", HOST, "--json", "--database", url))

    assert answer["taken_for"] == "host"
    assert answer["answer"]["state"] == "disabled"
    assert answer["answer"]["occurred_at"] == "2026-03-02T12:00:00.250000Z"
    assert answer["answer"]["jira_integration_id"] == 19
    assert answer["answer"]["place"] == "delivered"
    assert answer["before"]["id"] == created.id
    assert answer["after"] is None
    assert answer["in_same_transaction"] == []


def test_nothing_found_tells_what_could_be_found_and_exits_with_3(
    engine: Engine, url: str
) -> None:
    settle(engine, installation(Action.CREATE))
    record(engine, installation(Action.ENABLE, day=1))

    for command in ("why", "history"):
        result = run(command, "nobody.jira.com", "--database", url, "--json")

        assert result.exit_code == 3
        assert result.stdout == ""
        assert "nothing is found of 'nobody.jira.com'" in result.stderr
        assert "earliest record held is of 2026-03-01 12:00:00 UTC" in result.stderr
        assert "1 event waits undelivered, 0 were rejected" in result.stderr


def test_nothing_found_in_an_empty_database_says_that_it_is_empty(
    file_url: str, gateway_engine: Engine
) -> None:
    ours = run("why", HOST, "--database", file_url)
    theirs = run("show", new_id(), "--database", str(gateway_engine.url))

    assert (ours.exit_code, theirs.exit_code) == (3, 3)
    assert "no record is held; 0 events wait undelivered" in ours.stderr
    assert "what waits undelivered is in the app's database" in theirs.stderr


def test_before_the_first_record_nothing_is_found_but_the_first_is_told(
    file_engine: Engine, file_url: str
) -> None:
    event = installation(Action.CREATE)
    settle(file_engine, event)

    result = run("why", HOST, "--at", "2026-02-28", "--database", file_url)
    listed = run("history", HOST, "--at", "2026-02-28", "--database", file_url)

    assert (result.exit_code, listed.exit_code) == (3, 3)
    assert "nothing is recorded of 'https://test-host.jira.com' by" in result.stderr
    assert f"[{event.id}]" in result.stderr


def test_history_lists_the_newest_last_and_says_what_it_leaves_out(
    engine: Engine, url: str
) -> None:
    events = [
        installation(Action.CREATE),
        subscription(Action.CREATE, day=1),
        installation(Action.ENABLE, day=2),
    ]
    settle(engine, *events)

    result = run("history", HOST, "--limit", "2", "--database", url)
    everything = run("history", HOST, "--json", HYDRO_DATABASE_URL=url)

    assert [line[-37:-1] for line in result.stdout.splitlines()] == [
        events[1].id,
        events[2].id,
    ]
    assert result.stderr == "1 older record is left out; --limit 3 shows all\n"
    assert [each["id"] for each in lines_of_json(everything)] == [e.id for e in events]


def test_show_tells_every_field_that_has_a_value(engine: Engine, url: str) -> None:
    event = installation(Action.DISABLE, note="ticket 4711")
    settle(engine, event)

    result = run("show", event.id, "--database", url)
    (as_json,) = lines_of_json(run("show", event.id, "--json", "--database", url))

    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert shown["id"] == event.id
    assert shown["note"] == "ticket 4711"
    assert shown["attempts"] == "1"
    assert shown["settled_at"] == "2026-03-01 12:00:00.250000+00:00"
    assert "jira_actor" not in shown
    assert as_json["jira_actor"] is None
    assert json.loads(as_json["payload"])["subjectId"] == "19"


def test_show_raw_gives_the_stored_bytes_and_checks_their_signature(
    gateway_engine: Engine,
) -> None:
    event = installation(Action.CREATE, jira_hostname="https://tëst.jira.com")
    body = receive(gateway_engine, event)
    arguments = ("show", event.id, "--raw", "--database", str(gateway_engine.url))

    valid = start(*arguments, HYDRO_APP_SECRET=f"newer {SECRET}")
    other = run(*arguments, HYDRO_APP_SECRET="other")
    without = run(*arguments)

    assert (valid.returncode, valid.stdout) == (0, body)
    assert b"signature valid" in valid.stderr
    assert SECRET.encode() not in valid.stderr
    assert (other.exit_code, other.stdout_bytes) == (1, body)
    assert "does not match any known secret" in other.stderr
    assert (without.exit_code, without.stdout_bytes) == (0, body)
    assert "no secret given" in without.stderr


def test_show_raw_as_json_holds_the_request_and_whether_it_is_signed(
    gateway_engine: Engine,
) -> None:
    event = installation(Action.CREATE)
    body = receive(gateway_engine, event)
    arguments = ("show", event.id, "--raw", "--json")
    place = str(gateway_engine.url)

    valid = run(*arguments, HYDRO_DATABASE_URL=place, HYDRO_APP_SECRET=SECRET)
    unchecked = run(*arguments, HYDRO_DATABASE_URL=place)

    request = lines_of_json(valid)[0]["request"]
    assert request["body"] == body.decode()
    assert request["is_signature_valid"] is True
    assert lines_of_json(unchecked)[0]["request"]["is_signature_valid"] is None


def test_show_raw_in_an_apps_database_gives_the_value_and_says_so(
    engine: Engine, url: str
) -> None:
    event = installation(Action.CREATE)
    record(engine, event)

    result = run("show", event.id, "--raw", "--database", url)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["eventId"] == event.id
    assert "no request is stored here" in result.stderr


@pytest.mark.parametrize("command", ["why", "history"])
def test_no_control_character_of_a_stored_text_reaches_the_terminal(
    file_engine: Engine, file_url: str, command: str
) -> None:
    event = installation(
        Action.CREATE,
        jira_hostname=f"https://x{ESCAPE}.jira.com",
        note=f"first\nsecond{ESCAPE}",
        reason=f"because{ESCAPE}",
    )
    settle(file_engine, event)

    plain = run(command, "19", "--database", file_url)
    as_json = run(command, "19", "--json", "--database", file_url)
    shown = run("show", event.id, "--database", file_url)
    lost = run(command, f"nobody{ESCAPE}", "--database", file_url)

    for result in (plain, as_json, shown, lost):
        assert all(
            letter.isprintable() or letter == "\n" for letter in result.output
        ), result.output
    assert "first\\nsecond\\x1b]0;owned\\x07\\x9b31m\\u202e" in plain.stdout
    assert lost.exit_code == 3


def test_an_occurred_at_of_json_given_back_as_a_date_finds_its_event(
    file_engine: Engine, file_url: str
) -> None:
    settle(file_engine, installation(Action.CREATE))
    (answer,) = lines_of_json(run("why", HOST, "--json", "--database", file_url))
    moment = answer["answer"]["occurred_at"]

    result = run("why", HOST, "--at", moment, "--database", file_url)

    assert NOON.microsecond
    assert result.exit_code == 0
