"""What job queues have in common: a job runs with the cause that sent it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Final

from hydro_hooks.cause import because, carried, current_job
from hydro_hooks.cause.carrying import KEYS
from hydro_hooks.errors import with_article

logger = logging.getLogger(__name__)

KEY: Final = "hydro_hooks"
"""Under which a message holds what `carry()` gave."""


class InJob:
    """A block: a job runs in it.

    Args:
        given: What the message holds under `KEY`; None and other nonsense is no cause.
        name: Of the job's task: where what changes without a cause comes from.
    """

    __slots__ = ("_block", "_name", "_token")

    def __init__(self, given: object, *, name: str) -> None:
        self._block = _block_of(given, name)
        self._name = name

    def __enter__(self) -> None:
        self._block.__enter__()
        self._token: Token[str | None] = current_job.set(self._name)

    def __exit__(self, *exc_info: object) -> None:
        current_job.reset(self._token)
        self._block.__exit__(None, None, None)


def _block_of(given: object, name: str) -> because:
    if given is None:
        return carried({})
    # The job has to run all the same: whoever sent it waits for it.
    if not isinstance(given, Mapping):
        logger.warning(
            "The job %s runs unattributed: the cause that it came with is %s, not a"
            " mapping such as {'reason': 'nightly clean-up'}",
            name,
            with_article(type(given).__name__),
        )
        return carried({})
    kept: dict[str, Any] = dict(given)
    for key in kept.keys() & KEYS:
        try:
            carried({key: kept[key]})
        except (TypeError, ValueError) as error:
            del kept[key]
            logger.warning(
                "The job %s runs without %s of the cause that it came with: %s",
                name,
                key,
                error,
            )
    return carried(kept)
