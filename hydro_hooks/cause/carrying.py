"""A cause that travels with a job, as text."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from hydro_hooks.cause.block import because
from hydro_hooks.cause.context import current_cause
from hydro_hooks.cause.values import UNATTRIBUTED

logger = logging.getLogger(__name__)

KEYS: Final = ("reason", "github_actor", "github_actor_id", "jira_actor", "note")
"""Of a cause as text."""


def carry() -> dict[str, str]:
    """Return the cause in force as text, to travel with a job; see `carried()`.

    Returns:
        At most the keys `reason`, `github_actor` (a login), `github_actor_id`,
        `jira_actor` and `note`; empty when nothing is in force.
    """
    cause = current_cause()
    if cause == UNATTRIBUTED:
        return {}
    is_id = isinstance(cause.github_actor, int)
    values = {
        "reason": cause.reason,
        "github_actor_id" if is_id else "github_actor": cause.github_actor,
        "jira_actor": cause.jira_actor,
        "note": cause.note,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def carried(mapping: Mapping[str, str]) -> because:
    """Return a block in which the cause that `carry()` gave is in force.

    Nothing is inherited from around it: the job runs for whoever sent it.

    Args:
        mapping: What `carry()` gave; missing keys are none, others say nothing, which
            is logged as a warning.

    Raises:
        ValueError: A value that `because()` would refuse.
        TypeError: It is no mapping.
    """
    if not isinstance(mapping, Mapping):
        kind = "None" if mapping is None else f"a {type(mapping).__name__}"
        message = (
            f"carried() takes what carry() gave, a mapping, and got {kind}; of a job"
            ' that may have come without one: carried(job.get("cause") or {})'
        )
        raise TypeError(message)
    unknown = sorted(str(key) for key in mapping if key not in KEYS)
    if unknown:
        # Not refused: a sender that is newer may know more.
        logger.warning(
            "carried(): %r says nothing; the keys of a cause are %s",
            unknown[0],
            ", ".join(KEYS),
        )
    number = mapping.get("github_actor_id")
    return because(
        mapping.get("reason"),
        github_actor=mapping.get("github_actor") if number is None else _id(number),
        jira_actor=mapping.get("jira_actor"),
        note=mapping.get("note"),
    )


def _id(number: object) -> int:
    if isinstance(number, (int, str)) and not isinstance(number, bool):
        with contextlib.suppress(ValueError):
            return int(number)
    message = f"carried(): github_actor_id is {number!r}; it takes a GitHub user id"
    raise ValueError(message)
