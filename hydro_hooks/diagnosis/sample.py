"""An event to try things on, which never happened and is never kept."""

from __future__ import annotations

from datetime import UTC, datetime

from hydro_hooks.event import Event, new_id
from hydro_hooks.transition import Action, State


def sample_event() -> Event:
    """Return an event with every field."""
    return Event(
        id=new_id(),
        transaction_id=new_id(),
        occurred_at=datetime.now(UTC),
        association="installation",
        subject_id="0",
        action=Action.DISABLE,
        state=State.DISABLED,
        github_installation_id=0,
        jira_hostname="https://hydro-hooks-doctor.invalid",
        jira_integration_id=0,
        reason="hydro-hooks doctor",
        github_actor=0,
        jira_actor="hydro-hooks doctor",
        note="written by hydro-hooks doctor, to be rolled back",
        origin="hydro_hooks.diagnosis",
    )
