"""A task runs with the cause that sent it, in a real worker behind a real broker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery_app
import job_functions
import pytest
import tracked_models
from brokers import BROKERS, broker_url
from celery.beat import Scheduler
from celery.result import EagerResult
from databases import Database
from sqlalchemy import Engine

from hydro_hooks import Event, because, carried, register
from hydro_hooks.cause import UNATTRIBUTED, current_cause
from hydro_hooks.integrations.celery import connect, disconnect
from hydro_hooks.testing import recorded

SECONDS = 60


@contextlib.contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker"]
    command += ["--pool=solo", "--loglevel=warning", "--without-gossip"]
    command += ["--without-mingle", "--without-heartbeat"]
    folder = str(Path(__file__).parent)
    path = os.pathsep.join([folder, *sys.path])
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment, "PYTHONPATH": path}
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def events_by_row(engine: Engine, count: int) -> dict[str | None, Event]:
    deadline = time.monotonic() + SECONDS
    while len(events := recorded(engine)) < count:
        assert time.monotonic() < deadline, f"{len(events)} of {count} after {SECONDS}s"
        time.sleep(0.05)
    return {event.subject_id: event for event in events}


@pytest.mark.parametrize("broker", BROKERS)
def test_a_worker_runs_each_task_with_the_cause_that_sent_it(
    broker: str, tracked: Engine, database: Database
) -> None:
    environment = {
        job_functions.DATABASE: database.text_url,
        celery_app.QUEUE: f"hydro-{uuid.uuid4()}",
        "HYDRO_TEST_JOBS_BROKER": broker_url(broker),
    }
    app = celery_app.app
    app.conf.task_default_queue = environment[celery_app.QUEUE]
    app.conf.update(broker_url=environment["HYDRO_TEST_JOBS_BROKER"])
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as to:
        with because("jira webhook", github_actor=583231, jira_actor="557058:x"):
            celery_app.add.apply_async((1,), producer=to)
        celery_app.add.apply_async((2,), producer=to)
        celery_app.add_nightly.apply_async((3,), producer=to)
        with because("stafftools-api", github_actor="hubot", note="ticket 4711"):
            celery_app.add_at_second_try.apply_async((4,), producer=to)
            celery_app.add_then_send.apply_async((5,), producer=to)
        headers: Any = {"hydro_hooks": {"reason": "by hand", "github_actor_id": "x"}}
        celery_app.add.apply_async((7,), producer=to, headers=headers)
        celery_app.add_after_a_block.apply_async((8,), producer=to)
        beat = Scheduler(app=app)
        beat.apply_async(beat.schedule["nightly"], producer=to, advance=False)
        with worker(environment):
            events = events_by_row(tracked, 9)
        queue = app.amqp.queues[environment[celery_app.QUEUE]]
        queue(connection.default_channel).delete()

    first = events["1"]
    assert (first.reason, first.github_actor) == ("jira webhook", 583231)
    assert first.jira_actor == "557058:x"
    assert events["2"].reason == "unattributed"
    assert str(events["2"].origin).startswith("jobs.add (job_functions:")
    # Of a cause with one bad value the others hold.
    assert (events["7"].reason, events["7"].github_actor) == ("by hand", None)
    # A block in which it asked for another try is not its cause.
    assert events["8"].reason == "unattributed"
    assert events["8"].github_actor is None
    assert events["3"].reason == "nightly clean-up"
    for row in ("4", "5", "6"):
        assert events[row].reason == "stafftools-api"
        assert (events[row].github_actor, events[row].note) == ("hubot", "ticket 4711")
    # What beat sends names its own reason, in its schedule.
    assert events["9"].reason == "nightly clean-up"


@pytest.fixture
def here(
    tracked: Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    monkeypatch.setenv(job_functions.DATABASE, database.text_url)
    return tracked


def test_a_task_that_runs_where_it_is_called_keeps_the_cause(here: Engine) -> None:
    with because("jira webhook"):
        celery_app.add.apply((1,))
    celery_app.add.apply((2,))

    attributed, unattributed = recorded(here)
    assert attributed.reason == "jira webhook"
    assert str(attributed.origin).startswith("job_functions:")
    assert str(unattributed.origin).startswith("jobs.add (job_functions:")
    assert current_cause() == UNATTRIBUTED


def test_where_it_is_called_a_task_takes_the_cause_of_its_headers(here: Engine) -> None:
    headers: Any = {"hydro_hooks": {"reason": "nightly clean-up"}}
    with because("jira webhook"):
        celery_app.add.apply((1,), headers=headers)

    [event] = recorded(here)
    assert event.reason == "nightly clean-up"


def test_a_failing_task_leaves_nothing_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(job_functions.DATABASE, raising=False)
    with because("jira webhook"):
        result: EagerResult[None] = celery_app.add.apply((1,))

    assert isinstance(result.result, KeyError)
    assert current_cause() == UNATTRIBUTED


def test_disconnected_no_cause_is_set_and_connected_again_it_is(here: Engine) -> None:
    disconnect()
    try:
        with carried({"reason": "outer"}):
            celery_app.add.apply((1,))
        celery_app.add.apply((2,))
    finally:
        connect()
        connect()

    assert [str(event.origin)[:4] for event in recorded(here)] == ["job_"] * 2
    with register(*tracked_models.mappings()):
        celery_app.add.apply((3,))
    assert str(recorded(here)[-1].origin).startswith("jobs.add (")
