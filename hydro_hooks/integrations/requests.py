"""What the middlewares have in common: the cause of a request."""

from __future__ import annotations

from typing import Any

from hydro_hooks.cause import because

# Any: a function or a value, which because() looks at; and what the function takes.


def cause_of_requests(*, reason: str, github_actor: Any, jira_actor: Any) -> because:
    """Return a decorator of functions whose first argument is the request.

    Args:
        reason: Of what changes without a `because()` of its own.
        github_actor: A function of the request, or a value; None: there is none.
        jira_actor: The same.
    """
    return because(
        reason,
        github_actor=_of_first(github_actor),
        jira_actor=_of_first(jira_actor),
        note=None,
    )


def _of_first(actor: Any) -> Any:
    return (lambda request, *_: actor(request)) if callable(actor) else actor
