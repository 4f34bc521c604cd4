"""A job runs with the cause that enqueued it, in a real worker behind a real Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import job_functions
import pytest
from brokers import broker_url
from databases import Database
from redis import Redis
from rq import Callback, Queue, Retry
from sqlalchemy import Engine

from hydro_hooks import Event, because
from hydro_hooks.cause import UNATTRIBUTED, current_cause
from hydro_hooks.integrations.rq import CauseJob
from hydro_hooks.testing import recorded

SECONDS = 60


@pytest.fixture
def queue() -> Iterator[Queue]:
    connection = Redis.from_url(broker_url("redis"))
    queue = Queue(f"hydro-{uuid.uuid4()}", connection=connection, job_class=CauseJob)
    yield queue
    queue.delete(delete_jobs=True)
    connection.close()


def work(queue: Queue, database: Database) -> None:
    """Have a worker do all that waits, as `rq worker --burst` does."""
    folder = str(Path(__file__).parent)
    command = [sys.executable, "-m", "rq.cli", "worker", queue.name, "--burst"]
    command += ["--url", broker_url("redis"), "--quiet"]
    command += ["--job-class", "hydro_hooks.integrations.rq.CauseJob"]
    # The worker's hydro_hooks is the one that is tested here.
    path = os.pathsep.join([folder, *sys.path])
    environment = {job_functions.DATABASE: database.text_url, "PYTHONPATH": path}
    subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        check=True,
        timeout=SECONDS,
        capture_output=True,
    )


def events_by_row(engine: Engine) -> dict[str | None, Event]:
    return {event.subject_id: event for event in recorded(engine)}


def add_once_done(job: CauseJob, _connection: Redis, _result: Any) -> None:
    job_functions.add(job.args[0] + 1)


def test_a_worker_runs_each_job_with_the_cause_that_enqueued_it(
    queue: Queue, tracked: Engine, database: Database
) -> None:
    meta = {"page": "start"}
    with because("jira webhook", github_actor=583231, jira_actor="557058:x"):
        first = queue.enqueue(job_functions.add, 1, meta=meta)
    queue.enqueue(job_functions.add, 2)
    queue.enqueue(job_functions.add_nightly, 3)
    queue.enqueue(job_functions.add, 4, meta={"hydro_hooks": {"reason": "nightly"}})
    queue.enqueue(job_functions.add, 5, meta={"hydro_hooks": "nonsense"})
    with because("stafftools-api", note="ticket 4711"):
        queue.enqueue(
            job_functions.add, 6, on_success=Callback(f"{__name__}.add_once_done")
        )
    work(queue, database)

    events = events_by_row(tracked)
    assert events.keys() == {"1", "2", "3", "4", "5", "6", "7"}
    assert (events["1"].reason, events["1"].github_actor) == ("jira webhook", 583231)
    assert events["1"].jira_actor == "557058:x"
    for unsaid in (events["2"], events["5"]):
        assert unsaid.reason == "unattributed"
        assert str(unsaid.origin).startswith("job_functions.add (job_functions:")
    assert events["3"].reason == "nightly clean-up"
    assert events["4"].reason == "nightly"
    for row in ("6", "7"):
        assert (events[row].reason, events[row].note) == (
            "stafftools-api",
            "ticket 4711",
        )
    assert meta == {"page": "start"}
    assert first.meta["page"] == "start"


@pytest.mark.parametrize(
    ("function", "arguments", "retry"),
    [
        (job_functions.fail, (), Retry(max=1)),
        (job_functions.fail_with_a_meta_of_its_own, (), Retry(max=1)),
        (job_functions.add, (job_functions.Unloadable(),), None),
    ],
    ids=["tried again", "replaces meta", "cannot be loaded"],
)
def test_a_job_that_fails_keeps_its_cause_and_calls_back_with_it(
    queue: Queue,
    tracked: Engine,
    database: Database,
    function: Callable[..., None],
    arguments: tuple[object, ...],
    retry: Retry | None,
) -> None:
    with because("jira webhook"):
        queue.enqueue(
            function,
            *arguments,
            retry=retry,
            on_failure=Callback(f"{__name__}.add_once_failed"),
        )
    work(queue, database)

    assert [event.reason for event in recorded(tracked)] == ["jira webhook"]


def add_once_failed(*_: Any) -> None:
    job_functions.add(8)


def test_a_job_that_runs_at_once_leaves_nothing_in_force(
    tracked: Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(job_functions.DATABASE, database.text_url)
    connection = Redis.from_url(broker_url("redis"))
    queue = Queue("hydro", connection=connection, is_async=False, job_class=CauseJob)
    with because("jira webhook"):
        queue.enqueue(job_functions.add, 1).delete()
    queue.enqueue(job_functions.fail).delete()
    connection.close()

    assert [event.reason for event in recorded(tracked)] == ["jira webhook"]
    assert current_cause() == UNATTRIBUTED
