"""Lists on the command line: tables on a terminal, lines elsewhere, CSV and JSON."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import threading

import pytest
from click.shell_completion import get_completion_class
from sqlalchemy import Engine
from test_cli import ESCAPE, file_engine, file_url, lines_of_json, run
from test_journal import HOST, installation, record, reject, settle

from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.event import Event
from hydro_hooks.exports import PLACE_FIELDS, RECORD_FIELDS
from hydro_hooks.transition import Action

__all__ = ["file_engine", "file_url"]

OTHER_HOST = "https://other.atlassian.net"


@pytest.fixture
def events(file_engine: Engine) -> list[Event]:
    told = [
        installation(Action.CREATE, github_actor="octocat", reason="web interaction"),
        installation(Action.DISABLE, day=1, reason="unattributed"),
        installation(
            Action.DESTROY,
            day=2,
            subject_id="20",
            jira_integration_id=20,
            jira_hostname=OTHER_HOST,
            note='=HYPERLINK("https://evil.example")',
        ),
    ]
    settle(file_engine, told[0])
    reject(file_engine, told[1], "no such field")
    record(file_engine, told[2])
    return told


def on_a_terminal(
    *arguments: str, columns: int = 80, **environment: str
) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and what the terminal got."""
    ours, theirs = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                shown.append(chunk)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    told = {"TERM": "xterm", "COLUMNS": str(columns), **environment}
    kept = {name: it for name, it in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "hydro_hooks.cli", *arguments],
        env={**kept, **told},
        stdout=theirs,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return done.returncode, b"".join(shown).decode()


def test_on_a_terminal_a_list_is_a_table_that_fits(
    file_url: str, events: list[Event]
) -> None:
    code, shown = on_a_terminal("history", "--database", file_url, NO_COLOR="1")

    lines = shown.replace("\r\n", "\n").splitlines()
    assert code == 0
    assert all(len(each.rstrip()) <= 80 for each in lines)
    assert lines[0].split() == [
        "when",
        "(UTC)",
        "what",
        "action",
        "why,",
        "and",
        "by",
        "whom",
    ]
    [at] = [number for number, each in enumerate(lines) if "2026-03-01 12:00" in each]
    its_host = HOST.removeprefix("https://")
    assert lines[at].split()[2:] == [its_host, "create", "web", "interaction"]
    assert lines[at + 1].split() == ["installation", "19", "GitHub", "user", "octocat"]
    assert events[0].id not in shown
    assert "\x1b[3" not in shown


def test_a_wide_terminal_shows_the_ids_too_and_colours_tell_actions_apart(
    file_url: str, events: list[Event]
) -> None:
    there = ("history", HOST, "--database", file_url)
    code, shown = on_a_terminal(*there, columns=180)

    assert code == 0
    assert events[0].id in shown
    assert "test-host" not in shown
    assert "\x1b[32mcreate" in shown
    assert "\x1b[33mdisable" in shown


def test_places_without_a_reason_are_a_table_on_a_terminal(
    file_url: str, events: list[Event]
) -> None:
    there = ("unattributed", "--database", file_url)
    code, shown = on_a_terminal(*there, NO_COLOR="1")
    elsewhere = run(*there)

    assert code == 0
    assert shown.split()[:4] == ["made", "at", "changes", "first"]
    assert "jira_app.webhooks:42 in" in shown
    assert re.search(r" 1 +2026-03-02 12:00:00 +2026-03-02 12:00:00", shown)
    assert elsewhere.stdout == (
        f"{events[1].origin}: 1 change, from 2026-03-02 12:00:00 UTC to"
        " 2026-03-02 12:00:00 UTC\n"
    )


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)], ids=str)
def test_a_terminal_gets_no_escapes_of_other_people(
    file_engine: Engine, file_url: str, form: tuple[str, ...]
) -> None:
    text = f"[red]{ESCAPE}"
    hosts = (text, OTHER_HOST)
    record(
        file_engine,
        *(
            installation(Action.CREATE, jira_hostname=it, reason=text, note=text)
            for it in hosts
        ),
    )

    code, shown = on_a_terminal(
        "history", *form, "--database", file_url, columns=400, NO_COLOR="1"
    )

    assert code == 0
    assert "[red]" in shown
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_csv_is_opened_again_as_it_was(
    file_engine: Engine, file_url: str, events: list[Event]
) -> None:
    note = 'with "quotes", commas\nand lines'
    record(file_engine, installation(Action.CREATE, day=3, note=note))
    command = ("history", "--database", file_url)

    told = run(*command, "--csv")
    rows = list(csv.DictReader(io.StringIO(told.stdout_bytes.decode(), newline="")))
    objects = lines_of_json(run(*command, "--json"))

    assert told.exit_code == 0
    assert tuple(rows[0]) == RECORD_FIELDS
    assert [row["id"] for row in rows[:3]] == [event.id for event in events]
    assert rows[3]["note"] == note
    # But for what a spreadsheet would run.
    assert rows[2]["note"] == f"'{events[2].note}"
    assert objects[2]["note"] == events[2].note
    rows[2]["note"] = str(events[2].note)
    assert rows == [
        {name: "" if it is None else str(it) for name, it in each.items()}
        for each in objects
    ]


def test_places_are_told_to_programs(file_url: str, events: list[Event]) -> None:
    command = ("unattributed", "--database", file_url)

    [row] = csv.DictReader(io.StringIO(run(*command, "--csv").stdout))
    [place] = lines_of_json(run(*command, "--json"))

    assert tuple(row) == PLACE_FIELDS
    assert place["count"] == 1
    assert place["first_at"] == row["first_at"] == "2026-03-02T12:00:00.250000Z"
    assert events[1].origin == place["origin"] == row["origin"]


@pytest.mark.parametrize(
    "words",
    [
        ("action:disable",),
        ("--action", "disable"),
        ("reason:unattributed", HOST),
        (f"{HOST} action:disable,enable",),
        (HOST, "--reason", "unattributed"),
        ("--since", "2026-03-02", "--until", "2026-03-02"),
        ("since:2026-03-02", "--until", "2026-03-02"),
    ],
    ids=str,
)
def test_a_qualifier_is_a_word_or_an_option(
    file_url: str, events: list[Event], words: tuple[str, ...]
) -> None:
    listed = lines_of_json(run("history", *words, "--json", "--database", file_url))

    assert [each["id"] for each in listed] == [events[1].id]


@pytest.mark.parametrize(
    "words",
    [("reason:web interaction",), ('reason:"web interaction" since:2026-01-01',)],
)
def test_a_value_with_blanks_is_one_argument_or_stands_in_quotes(
    file_url: str, events: list[Event], words: tuple[str, ...]
) -> None:
    listed = lines_of_json(run("history", *words, "--json", "--database", file_url))

    assert [each["id"] for each in listed] == [events[0].id]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--since", "soon"), "since: 'soon' is not a date"),
        (("action:vanish",), "action: 'vanish' is none of create, enable"),
        (("actor:a", "--actor", "b"), "actor: is given twice"),
    ],
)
def test_a_qualifier_that_cannot_be_is_wrong_usage(
    file_url: str, words: tuple[str, ...], problem: str
) -> None:
    result = run("history", *words, "--database", file_url)

    assert result.exit_code == 2
    assert problem in result.stderr


def test_what_no_filter_lets_pass_is_nothing_found(
    file_url: str, events: list[Event]
) -> None:
    assert events
    there = ("--database", file_url)
    listed = run("history", HOST, "actor:nobody", *there)
    asked = run("why", HOST, "actor:nobody", *there)
    places = run("unattributed", "--since", "2026-06-01", *there)

    assert [each.exit_code for each in (listed, asked, places)] == [3, 3, 3]
    assert f"nothing that is recorded of '{HOST}' is as asked for" in listed.stderr
    assert f"nothing that is recorded of '{HOST}' is as asked for" in asked.stderr
    assert "every change that is asked for has a reason" in places.stderr


def test_an_actor_is_no_answer_to_why_but_has_a_history(
    file_url: str, events: list[Event]
) -> None:
    asked = run("why", "octocat", "--database", file_url)
    listed = run("history", "@octocat", "--json", "--database", file_url)

    assert asked.exit_code == 3
    assert "'octocat' is an actor; history tells what was done" in asked.stderr
    assert [each["id"] for each in lines_of_json(listed)] == [events[0].id]


def test_hosts_like_a_mistyped_one_are_told(file_url: str, events: list[Event]) -> None:
    assert events
    result = run("why", "test-hots.jira.com", "--database", file_url)

    assert result.exit_code == 3
    assert f"hosts like it:  {HOST}\n" in result.stderr


@pytest.mark.parametrize(
    "typed",
    ["est-host.jira.com", "tset-host.jira.com", "test-host1.jira.com", "xtest-host"],
)
def test_a_letter_that_is_wrong_anywhere_in_a_name_is_no_hindrance(
    file_url: str, file_engine: Engine, typed: str
) -> None:
    hosts = [f"https://test-host{number}.jira.com" for number in range(2, 400)]
    settle(
        file_engine,
        *(
            installation(Action.CREATE, subject_id=str(n), jira_hostname=host)
            for n, host in enumerate(["https://test-host.jira.com", *hosts])
        ),
    )
    asked = typed if typed != "xtest-host" else "test-hot399.jira.com"
    result = run("why", asked, "--database", file_url)

    expected = HOST if typed != "xtest-host" else hosts[-1]
    assert expected in result.stderr.partition("hosts like it:")[2]


@pytest.mark.parametrize(
    "pasted", ["<https://test-host.jira.com>", "test-host.jira.com:443,"]
)
def test_a_host_is_found_with_what_it_was_pasted_with(
    file_url: str, events: list[Event], pasted: str
) -> None:
    assert events
    assert run("why", pasted, "--database", file_url).exit_code == 0


def test_lines_of_several_customers_name_them(
    file_url: str, events: list[Event]
) -> None:
    assert events
    result = run("history", "--database", file_url)

    assert [f"{HOST}: inst" in each for each in result.stdout.splitlines()[:2]] == [
        True,
        True,
    ]
    assert f"{OTHER_HOST}: installation 20" in result.stdout


def test_places_without_a_reason_take_words(file_url: str, events: list[Event]) -> None:
    assert events
    there = ("--database", file_url)
    result = run("unattributed", "since:2026-03-02 action:disable", *there)
    wrong = run("unattributed", HOST, *there)

    assert "1 change" in result.stdout
    assert wrong.exit_code == 2
    assert "is no qualifier; only these narrow it down" in wrong.stderr


def test_other_installations_of_a_host_are_told(
    file_url: str, file_engine: Engine
) -> None:
    settle(
        file_engine,
        installation(Action.DISABLE, subject_id="40", jira_integration_id=40),
        installation(Action.ENABLE, day=1),
    )
    result = run("why", HOST, "--database", file_url)

    assert f"also:     {HOST}: installation 40 is disabled since" in result.stdout


def test_a_cut_list_says_so(file_url: str, events: list[Event]) -> None:
    result = run("history", "--limit", "2", "--json", "--database", file_url)

    assert [each["id"] for each in lines_of_json(result)] == [e.id for e in events[1:]]
    assert result.stderr == "older records are left out; a --limit above 2 shows more\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_words(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_HYDRO_HOOKS_COMPLETE", f"{shell}_complete")
    class_ = get_completion_class(shell)
    assert class_ is not None
    complete = class_(hydro_hooks, {}, "hydro-hooks", "_HYDRO_HOOKS_COMPLETE")

    def offered(*words: str, incomplete: str) -> set[str]:
        found = complete.get_completions(list(words), incomplete)
        return {item.value for item in found}

    assert {"why", "history", "unattributed"} <= offered(incomplete="")
    # To bash, a colon ends a word.
    words = {"action:disable", "action:destroy"} if shell != "bash" else set()
    assert offered("history", incomplete="action:d") == words
    assert offered("history", incomplete="actor") == set()
    assert offered("history", "--action", incomplete="en") == {"enable"}
    assert offered("history", incomplete="acme") == set()
    assert complete.source()


@pytest.mark.parametrize(
    "start", ["=", " =", "\n=", "+", "-", "@", "\uff1d", "\uff20"], ids=ascii
)
def test_no_cell_of_csv_is_a_formula(
    file_engine: Engine, file_url: str, start: str
) -> None:
    record(file_engine, installation(Action.CREATE, note=f"{start}1+1"))

    told = run("history", "--csv", "--database", file_url)

    assert f'"\'{start}1+1"' in told.stdout_bytes.decode()


def test_a_value_is_one_argument_whatever_is_in_it(
    file_engine: Engine, file_url: str
) -> None:
    event = installation(Action.CREATE, reason="deploy fix: thing")
    record(file_engine, event, installation(Action.ENABLE))
    word = "reason:deploy fix: thing"

    listed = lines_of_json(run("history", word, "--json", "--database", file_url))

    assert [each["id"] for each in listed] == [event.id]
