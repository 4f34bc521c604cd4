from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from databases import Database
from sqlalchemy import Engine, create_engine, make_url, text
from test_cli import lines_of_json, run
from test_journal import HOST, NOON, SECRET
from tracked_models import Installation

from hydro_hooks import creation, register, track
from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.cli.database import explained
from hydro_hooks.errors import DatabaseError
from hydro_hooks.journal import span_in


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-05", "2026-03-05T23:59:59.999999+00:00"),
        ("2026-03-05 14:30", "2026-03-05T14:30:59.999999+00:00"),
        ("2026-03-05T14:30:07Z", "2026-03-05T14:30:07.999999+00:00"),
        ("2026-03-05 14:30:07 UTC", "2026-03-05T14:30:07.999999+00:00"),
        ("2026-03-05T14:30:07.250000Z", "2026-03-05T14:30:07.250000+00:00"),
        ("2026-03-05T14:30:07.25+02:00", "2026-03-05T12:30:07.250000+00:00"),
        ("9999-12-31", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_date_stands_for_the_end_of_what_it_leaves_open(
    text: str, moment: str
) -> None:
    assert span_in(text, now=NOON)[1].isoformat() == moment


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "",
        "05.03.2026",
        "0001-01-01T00:00+05:00",
    ],
)
def test_a_date_that_is_none_is_wrong_usage_and_shows_the_form(
    text: str,
) -> None:
    result = run("why", HOST, "--at", text, "--database", "sqlite:///x")

    assert result.exit_code == 2
    assert f"{text!r} is not a date" in result.stderr
    assert "2026-03-05T14:30:00Z" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("why", HOST), "Missing option '--database'"),
        (("why", " ", "--database", "sqlite:///x"), "it is empty"),
        (
            ("why", HOST, "--database", "shop.db"),
            "'shop.db' is not a database's URL; give an SQLAlchemy URL such as"
            " sqlite:///shop.db",
        ),
        (("why", HOST, "--database", "host=h password=hunter2"), "it is not a data"),
        (("relay", "--json", "--database", "sqlite:///x"), "--json needs --once"),
        (("why", HOST, "--database", "x://u:hunter2@h/d"), "no known database"),
        (("why", HOST, "--database", "mysql+pymysql://u:p@hunter2@h/d"), "as %40"),
        (("why", HOST, "--database", "postgresql://u:hunter2@h:x/d"), "not a database"),
        (
            ("why", HOST, "--database", "sqlite+aiosqlite:///x"),
            "async driver; write sqlite://",
        ),
        (("show", "19", "--database", "sqlite:///x"), "not an event id"),
        (("history", HOST, "--limit", "0", "--database", "sqlite:///x"), "--limit"),
        (("schema", "../secret"), "is not one of jira.v0.Action, jira.v1.Action"),
        (("relay",), "Missing option '--database'"),
        (("relay", "--database", "sqlite:///x"), "nowhere to deliver to"),
        (
            ("relay", "--database", "sqlite:///x", "--url", "http://hydro.example/"),
            "in clear text",
        ),
        (("gateway", "--host", "0.0.0.0"), "--allow-remote"),  # noqa: S104 - refused
        (("gateway", "--port", "65536"), "--port"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(
    arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "hunter2" not in result.output
    assert result.stdout == ""


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "mistyped.db"

    for name in (f"sqlite:///{path}", f"sqlite:///file:{path}?uri=true"):
        result = run("why", HOST, "--database", name)

        assert result.exit_code == 1
        assert f"there is no file {path}" in result.stderr
    assert not path.exists()


def test_a_database_in_memory_is_refused() -> None:
    result = run("why", HOST, "--database", "sqlite://")

    assert result.exit_code == 1
    assert "in memory is empty" in result.stderr


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the rows you are looking for" * 100)

    result = run("why", HOST, "--database", f"sqlite:///{path}")

    assert result.exit_code == 1
    assert result.stderr == f"Error: sqlite:///{path}: file is not a database\n"


def test_a_database_without_a_journal_says_what_to_do(database: Database) -> None:
    engine = create_engine(database.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE unrelated (id INTEGER)"))
    engine.dispose()

    for arguments in (("why", HOST), ("relay", "--url", "http://127.0.0.1:9/")):
        result = run(
            *arguments, "--database", database.text_url, HYDRO_APP_SECRET=SECRET
        )

        assert result.exit_code == 1
        assert "has no table hydro_" in result.stderr
        assert "create_tables(engine)" in result.stderr
        assert result.stderr.count("\n") == 1


def test_tables_of_an_older_version_are_told_with_the_migration(
    engine: Engine, database: Database
) -> None:
    with engine.begin() as connection:
        creation.downgrade(connection, 1)

    result = run("outbox", "status", "--database", database.text_url)

    assert result.exit_code == 1
    assert "has no table hydro_meta; the tables are those of an older" in result.stderr
    assert "op.upgrade_hydro_tables(2)" in result.stderr
    hooks = register(track(Installation, association="site"))
    with hooks, pytest.raises(DatabaseError, match=r"op\.upgrade_hydro_tables\(2\)"):
        hooks.check(engine)
    creation.create_tables(engine)


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_a_server_that_is_not_there_is_one_line_without_the_password(
    driver: str,
) -> None:
    place = f"{driver}://someone:hunter2@127.0.0.1:1/app"

    result = run("why", HOST, "--database", place)

    assert result.exit_code == 1
    assert f"{driver}://someone:***@127.0.0.1:1/app: " in result.stderr
    assert "does its server run" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.output


def test_a_password_that_a_database_repeats_is_hidden() -> None:
    url = make_url("postgresql+psycopg://someone:hunter2@db.example/app?password=p4")

    with pytest.raises(DatabaseError) as error, explained(url):
        raise DatabaseError('neither "hunter2" nor "p4" fits')  # noqa: EM101, TRY003

    assert str(error.value) == (
        'postgresql+psycopg://someone:***@db.example/app: neither "***" nor "***" fits'
    )


def test_schema_lists_names_and_prints_one() -> None:
    names = run("schema")
    one = run("schema", "jira.v0.Action")

    assert names.stdout.splitlines() == ["jira.v0.Action", "jira.v1.Action"]
    assert lines_of_json(run("schema", "--json"))[0] == {"name": "jira.v0.Action"}
    assert json.loads(one.stdout)["title"] == "jira.v0.Action"
    assert lines_of_json(run("schema", "jira.v0.Action", "--json")) == [
        json.loads(one.stdout)
    ]


def every_command() -> list[list[str]]:
    """Return the words of all commands, those of groups too."""
    words = []
    for name, command in sorted(hydro_hooks.commands.items()):
        words.append([name])
        if isinstance(command, click.Group):
            words += [[name, each] for each in sorted(command.commands)]
    return words


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_has_an_example_and_the_exit_codes(words: list[str]) -> None:
    result = run(*words, "--help")

    assert result.exit_code == 0
    assert "Example:\n" in result.stdout
    assert "Exit codes: " in result.stdout


@pytest.mark.parametrize("command", ["why", "history"])
def test_help_of_a_lookup_calls_its_argument_by_one_name(command: str) -> None:
    result = run(command, "--help")

    assert "WORDS" in result.stdout
    assert "HOST|URL|ID" not in result.stdout


def test_help_of_the_relay_offers_no_gateways_database() -> None:
    result = run("relay", "--help")

    assert "SQLAlchemy URL of the app's database. [" in " ".join(result.stdout.split())
    assert "gateway's" not in result.stdout
