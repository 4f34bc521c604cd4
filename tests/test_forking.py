from __future__ import annotations

import os
import threading
import time

from hydro_hooks.forking import PATIENCE_SECONDS, at_work, waiting


def fork() -> float:
    """Fork a child that ends at once; return after how many seconds it was there."""
    began_at = time.monotonic()
    child = os.fork()
    if child == 0:
        with at_work():
            os._exit(0)
    seconds = time.monotonic() - began_at
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return seconds


class Worker(threading.Thread):
    """At work until it is told to wait, or to end."""

    def __init__(self, *, waits: bool = False) -> None:
        super().__init__()
        self.began = threading.Event()
        self.ends = threading.Event()
        self._waits = waits

    def run(self) -> None:
        with at_work():
            if self._waits:
                with waiting():
                    self._rest()
            else:
                self._rest()

    def _rest(self) -> None:
        self.began.set()
        self.ends.wait()

    def __enter__(self) -> Worker:
        self.start()
        self.began.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self.join()


def test_a_fork_waits_until_a_thread_has_done_its_work() -> None:
    with Worker() as worker:
        threading.Timer(0.2, worker.ends.set).start()

        assert 0.15 < fork() < PATIENCE_SECONDS


def test_a_fork_does_not_wait_for_a_thread_that_waits() -> None:
    with Worker(waits=True):
        assert fork() < PATIENCE_SECONDS


def test_a_fork_does_not_wait_for_ever() -> None:
    with Worker():
        assert PATIENCE_SECONDS <= fork() < 10


def test_a_thread_at_work_does_not_wait_for_itself() -> None:
    with at_work(), at_work():
        assert fork() < PATIENCE_SECONDS


def test_who_waits_outside_of_work_is_left_alone() -> None:
    with waiting():
        assert fork() < PATIENCE_SECONDS
    with at_work():
        assert fork() < PATIENCE_SECONDS
