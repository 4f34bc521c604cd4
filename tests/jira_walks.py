"""Walking a path of the example app: a deed from outside, and what came of it.

By HTTP, or as a process of its own; what is recorded is compared with the rows before
and after.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jira_app import Installation, Subscription, open_database, track_customers
from jira_customers import engine_of
from outside_world import OutsideWorld
from sqlalchemy import ColumnElement, select
from werkzeug.test import TestResponse

from hydro_hooks import Event
from hydro_hooks.testing import capture_events

EXAMPLES = Path(__file__).parent.parent / "examples"

Row = tuple[str, str]
"""An association and a row's id."""

Deed = Callable[[OutsideWorld], TestResponse | None]
"""What somebody outside does, by a request or by a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What has to be recorded of each of some rows.

    Args:
        association: `installation` or `subscription`.
        action: What happens to them.
        state: What they are from then on.
        reason: Why.
        github_actor: Who, where the path knows a GitHub login.
        jira_actor: Who, where it knows a Jira user.
        rows: How many they are.
    """

    association: str
    action: str
    state: str
    reason: str
    github_actor: str | None = None
    jira_actor: str | None = None
    rows: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPath:
    """A path of the app.

    Args:
        name: As in the README.
        before: Makes what has to be there.
        deed: What somebody outside does.
        effect: The path's effect.
        besides: What the same deed does on another path.
    """

    name: str
    before: Callable[[OutsideWorld], object]
    deed: Deed
    effect: Effect
    besides: Effect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a path.

    Args:
        path: The path.
        events: All that was recorded.
        changes: The rows that are not as they were, with what they are now.
    """

    path: AppPath
    events: list[Event]
    changes: dict[Row, str]

    @property
    def is_told(self) -> bool:
        """Whether the events tell what happened to the rows, once each."""
        rows = {(one.association, one.subject_id): one.state for one in self.events}
        return rows == self.changes and len(rows) == len(self.events)


@contextlib.contextmanager
def app_on(url: str) -> Iterator[OutsideWorld]:
    """Give the app on an empty database, without customers."""
    engine = open_database(url)
    with track_customers():
        yield OutsideWorld(engine)
    engine.dispose()


def walk(path: AppPath, world: OutsideWorld) -> Outcome:
    """Do what the path is about, and see what comes of it."""
    path.before(world)
    before = states(world)
    with capture_events(engine_of(world)) as events:
        do(path.deed, world)
    after = states(world)
    rows = before.keys() | after.keys()
    now = {row: after.get(row, "absent") for row in sorted(rows)}
    changes = {row: now[row] for row in now if now[row] != before.get(row, "absent")}
    return Outcome(path=path, events=events, changes=changes)


def do(deed: Deed, world: OutsideWorld) -> None:
    """Do something that the app accepts."""
    answer = deed(world)
    assert answer is None or answer.status_code < 400, answer.text


def states(world: OutsideWorld) -> dict[Row, str]:
    """Return whether each row is enabled or disabled, as its flag says."""
    flags: dict[str, tuple[Any, ColumnElement[bool]]] = {
        "installation": (Installation.id, Installation.enabled.expression),
        "subscription": (Subscription.id, Subscription.active.expression),
    }
    with engine_of(world).connect() as connection:
        return {
            (association, str(number)): "enabled" if is_enabled else "disabled"
            for association, columns in flags.items()
            for number, is_enabled in connection.execute(select(*columns))
        }


def expected(path: AppPath) -> Counter[Effect]:
    """Return all that has to be recorded, each with how often."""
    effects = [path.effect, *([path.besides] if path.besides else [])]
    return Counter({replace(one, rows=1): one.rows for one in effects})


def told(events: list[Event]) -> Counter[Effect]:
    """Return what is recorded, each with how often."""
    return Counter(
        Effect(
            association=event.association,
            action=event.action,
            state=event.state or "",
            reason=event.reason,
            github_actor=str(event.github_actor) if event.github_actor else None,
            jira_actor=event.jira_actor,
        )
        for event in events
    )


def alembic(url: str, *words: str) -> None:
    """Run Alembic on the app's database."""
    # Before its 1.18 it warns of each generated column that it is to compare.
    options = ["-W", "ignore:Computed default"]
    run(url, *options, "-m", "alembic", "-c", str(EXAMPLES / "alembic.ini"), *words)


def url_of(world: OutsideWorld) -> str:
    return engine_of(world).url.render_as_string(hide_password=False)


def run(url: str, *words: str) -> None:
    """Run Python, with the app's database in its environment."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
