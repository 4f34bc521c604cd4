"""Each path of the example app, walked from outside, and the README's table of them.

`python -m pytest -q -s tests/test_jira_app_paths.py -k readme` prints the table.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from databases import Database
from jira_customers import LOGIN, SITE, USER, engine_of
from jira_paths import PATHS, connected, pending, staff_script
from jira_paths_table import HEAD, table
from jira_walks import (
    EXAMPLES,
    AppPath,
    Deed,
    alembic,
    app_on,
    do,
    expected,
    states,
    told,
    url_of,
    walk,
)
from outside_world import OutsideWorld
from sqlalchemy import inspect

from hydro_hooks.testing import capture_events, recorded

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")

UNCHANGING: dict[str, tuple[Callable[[OutsideWorld], None], Deed]] = {
    "web page, connect again": (
        connected,
        lambda w: w.person_connects(SITE, login=LOGIN, user=USER),
    ),
    "web page, nothing stale": (
        connected,
        lambda w: w.person_looks_in_jira(SITE, user=USER),
    ),
    "script, nothing of the kind": (pending, staff_script),
    "migration, no orphans": (
        lambda w: alembic(url_of(w), "stamp", "0001"),
        lambda w: alembic(url_of(w), "upgrade", "head"),
    ),
}
"""By name, what is there before, and what is done."""


@pytest.fixture
def world(database: Database) -> Iterator[OutsideWorld]:
    """Yield the app, without customers, on each database."""
    with app_on(database.text_url) as world:
        yield world


@pytest.mark.parametrize("path", PATHS, ids=[path.name for path in PATHS])
def test_a_path_is_recorded_with_its_effect_reason_and_actor(
    world: OutsideWorld, path: AppPath
) -> None:
    outcome = walk(path, world)

    assert told(outcome.events) == expected(path)
    assert outcome.is_told
    assert len({event.transaction_id for event in outcome.events}) == 1


@pytest.mark.parametrize(("before", "deed"), UNCHANGING.values(), ids=UNCHANGING.keys())
def test_a_path_that_changes_nothing_records_nothing(
    world: OutsideWorld, before: Callable[[OutsideWorld], None], deed: Deed
) -> None:
    before(world)
    there = states(world)

    with capture_events(engine_of(world)) as events:
        do(deed, world)

    assert events == []
    assert states(world) == there


def test_where_jira_names_nobody_no_actor_is_made_up(world: OutsideWorld) -> None:
    pending(world)

    with capture_events(engine_of(world)) as events:
        for name in ("enabled", "disabled", "enabled", "installed", "uninstalled"):
            assert world.jira_calls(name, SITE).status_code == 204

    assert [event.action for event in events[:4]] == [
        "enable",
        "disable",
        "enable",
        "disable",
    ]
    assert {(one.reason, one.github_actor, one.jira_actor) for one in events} == {
        ("jira webhook", None, None)
    }


def test_the_readme_shows_the_table(tmp_path: Path) -> None:
    outcomes = []
    for number, path in enumerate(PATHS):
        with app_on(f"sqlite:///{tmp_path / f'{number}.db'}") as world:
            outcomes.append(walk(path, world))
    found = table(outcomes)
    sys.stdout.write(f"\n{found}\n")

    head = re.escape(HEAD)
    shown = re.findall(rf"^{head}$.*?(?=\n\n)", README, re.DOTALL | re.MULTILINE)
    assert shown == [found]


def test_the_table_tells_what_is_wrong(tmp_path: Path) -> None:
    [path] = [path for path in PATHS if "connect" in path.name]
    wanted = replace(path.effect, rows=2, reason="another", github_actor="another")
    with app_on(f"sqlite:///{tmp_path / 'app.db'}") as world:
        outcome = walk(replace(path, effect=wanted), world)

    *_, row, total = table([outcome]).splitlines()
    assert row.split(" | ")[1:] == [
        "✗ wrong: subscription created",
        "✗ wrong: web interaction",
        f"✗ wrong: GitHub {LOGIN}, Jira {USER[:6]}... |",
    ]
    assert total.count("**0 right") == 3


def test_what_is_not_recorded_is_wrong(tmp_path: Path) -> None:
    [path] = [path for path in PATHS if "connect" in path.name]
    with app_on(f"sqlite:///{tmp_path / 'app.db'}") as world:
        outcome = replace(walk(path, world), events=[])

    *_, row, _ = table([outcome]).splitlines()
    assert row.split(" | ")[1:] == [
        "✗ wrong: nothing",
        "✗ wrong: none",
        "✗ wrong: none |",
    ]


def test_a_migration_is_named_as_the_place_of_what_it_changes(tmp_path: Path) -> None:
    [path] = [path for path in PATHS if "migration" in path.name]
    with app_on(f"sqlite:///{tmp_path / 'app.db'}") as world:
        outcome = walk(path, world)

    [origin] = {event.origin for event in outcome.events}
    assert re.fullmatch(r"rev_0002_drop_orphans_py:\d+ in upgrade", origin or "")


def test_the_migrations_make_the_tables_of_the_models(database: Database) -> None:
    alembic(database.text_url, "upgrade", "head")

    alembic(database.text_url, "check")


def test_what_is_recorded_outlives_the_tables_of_the_app(database: Database) -> None:
    alembic(database.text_url, "upgrade", "0001")
    with app_on(database.text_url) as world:
        connected(world)
        events = recorded(engine_of(world))
        alembic(database.text_url, "downgrade", "base")
        kept = recorded(engine_of(world))
        names = inspect(engine_of(world)).get_table_names()

    assert events == kept
    assert "Installations" not in names


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["upgrade", "head"], "name the database: -x database=URL, or DATABASE_URL"),
        (["upgrade", "head", "--sql"], "--sql writes no events"),
    ],
    ids=["no database", "as SQL"],
)
def test_a_migration_that_could_not_be_recorded_does_not_run(
    monkeypatch: pytest.MonkeyPatch, words: list[str], problem: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(EXAMPLES / "alembic.ini"), *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert problem in done.stdout + done.stderr


def test_a_database_named_on_the_command_line_comes_before_the_environment_s(
    tmp_path: Path,
) -> None:
    named, other = (tmp_path / "named.db", tmp_path / "other.db")

    words = ["-x", f"database=sqlite:///{named}", "upgrade", "head"]
    alembic(f"sqlite:///{other}", *words)

    assert (named.exists(), other.exists()) == (True, False)
