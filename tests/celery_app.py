"""A Celery app, for the tests' workers: `celery -A celery_app worker`."""

from __future__ import annotations

import copy
import os

import job_functions
from celery import Celery, Task

from hydro_hooks import because
from hydro_hooks.integrations.celery import connect

QUEUE = "HYDRO_TEST_JOBS_QUEUE"

app = Celery("jobs", broker=os.environ.get("HYDRO_TEST_JOBS_BROKER", "memory://"))
app.conf.task_default_queue = os.environ.get(QUEUE, "jobs")
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = False
app.conf.worker_enable_remote_control = False
app.conf.beat_schedule = {
    "nightly": {
        "task": "jobs.add",
        "schedule": 3600.0,
        "args": (9,),
        "options": {"headers": {"hydro_hooks": {"reason": "nightly clean-up"}}},
    }
}
connect()


@app.task(name="jobs.add")
def add(number: int) -> None:
    job_functions.add(number)


@app.task(name="jobs.add_nightly")
def add_nightly(number: int) -> None:
    job_functions.add_nightly(number)


@app.task(name="jobs.add_at_second_try", bind=True)
def add_at_second_try(self: Task[[int], None], number: int) -> None:
    if not self.request.retries:
        raise self.retry(countdown=0)
    job_functions.add(number)


@app.task(name="jobs.add_after_a_block", bind=True)
def add_after_a_block(self: Task[[int], None], number: int) -> None:
    copy.deepcopy(self.request)
    if not self.request.retries:
        with because("cleaning up", github_actor="hubot"):
            raise self.retry(countdown=0)
    job_functions.add(number)


@app.task(name="jobs.add_then_send")
def add_then_send(number: int) -> None:
    job_functions.add(number)
    add.delay(number + 1)
