"""Celery: `python examples/celery_jobs.py` sends two tasks, and works them off."""

import customers
from celery import Celery
from celery.contrib.testing.worker import start_worker

from hydro_hooks import Reason, because
from hydro_hooks.integrations.celery import connect

app = Celery("jobs", broker="memory://", backend="cache+memory://")
connect()


@app.task(name="jobs.add")
def add() -> None:
    """Add a customer."""
    customers.add()


if __name__ == "__main__":
    with start_worker(app, perform_ping_check=False):
        with because(Reason.JIRA_WEBHOOK, jira_actor="557058:0f9b"):
            add.delay().get(timeout=10)
        add.delay().get(timeout=10)
    customers.tell()
