"""RQ, with Redis at REDIS_URL or on this machine: `python examples/rq_jobs.py`."""

import os

import customers
from redis import Redis
from rq import Queue, SimpleWorker

from hydro_hooks import Reason, because
from hydro_hooks.integrations.rq import CauseJob

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
queue = Queue("hydro-example", connection=redis, job_class=CauseJob)
with because(Reason.JIRA_WEBHOOK, jira_actor="557058:0f9b"):
    queue.enqueue(customers.add)
queue.enqueue(customers.add)
# Elsewhere: rq worker --job-class hydro_hooks.integrations.rq.CauseJob hydro-example
worker = SimpleWorker([queue], connection=redis, job_class=CauseJob)
worker.work(burst=True, logging_level="WARNING")
customers.tell()
