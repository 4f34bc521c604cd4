"""RQ: the cause travels with a job, and is in force where a worker runs it.

    queue = Queue(connection=redis, job_class=CauseJob)
    # rq worker --job-class hydro_hooks.integrations.rq.CauseJob

A job that was enqueued without one is `unattributed`, and its changes bear the
function's name as origin. A scheduled job names its own, by
`@because("nightly clean-up")` on its function, or by
`meta={"hydro_hooks": {"reason": "nightly clean-up"}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq.exceptions import DeserializationError
from rq.job import Job

from hydro_hooks.cause import carry
from hydro_hooks.integrations.jobs import KEY, InJob


class CauseJob(Job):
    """The class of jobs, for queues (`job_class=`) and workers (`--job-class`)."""

    # Any: arguments and results of the program's own functions.

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Job:
        """Make a job that holds the cause in force; as RQ's own."""
        job = super().create(*args, **kwargs)
        mapping = carry()
        if mapping and KEY not in job.meta:
            job.meta = {**job.meta, KEY: mapping}
        return job

    def perform(self) -> Any:
        """Run it; as RQ's own."""
        given = self.meta.get(KEY)
        with self._in_job():
            try:
                return super().perform()
            finally:
                if given is not None:  # for its callbacks, and where it is tried again
                    self.meta = {KEY: given, **(self.meta or {})}

    @property
    def success_callback(self) -> Any:
        """What is called once it is done."""
        return self._inside(super().success_callback)

    @property
    def failure_callback(self) -> Any:
        """What is called when it fails."""
        return self._inside(super().failure_callback)

    @property
    def stopped_callback(self) -> Any:
        """What is called when it is stopped."""
        return self._inside(super().stopped_callback)

    def _in_job(self) -> InJob:
        try:
            name = self.func_name
        except DeserializationError:  # the job fails of it; its callbacks are called
            name = None
        return InJob(self.meta.get(KEY), name=name or self.id)

    def _inside(self, callback: Callable[..., Any] | None) -> Any:
        if callback is None:
            return None

        def in_job(*args: Any, **kwargs: Any) -> Any:
            with self._in_job():
                return callback(*args, **kwargs)

        return in_job
