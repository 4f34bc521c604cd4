"""An app with a relay and busy threads, which forks at any moment."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import random
import threading
import time
import warnings
from datetime import timedelta
from typing import Final

from databases import Database
from faults.processes import READY, Notes
from faults.programs import FAILURES, AppWork
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tracked_models import Installation, mappings

from hydro_hooks import because, register, tables
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings

CHILD_SECONDS: Final = 30
"""Then a child counts as stuck; its log tells where."""

FIRST_KEY: Final = 1000
"""Of the rows that the children create, beyond those of the busy threads."""

logger = logging.getLogger(__name__)


def forking_app(
    notes: Notes,
    *,
    database: Database,
    settings: Settings,
    forks: int,
    busy_threads: int,
) -> None:
    """Fork so many times, and note the exit code of each child.

    Args:
        notes: For the codes.
        database: Of the app.
        settings: Of its relay.
        forks: How many children there are, one at a time.
        busy_threads: What works beside the main thread and the relay.
    """
    register(*mappings())
    warnings.filterwarnings("ignore", "DELETE statement on table")
    engine = database.engine()
    relay = Relay(engine, settings, lease=timedelta(seconds=0.5))
    relay.start()
    busy = _Busy(engine, busy_threads)
    chance = random.Random()  # noqa: S311 - moments, not secrets
    for key in range(FIRST_KEY, FIRST_KEY + forks):
        busy.work(chance.uniform(0.0, 0.6))
        child = os.fork()
        if child == 0:
            os._exit(_be_child(engine, relay, key))
        notes.add(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    busy.end()
    relay.stop()
    notes.add(READY)


class _Busy:
    """Threads that hold now one lock, now another: of the pool, of the log, of ours."""

    def __init__(self, engine: Engine, count: int) -> None:
        self._work = AppWork(engine)
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(count)]
        # Their connections are opened first: OpenSSL, which does that, is one of the
        # libraries that a fork may find with a lock held for ever.
        with contextlib.ExitStack() as stack:
            for _ in range(count + 2):
                stack.enter_context(engine.connect())
        for thread in self._threads:
            thread.start()

    def work(self, seconds: float) -> None:
        """Give the relay something to do, in the caller's thread."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(*FAILURES):
                self._work.transaction()
            time.sleep(0.005)

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self) -> None:
        while not self._is_over.is_set():
            self.work(0.1)
            logger.info("busy")


def _be_child(engine: Engine, relay: Relay, key: int) -> int:
    """Do all that a forked web worker does; return its exit code."""
    faulthandler.dump_traceback_later(CHILD_SECONDS, exit=True)
    try:
        logger.info("child %d", key)
        relay.start()
        with Session(engine) as session, because("forked"):
            session.add(Installation(id=key, enabled=True))
            session.commit()
        its = select(tables.journal.c.id).where(
            tables.journal.c.subject_id == str(key),
            tables.journal.c.association == "installation",
        )
        while True:
            with engine.connect() as connection:
                if connection.scalar(its) is not None:
                    break
            time.sleep(0.01)
        if not relay.stop():
            faulthandler.dump_traceback()
            return 2
    except BaseException:
        logger.exception("child %d failed", key)
        return 3
    return 0
