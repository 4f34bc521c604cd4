"""Processes that tests begin, freeze, end and kill; each notes what it did in a file.

Programs of the tests begin by a fork of a process that has imported everything, so
that a test can afford hundreds of them. What they write to stdout and stderr is kept
in a file, as are their notes: a file never fills up, and outlives a kill.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).parents[1]
READY: Final = "ready"
"""The note of a program that is at work."""

Program = Callable[..., None]
"""What runs in a process: a function of a module, of `Notes` and arguments by name."""

_context: Final = multiprocessing.get_context("forkserver")


class Notes:
    """What a program tells the test, line by line; each is whole, or is not there."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def add(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


class Running(ABC):
    """A process that was begun.

    Args:
        name: Of its files in `folder`.
        folder: For its notes and its log.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.notes_path = folder / f"{name}.notes"
        self.log_path = folder / f"{name}.log"

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its process id."""

    @abstractmethod
    def wait(self, seconds: float) -> int | None:
        """Return its exit code once it has ended, None when it has not by then."""

    @property
    def is_alive(self) -> bool:
        return self.wait(0) is None

    @property
    def notes(self) -> list[str]:
        """The lines that it has noted so far."""
        if not self.notes_path.exists():
            return []
        whole, _, _cut = self.notes_path.read_text().rpartition("\n")
        return whole.splitlines()

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended: its id may be another's by now."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, and wait until it is gone; nothing happens when it is."""
        self.send(signal.SIGKILL)
        assert self.wait(20) is not None, f"{self.name} cannot be killed"

    def terminate(self, *, seconds: float = 30) -> int:
        """Ask it to end, and return its exit code."""
        self.send(signal.SIGTERM)
        code = self.wait(seconds)
        assert code is not None, f"{self.name} does not end:\n{self.log}"
        return code

    def until_ready(self, *, seconds: float = 30) -> None:
        """Wait until it has noted that it is at work."""
        end = time.monotonic() + seconds
        while READY not in self.notes:
            assert self.is_alive, f"{self.name} has ended:\n{self.log}"
            assert time.monotonic() < end, f"{self.name} is not ready:\n{self.log}"
            time.sleep(0.005)


class Forked(Running):
    """A program of the tests, begun by a fork."""

    def __init__(
        self, program: Program, arguments: Mapping[str, Any], name: str, folder: Path
    ) -> None:
        super().__init__(name, folder)
        _start_server()
        paths = (self.notes_path, self.log_path)
        self._ending = threading.Lock()
        self._process = _context.Process(
            target=_run, args=(program, *paths, dict(arguments)), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        connection.wait([self._process.sentinel], seconds)
        with self._ending:  # two that read the exit code would get half of it each
            self._process.join(0)
            return self._process.exitcode


class Command(Running):
    """A command, such as a user begins it.

    Args:
        command: The program and its arguments.
        name: Of its files in `folder`.
        folder: For its log; it runs there.
        environment: Variables beside those of the tests.
        user: Whom it runs as; None: as the tests do.
    """

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        super().__init__(name, folder)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                user=user,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def _start_server() -> None:
    """Start the process that the programs are forked from, unless it runs."""
    _context.set_forkserver_preload(["faults.programs"])
    before = os.environ.get("PYTHONPATH")
    # It looks for what it is to import beforehand as any Python does, not as pytest.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(
    program: Program,
    notes_path: Path,
    log_path: Path,
    arguments: dict[str, Any],
) -> None:
    """Be the process."""
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True
    )
    program(Notes(notes_path), **arguments)


def _end_with_the_tests() -> None:
    """Leave no process behind where the tests themselves were killed."""
    tests = multiprocessing.parent_process()
    assert tests is not None
    tests.join()
    os._exit(1)
