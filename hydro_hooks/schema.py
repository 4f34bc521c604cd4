"""An event as a schema wants it, and back: the one place that knows wire names.

A schema is a JSON Schema file (draft 2020-12): one of the package's, by name, or a
user's own, by path, named by its `title`. The wire value holds exactly the properties
that the schema names; a value that is absent, or that the schema has no word for, is
left out, never null.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from hydro_hooks.cause import Reason
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import Event, is_id, new_id
from hydro_hooks.transition import Action, State
from hydro_hooks.validation import Validation

V0_TYPES: Final = {
    Action.CREATE: "created",
    Action.ENABLE: "enabled",
    Action.DISABLE: "disabled",
    Action.DESTROY: "destroyed",
}
V0_SOURCES: Final = {
    Reason.STAFFTOOLS_API.value: "stafftools",
    Reason.JIRA_WEBHOOK.value: "webhook",
    Reason.GITHUB_WEBHOOK.value: "webhook",
    Reason.WEB_INTERACTION.value: "web_console",
}
_ACTIONS: Final = {name: action for action, name in V0_TYPES.items()}
_REASONS: Final = {
    "stafftools": Reason.STAFFTOOLS_API.value,
    "webhook": "webhook",
    "web_console": Reason.WEB_INTERACTION.value,
}
_STATES: Final = {
    Action.ENABLE: State.ENABLED,
    Action.DISABLE: State.DISABLED,
    Action.DESTROY: State.ABSENT,
}


class Schema:
    """A wire schema: projects events onto itself, and checks values.

    Args:
        document: The JSON Schema.
        place: What to call it in errors: its name or path.

    Raises:
        ConfigurationError: Not a JSON Schema of an object with `title` and
            `properties`.
    """

    def __init__(self, document: Any, *, place: str) -> None:
        title = document.get("title") if isinstance(document, dict) else None
        properties = document.get("properties") if isinstance(document, dict) else None
        if not isinstance(title, str) or not isinstance(properties, dict):
            message = (
                f"HYDRO_SCHEMA {place} is not a JSON Schema of an object with a title"
                " (the schema's name) and properties"
            )
            raise ConfigurationError(message)
        self.name: str = title
        self.document: dict[str, Any] = document
        self._properties = tuple(properties)
        self._validation = Validation(document, name=title, place=place)

    def __repr__(self) -> str:
        return f"Schema({self.name!r})"

    def project(self, event: Event) -> dict[str, Any]:
        """Return the event's wire value."""
        wire = _wire(event)
        return {
            name: wire[name] for name in self._properties if wire.get(name) is not None
        }

    def compile(self) -> None:
        """Raise `ConfigurationError` where values cannot be checked against it.

        Now, and not at the first event, which would be to blame for it.
        """
        self._validation.compile()

    def check(self, value: Any) -> None:
        """Raise `InvalidEventError`, naming the field, unless `value` fits."""
        self._validation.check(value)


@functools.cache
def load(name: str) -> Schema:
    """Return the schema called `name`, or the one in the file at that path.

    Raises:
        ConfigurationError: There is none, or it is not a valid JSON Schema.
    """
    if name in packaged_names():
        packaged = resources.files("hydro_hooks") / "schemas" / f"{name}.json"
        return Schema(json.loads(packaged.read_text("utf-8")), place=name)
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        known = ", ".join(packaged_names())
        message = (
            f"HYDRO_SCHEMA is {name!r}; it is neither one of {known}, nor the path of a"
            " .json file"
        )
        raise ConfigurationError(message)
    own = Schema(_document(path), place=name)
    own.compile()
    return own


def _document(path: Path) -> Any:
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        message = f"HYDRO_SCHEMA {path} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from None
    except ValueError as error:
        message = f"HYDRO_SCHEMA {path} is not JSON: {error}"
        raise ConfigurationError(message) from None


def packaged_names() -> list[str]:
    """Return the names of the schemas in the package."""
    folder = resources.files("hydro_hooks") / "schemas"
    return sorted(
        entry.name.removesuffix(".json")
        for entry in folder.iterdir()
        if entry.name.endswith(".json")
    )


def dumps(value: Any) -> str:
    """Return a wire value as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Raises:
        ValueError: It is not JSON, not UTF-8, or nested beyond reason.
    """
    try:
        return json.loads(text)
    except RecursionError:
        message = "it is nested too deeply"
        raise ValueError(message) from None


def timestamp(moment: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC with milliseconds."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _wire(event: Event) -> dict[str, Any]:
    integration, actor = event.jira_integration_id, event.github_actor
    return {
        "eventId": event.id,
        "occurredAt": timestamp(event.occurred_at),
        "association": event.association,
        "subjectId": event.subject_id,
        "action": event.action.value,
        "type": V0_TYPES[event.action],
        "state": None if event.state is None else event.state.value,
        "githubInstallationId": event.github_installation_id,
        "jiraHostname": event.jira_hostname,
        "jiraIntegrationId": integration,
        "installationId": integration if isinstance(integration, int) else None,
        "reason": event.reason,
        "actionSource": V0_SOURCES.get(event.reason),
        "githubActor": actor,
        "githubActorId": actor if isinstance(actor, int) else None,
        "jiraActor": event.jira_actor,
        "note": event.note,
        "transactionId": event.transaction_id,
        "origin": event.origin,
    }


def event_from(
    value: Mapping[str, Any], *, received_at: datetime | None = None
) -> Event | None:
    """Return the event that a wire value tells of.

    Args:
        value: A value that fits its schema: `jira.v1.Action`, `jira.v0.Action`, or
            a user's with names of these.
        received_at: UTC; taken where the schema has no time of its own.

    Returns:
        None where it names no action, or no time is known.
    """
    action = _ACTIONS.get(value.get("type", "")) or value.get("action")
    occurred_at = _occurred_at(value) or received_at
    if action not in set(Action) or occurred_at is None:
        return None
    action = Action(action)
    state = value.get("state")
    return Event(
        id=_event_id(value),
        transaction_id=value.get("transactionId"),
        occurred_at=occurred_at,
        association=value.get("association", "installation"),
        subject_id=value.get("subjectId"),
        action=action,
        state=State(state) if state in set(State) else _STATES.get(action),
        github_installation_id=value.get("githubInstallationId"),
        jira_hostname=value.get("jiraHostname"),
        jira_integration_id=value.get("jiraIntegrationId", value.get("installationId")),
        reason=value.get("reason") or _reason(value),
        github_actor=value.get("githubActor", value.get("githubActorId")),
        jira_actor=value.get("jiraActor"),
        note=value.get("note"),
        origin=value.get("origin"),
    )


def _event_id(value: Mapping[str, Any]) -> str:
    given = value.get("eventId")
    if given is None:
        # Two equal values may be two events: neither is taken for a repeat.
        return new_id()
    text = str(given)
    # An id of another form, as a user's schema may have, is always the same UUID.
    return text if is_id(text) else str(uuid5(NAMESPACE_URL, f"eventId:{text}"))


def _occurred_at(value: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value["occurredAt"])
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _reason(value: Mapping[str, Any]) -> str:
    source = value.get("actionSource", "")
    return _REASONS.get(source, Reason.UNATTRIBUTED.value)
