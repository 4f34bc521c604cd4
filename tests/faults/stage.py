"""Where a test of faults plays: a database, a receiver, and processes between them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
import tracked_models
from databases import Database
from faults import programs
from faults.checker import Findings, check, committed_in, rows_of_apps
from faults.figures import Row, add
from faults.processes import Forked, Program, Running
from faults.receiver import Receiver
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from hydro_hooks import tables

LEASE_SECONDS: Final = 0.5
"""So that another relay takes over soon."""


class Stage:
    """What a test works with; its processes are killed when the block ends.

    Args:
        database: With the tables of hydro_hooks; those of the apps are made.
        folder: For the files of the processes.
        request: Of the test, which gets a row in the table of figures.

    Attributes:
        engine: On the database, for the test itself.
        receiver: Where the relays send to.
        processes: What was begun, by name.
    """

    def __init__(
        self, database: Database, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        self.database = database
        self.engine: Engine = database.engine(pool_pre_ping=True)
        self.receiver = Receiver()
        self.folder = folder
        self._request = request
        self.processes: dict[str, Running] = {}
        self._writers: list[Running] = []

    def __enter__(self) -> Self:
        tracked_models.Base.metadata.create_all(self.engine)
        self.receiver.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            process.kill()
        self.receiver.__exit__(kind, error, traceback)
        self.engine.dispose()

    def begin(self, program: Program, name: str, **arguments: Any) -> Running:
        """Begin a program of the tests, under a name that is not taken."""
        return self.keep(Forked(program, arguments, name, self.folder))

    def keep(self, process: Running) -> Running:
        """Have a process killed at the end."""
        assert process.name not in self.processes
        self.processes[process.name] = process
        return process

    def new_name(self, kind: str) -> str:
        """Return a name for another process of this kind."""
        return f"{kind}-{len(self.processes) + 1}"

    def relay(self, *, lease_seconds: float = LEASE_SECONDS) -> Running:
        """Begin a relay; the receiver knows it by its name, as the sending app."""
        name = self.new_name("relay")
        return self.begin(
            programs.relay,
            name,
            database=self.database,
            settings=self.receiver.settings(sender=name),
            lease_seconds=lease_seconds,
        )

    def app(self, **arguments: Any) -> Running:
        """Begin an app that changes tracked rows until it is ended."""
        name = self.new_name("app")
        return self.begin(programs.app, name, database=self.database, **arguments)

    def writer(self, **arguments: Any) -> Running:
        """Begin a program that commits events of its own subjects until it is ended."""
        name = self.new_name("writer")
        writer = self.begin(
            programs.writer, name, database=self.database, owner=name, **arguments
        )
        self._writers.append(writer)
        return writer

    def waiting(self) -> int:
        """Return how many events are in the outbox."""
        with self.engine.connect() as connection:
            count = select(func.count()).select_from(tables.outbox)
            return connection.scalar(count) or 0

    def drained(self, *, seconds: float = 60) -> float:
        """Wait until relays have emptied the outbox; return how long that took."""
        begun = time.monotonic()
        while True:
            with contextlib.suppress(DBAPIError):  # it may be away still
                if self.waiting() == 0:
                    return time.monotonic() - begun
            assert time.monotonic() < begun + seconds, f"{self.waiting()} still wait"
            time.sleep(0.02)

    def delivered_again(self, *, seconds: float = 60) -> float:
        """Wait until another event is delivered; return how long that took."""
        begun = time.monotonic()
        before = len(self.receiver.deliveries)
        while len(self.receiver.deliveries) == before:
            assert time.monotonic() < begun + seconds, (
                f"nothing is delivered any more: {self._last_words()}"
            )
            time.sleep(0.005)
        return time.monotonic() - begun

    def _last_words(self) -> dict[str, str]:
        return {name: each.log[-1000:] for name, each in self.processes.items()}

    def concluded(
        self,
        number: str,
        scenario: str,
        *,
        runs: int,
        seconds: Mapping[str, float] | None = None,
    ) -> Findings:
        """Return what came of it all, and put it into the table of figures.

        Args:
            number: The scenario's.
            scenario: What dies, in a few words.
            runs: How often it did.
            seconds: Times, by what they are of.
        """
        findings = check(
            committed_in(self.engine),
            self.receiver.deliveries,
            reported=[
                id_ for writer in self._writers for id_ in programs.ids_of(writer)
            ],
            rows=rows_of_apps(self.engine),
        )
        row = Row.of(
            findings,
            number=number,
            scenario=scenario,
            database=self.database.kind,
            runs=runs,
            seconds=seconds or {},
        )
        add(self._request, row)
        assert self.receiver.forged == 0
        for process in self.processes.values():  # none has failed by itself
            assert (process.wait(0) or 0) <= 0, process.log
        return findings
