"""What runs in the processes: relays, apps that change tracked rows, event writers.

Each works until it is ended, from a state that it does not know: whatever died before.
"""

from __future__ import annotations

import random
import signal
import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any, Final

import sqlalchemy.dialects.mysql.pymysql
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401 - once, before the forks
from databases import Database
from faults.processes import READY, Notes, Running
from sample_events import record, sample_event
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from tracked_models import Installation, Subscription, mappings

from hydro_hooks import RecordingError, because, register
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings

SUBJECTS: Final = 40
"""Rows of each tracked table that the apps work on."""

FAILURES: Final = (DBAPIError, PendingRollbackError, RecordingError, StaleDataError)
"""What an app meets when others are at work, or the database is away."""

FAILURE_SECONDS: Final = 0.05
"""The pause after a failure, such as of a database that is away."""

WRITTEN: Final = "written"
"""The association of what is recorded without a tracked row."""

_ID: Final = "id "


def relay(
    notes: Notes,
    *,
    database: Database,
    settings: Settings,
    lease_seconds: float,
) -> None:
    """Deliver until SIGTERM."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        # In a thread: the interrupted frame may hold the lock that set() takes.
        threading.Thread(target=stop.set).start()

    signal.signal(signal.SIGTERM, handle)
    lease = timedelta(seconds=lease_seconds)
    the_relay = Relay(database.engine(), settings, lease=lease)
    notes.add(READY)
    the_relay.run(stop)


def app(
    notes: Notes,
    *,
    database: Database,
    pause_seconds: float = 0.01,
    subjects: int = SUBJECTS,
) -> None:
    """Create, enable, disable and destroy tracked rows until it is killed.

    Several work on the same rows at once. What fails is given up, as a web app gives
    its request up.
    """
    register(*mappings())
    # A row that another process has deleted meanwhile.
    warnings.filterwarnings("ignore", "DELETE statement on table")
    work = AppWork(database.engine(), subjects)
    _until_ended(notes, work.transaction, pause_seconds)


class AppWork:
    """What an app does to its rows."""

    def __init__(self, engine: Engine, subjects: int = SUBJECTS) -> None:
        self._engine = engine
        self._subjects = subjects
        self._random = random.Random()  # noqa: S311 - not for secrets

    def transaction(self) -> None:
        """Change some rows and commit, or think better of it."""
        with Session(self._engine) as session, because("busy", jira_actor="557058:0f"):
            for _ in range(self._random.randint(1, 3)):
                self._step(session)
            if self._random.random() < 0.15:
                session.rollback()
            session.commit()

    def _step(self, session: Session) -> None:
        if self._random.random() < 0.2:
            with session.begin_nested() as savepoint:
                self._change(session)
                session.flush()
                if self._random.random() < 0.5:
                    savepoint.rollback()
            return
        self._change(session)

    def _change(self, session: Session) -> None:
        key = self._random.randint(1, self._subjects)
        row = session.get(Installation, key)
        if row in session.deleted:
            return
        if row is None:
            is_enabled = self._random.random() < 0.5
            session.add(Installation(id=key, enabled=is_enabled))
            return
        chosen = self._random.random()
        if chosen < 0.5:
            row.enabled = not row.enabled
        elif chosen < 0.75:
            subscription = session.get(Subscription, key)
            if subscription is None:
                session.add(Subscription(id=key, installation=row))
            else:
                session.delete(subscription)
        else:
            session.delete(row)  # with its subscription


def writer(
    notes: Notes,
    *,
    database: Database,
    owner: str,
    pause_seconds: float = 0.01,
) -> None:
    """Commit events of subjects of its own, and note the ids of those committed."""
    engine = database.engine()
    chance = random.Random()  # noqa: S311 - not for secrets

    def transaction() -> None:
        integration = chance.randint(1, 30)
        events = [
            sample_event(
                association=WRITTEN,
                jira_integration_id=integration,
                subject_id=f"{owner}/{integration}/{number}",
            )
            for number in range(chance.randint(1, 8))
        ]
        for id_ in record(engine, events):
            notes.add(f"{_ID}{id_}")

    _until_ended(notes, transaction, pause_seconds)


def ids_of(writer: Running) -> list[str]:
    """Return the ids of the events that a writer has seen committed."""
    return [note.removeprefix(_ID) for note in writer.notes if note.startswith(_ID)]


def _until_ended(
    notes: Notes, transaction: Callable[[], Any], pause_seconds: float
) -> None:
    """Repeat a transaction until SIGTERM; what fails is noted, and given up."""
    is_ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: is_ended.append(number))
    notes.add(READY)
    while not is_ended:
        try:
            transaction()
        except FAILURES as error:
            notes.add(f"failed {type(error).__name__}")
            time.sleep(FAILURE_SECONDS)
        else:
            notes.add("committed")
        time.sleep(pause_seconds)
