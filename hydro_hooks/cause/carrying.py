"""A cause that travels with a job, as text."""

from __future__ import annotations

from collections.abc import Mapping

from hydro_hooks.cause.block import because
from hydro_hooks.cause.context import current_cause
from hydro_hooks.cause.values import UNATTRIBUTED


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
        mapping: What `carry()` gave; other keys are ignored, missing ones are none.

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
    number = mapping.get("github_actor_id")
    return because(
        mapping.get("reason"),
        github_actor=mapping.get("github_actor") if number is None else int(number),
        jira_actor=mapping.get("jira_actor"),
        note=mapping.get("note"),
    )
