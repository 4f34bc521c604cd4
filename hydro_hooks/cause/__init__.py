"""Why a change is made, and by whom: a context variable and the block that sets it.

    with because(Reason.STAFFTOOLS_API, github_actor="octocat", note="ticket 4711"):
        session.delete(row)
        session.commit()

    @because(Reason.JIRA_WEBHOOK, jira_actor=lambda request: request.jwt.get("sub"))
    def uninstalled(request): ...

An inner block overrides what it names and inherits the rest. What was in force before
the block is in force after it, also when it raises, and also when a generator is
left while the block is open.
"""

from hydro_hooks.cause.block import because
from hydro_hooks.cause.carrying import carried, carry
from hydro_hooks.cause.context import (
    Inside,
    current_cause,
    current_job,
    current_transaction_id,
    note_transaction,
    surround,
)
from hydro_hooks.cause.environment import cause_in
from hydro_hooks.cause.values import INHERIT, UNATTRIBUTED, Cause, Inherit, Reason

__all__ = [
    "INHERIT",
    "UNATTRIBUTED",
    "Cause",
    "Inherit",
    "Inside",
    "Reason",
    "because",
    "carried",
    "carry",
    "cause_in",
    "current_cause",
    "current_job",
    "current_transaction_id",
    "note_transaction",
    "surround",
]
