"""A journal as large as years make it, for the benchmark of the pages.

    python tests/large_journal.py DATABASE_URL [EVENTS]

A thousand events a day back from now; twenty events for each installation, of which it
is about half, and its subscriptions about the rest. Tells its progress.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, create_engine, func, insert, select

from hydro_hooks import creation, outbox, tables
from hydro_hooks.event import Event
from hydro_hooks.transition import Action, State

CHUNK: Final = 10_000
A_DAY: Final = 1000
EACH: Final = 20
"""Events of an installation and what belongs to it."""

REASONS: Final = ("jira webhook", "web interaction", "github webhook", "stafftools-api")
STATES: Final = {
    Action.CREATE: State.ENABLED,
    Action.ENABLE: State.ENABLED,
    Action.DISABLE: State.DISABLED,
    Action.DESTROY: State.ABSENT,
}


def host_of(number: int) -> str:
    """Return the host of an installation."""
    return f"https://customer-{number}.atlassian.net"


def actor_of(chance: random.Random, count: int) -> str:
    """Return somebody who did about five hundred things."""
    return f"user-{chance.randrange(max(count // 750, 1))}"


def fill(engine: Engine, count: int, *, tells: bool = False) -> None:
    """Fill the journal of an app's database, with as many events as are missing."""
    creation.create_tables(engine)
    with engine.connect() as connection:
        there = connection.scalar(select(func.count()).select_from(tables.journal))
    if there == count:
        return
    rows = _rows(count)
    for done in range(0, count, CHUNK):
        chunk = [next(rows) for _ in range(min(CHUNK, count - done))]
        with engine.begin() as connection:
            connection.execute(insert(tables.journal), chunk)
        if tells:
            sys.stderr.write(f"\r{done + len(chunk):,} of {count:,} events")
    if tells:
        sys.stderr.write("\n")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        analyze = {"postgresql": "VACUUM ANALYZE", "sqlite": "ANALYZE"}
        connection.exec_driver_sql(analyze[engine.dialect.name])


def _rows(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(count)  # noqa: S311 - no secret
    first_at = datetime.now(UTC) - timedelta(days=count / A_DAY)
    for number in range(count):
        event = _event(number, count, first_at, chance)
        yield {
            **outbox.row_of(event),
            "seq": number + 1,
            "schema": "jira.v1.Action",
            "settled_at": event.occurred_at,
            "settled_by": "relay",
            "attempts": 1,
        }


def _event(number: int, count: int, first_at: datetime, chance: random.Random) -> Event:
    installation = chance.randrange(max(count // EACH, 1))
    is_own = chance.random() < 0.5
    action = chance.choice(list(Action))
    is_told = chance.random() < 0.95
    together = number - (number % 3 == 1)
    return Event(
        id=str(UUID(int=(7 << 76) | (2 << 62) | number)),
        transaction_id=str(UUID(int=(7 << 76) | (3 << 62) | together)),
        occurred_at=first_at + timedelta(days=1) * number / A_DAY,
        association="installation" if is_own else "subscription",
        subject_id=str(installation if is_own else installation * 10 + number % 3),
        action=action,
        state=STATES[action],
        github_installation_id=installation + 10_000_000,
        jira_hostname=host_of(installation),
        jira_integration_id=installation,
        reason=chance.choice(REASONS) if is_told else "unattributed",
        github_actor=actor_of(chance, count) if number % 3 else None,
        jira_actor=None,
        note=None,
        origin=f"app.views_{number % 40}:{number % 300} in handle",
    )


if __name__ == "__main__":
    url, *rest = sys.argv[1:]
    fill(create_engine(url), int(rest[0]) if rest else 1_000_000, tells=True)
