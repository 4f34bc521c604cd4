"""The oracle: what is really in the tables, by the database's own driver.

No SQLAlchemy here, and nothing of hydro_hooks: one SELECT over all tracked tables, with
the values by subquery spelled out, and the outbox as it stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import psycopg
import pymysql
from databases import Database
from state_machine_models import Subject

ABSENT, ENABLED, DISABLED = "absent", "enabled", "disabled"


class Row(NamedTuple):
    """A row of a tracked table that others see: its state, values and parent."""

    state: str
    github_installation_id: str | None
    jira_hostname: str | None
    jira_integration_id: str | None
    parent: Subject | None


Snapshot: TypeAlias = Mapping[Subject, Row]
"""The rows of all tables, untracked ones too, by subject; hidden ones are left out."""


class Transition(NamedTuple):
    """What an event has to tell."""

    subject: Subject
    action: str
    state: str
    github_installation_id: str | None
    jira_hostname: str | None
    jira_integration_id: str | None


class RecordedEvent(NamedTuple):
    """An event of the outbox."""

    transition: Transition
    reason: str
    transaction_id: str


UNTRACKED = ("team",)
_FLAG = "CASE WHEN {0}.is_enabled THEN 1 ELSE 0 END"
# Columns: association, key, its second half, present, enabled, GitHub installation,
# host, Jira integration, the parent's association, its key. 0 and '' stand for none:
# PostgreSQL wants one type in each column of a union.
_SNAPSHOT = f"""
SELECT 'installation', i.id, '', 1, {_FLAG.format("i")},
       COALESCE((SELECT MIN(s.github_id) FROM subscription s
                 WHERE s.client_key = i.client), 0),
       i.host, i.id, '', 0
FROM installation i
UNION ALL
SELECT 'subscription', s.id, '', 1, 1, s.github_id, s.host,
       COALESCE((SELECT i.id FROM installation i WHERE i.client = s.client_key), 0),
       '', 0
FROM subscription s
UNION ALL
SELECT 'team', t.id, '', 1, 1, 0, '', 0, 'installation', t.installation_id FROM team t
UNION ALL
SELECT 'seat', s.id, '', 1, {_FLAG.format("s")}, 0, '', 0, 'team', s.team FROM seat s
UNION ALL
SELECT 'badge', b.id, '', 1, 1, 0, '', 0, 'seat', b.seat_id FROM badge b
UNION ALL
SELECT 'pair', p.left_side, p.right_side, CASE WHEN p.deleted THEN 0 ELSE 1 END,
       CASE WHEN p.level > 0 THEN 1 ELSE 0 END, 0, COALESCE(p.host, ''), 0, '', 0
FROM pair p
UNION ALL
SELECT 'device', d.id, '', 1, {_FLAG.format("d")}, 0, '', 0, '', 0 FROM device d
UNION ALL
SELECT 'ticket', t.id, '', 1, {_FLAG.format("t")}, 0, '', 0, '', 0 FROM ticket t
"""  # noqa: S608 - nothing of it comes from outside

_EVENTS = (
    "SELECT seq, association, subject_id, action, state, github_installation_id,"
    " jira_hostname, jira_integration_id, reason, transaction_id"
    " FROM hydro_outbox WHERE seq > {} ORDER BY seq"
)
# Children first.
_TABLES = (
    "hydro_outbox",
    "badge",
    "seat",
    "team",
    "phone",
    "device",
    "ticket",
    "pair",
    "subscription",
    "installation",
)


class Oracle:
    """A connection of the driver, apart from those of the program.

    Args:
        database: The test's.
    """

    def __init__(self, database: Database) -> None:
        self._connection = _connect(database)
        self._seq = 0

    def close(self) -> None:
        self._connection.close()

    def execute(self, *statements: str) -> None:
        """Run statements, each committed by itself."""
        cursor = self._connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()

    def clear(self) -> None:
        """Delete all rows; not by TRUNCATE, which is slow for small tables."""
        self.execute(*(f"DELETE FROM {table}" for table in _TABLES))  # noqa: S608

    def snapshot(self) -> Snapshot:
        """Return what is committed."""
        return snapshot(self._connection)

    def new_events(self) -> list[RecordedEvent]:
        """Return the committed events that were not returned before."""
        cursor = self._connection.cursor()
        cursor.execute(_EVENTS.format(self._seq))
        rows = cursor.fetchall()
        cursor.close()
        if rows:
            self._seq = rows[-1][0]
        return [
            RecordedEvent(Transition((row[1], row[2]), *row[3:8]), row[8], str(row[9]))
            for row in rows
        ]


def _connect(database: Database) -> Any:
    # Any: three drivers, which share the DBAPI and no type.
    url = database.url
    if database.kind == "sqlite":
        connection = sqlite3.connect(str(url.database), isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
    place: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password or "",
    }
    if database.kind == "postgresql":
        return psycopg.connect(**place, dbname=url.database, autocommit=True)
    return pymysql.connect(**place, database=url.database, autocommit=True)


def snapshot(connection: Any) -> Snapshot:
    """Return what a driver's connection sees.

    Args:
        connection: Of the DBAPI; the program's own, to see what it has not committed.
    """
    cursor = connection.cursor()
    cursor.execute(_SNAPSHOT)
    rows = cursor.fetchall()
    cursor.close()
    return {_subject(row): _row(row) for row in rows if row[3]}


def _subject(row: tuple[Any, ...]) -> Subject:
    association, key, second = row[:3]
    return association, f'[{key},"{second}"]' if second else str(key)


def _row(row: tuple[Any, ...]) -> Row:
    return Row(
        ENABLED if row[4] else DISABLED,
        str(row[5]) if row[5] else None,
        row[6] or None,
        str(row[7]) if row[7] else None,
        (row[8], str(row[9])) if row[8] else None,
    )


def state_in(rows: Snapshot, subject: Subject) -> str:
    return rows[subject].state if subject in rows else ABSENT


def action_between(before: str, after: str) -> str | None:
    """Return the word for a change of state, by the table of the specification."""
    if before == after:
        return None
    if ABSENT in (before, after):
        return "create" if before == ABSENT else "destroy"
    return "enable" if after == ENABLED else "disable"


def transitions(before: Snapshot, after: Snapshot) -> Iterator[Transition]:
    """Yield what happened between two snapshots, of tracked tables."""
    for subject in sorted(before.keys() | after.keys()):
        now = state_in(after, subject)
        action = action_between(state_in(before, subject), now)
        if action is not None and subject[0] not in UNTRACKED:
            # Of what is gone, the values that others last saw.
            told = before[subject] if action == "destroy" else after[subject]
            yield Transition(subject, action, now, *told[1:4])
