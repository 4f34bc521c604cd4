"""Celery: the cause travels with a task, and is in force where a worker runs it.

    connect()  # once, where the Celery app is made: senders and workers import it

A task that was sent without one is `unattributed`, and its changes bear the task's name
as origin. A scheduled task names its own, by `@because("nightly clean-up")` below
`@app.task`, or in its schedule:

    "options": {"headers": {"hydro_hooks": {"reason": "nightly clean-up"}}}
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from celery import Task, signals

from hydro_hooks.cause import carry
from hydro_hooks.integrations.jobs import KEY, InJob

_blocks: Final = WeakKeyDictionary[Any, InJob]()
"""By a task's request, the block that it runs in. The request itself may be copied."""


def connect() -> None:
    """Have causes travel with all tasks of this process; a second call does nothing."""
    signals.before_task_publish.connect(_publish, dispatch_uid=KEY)
    signals.task_prerun.connect(_begin, dispatch_uid=KEY)
    signals.task_postrun.connect(_end, dispatch_uid=KEY)


def disconnect() -> None:
    """Have them travel no longer."""
    signals.before_task_publish.disconnect(dispatch_uid=KEY)
    signals.task_prerun.disconnect(dispatch_uid=KEY)
    signals.task_postrun.disconnect(dispatch_uid=KEY)


# Any: what Celery sends with its signals.


def _publish(*, headers: dict[str, Any], body: Any, **_: Any) -> None:
    # By protocol 1 the body tells what by 2 the headers do.
    told = body if isinstance(body, dict) else headers
    if told.get("retries"):
        return  # it goes on with what it came with, whatever block it is sent from
    mapping = carry()
    if mapping and KEY not in (headers.get("headers") or headers):
        headers[KEY] = mapping


def _begin(*, task: Task[Any, Any], **_: Any) -> None:
    request = task.request
    given = request.get(KEY)
    if request.is_eager:
        # It runs where it was called: the cause is in force there.
        given = (request.headers or {}).get(KEY) or carry()
    block = InJob(given, name=task.name)
    block.__enter__()
    _blocks[request] = block


def _end(*, task: Task[Any, Any], **_: Any) -> None:
    block = _blocks.pop(task.request, None)
    if block is not None:
        block.__exit__()
