"""Records in words: one story, in the terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from hydro_hooks.cause import Reason
from hydro_hooks.event import FOUND, Event
from hydro_hooks.exports import fields_of
from hydro_hooks.journal import Answer, Companions, Coverage, Kind, Place, Record
from hydro_hooks.transition import Action, State

KINDS: Final = {
    Kind.HOST: "a Jira host",
    Kind.JIRA: "a Jira integration id",
    Kind.GITHUB: "a GitHub installation id",
    Kind.EVENT: "an event id",
    Kind.TRANSACTION: "a transaction id",
    Kind.ACTOR: "an actor",
}
_STATES: Final = {
    State.ENABLED: "enabled",
    State.DISABLED: "disabled",
    State.ABSENT: "absent (destroyed)",
    None: "there (its schema does not say whether enabled)",
}
_SINCE: Final = {
    State.ENABLED: "Enabled since",
    State.DISABLED: "Disabled since",
    State.ABSENT: "Destroyed on",
    None: "There since",
}
_REASONS: Final[dict[str, str]] = {
    Reason.JIRA_WEBHOOK: "by a Jira webhook",
    Reason.GITHUB_WEBHOOK: "by a GitHub webhook",
    Reason.STAFFTOOLS_API: "by staff, through stafftools",
    Reason.WEB_INTERACTION: "on the web",
    Reason.UNATTRIBUTED: "without a reason",
}
_DONE: Final = {
    Action.CREATE: "created",
    Action.ENABLE: "enabled",
    Action.DISABLE: "disabled",
    Action.DESTROY: "destroyed",
}


def moment(value: datetime) -> str:
    """Return a UTC moment as a person reads it; a search takes it back."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(count: int, one: str, several: str) -> str:
    """Return a number and what it counts, such as `1 event waits`."""
    return f"{count} {one if count == 1 else several}"


def answer_lines(answer: Answer, record: Record, at: datetime | None) -> Iterator[str]:
    """Yield an answer: its first line says all, the others what surrounds it."""
    yield headline(record, at, is_past=at is None and not answer.is_present)
    if answer.companions:
        others = " and ".join(group_of(each) for each in answer.companions)
        yield f"with it:  {others}, in the same transaction"
    for beside in answer.others:
        yield f"also:     {headline(beside, at)}"
    if answer.more:
        more = counted(answer.more, "installation is", "installations are")
        yield f"also:     {more} there besides"
    for name, other in (("before: ", answer.before), ("after:  ", answer.after)):
        yield f"{name}  {_beside(record, other)}"
    # Of a text that could be one thing only, nobody has to be told which it was.
    taken_for = f" ({KINDS[answer.taken_for]} was asked for)" if answer.also else ""
    yield f"event:    {record.event.id}{taken_for}"


def sentence(record: Record, *, is_present: bool = False) -> str:
    """Return what was done and why, in a sentence that a page can begin with.

    Args:
        record: What was done.
        is_present: What it made is so still.
    """
    event = record.event
    since = f"{_DONE[event.action].capitalize()} on"
    if is_present:
        since = _SINCE[event.state]
        if event.action is Action.CREATE:
            since = f"{since} its creation on"
    if event.origin == FOUND:
        since = f"{since.removesuffix(' on')} before"
    parts = [
        f"{since} {long_moment(event.occurred_at)}"
        f" {_REASONS.get(event.reason, f'for the reason {_quoted(event.reason)}')}",
        who_told(event),
    ]
    if not _has_actor(event) or event.reason == Reason.UNATTRIBUTED:
        parts.append(_made_at(event))
    if event.note:
        parts.append(f"note {_quoted(event.note)}")
    told = "; ".join(parts)
    if event.association != "installation":
        told = f"{_capital(subject_of(event))}: {told[0].lower()}{told[1:]}"
    return f"{told}. {delivery_of(record)}".rstrip()


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def delivery_of(record: Record) -> str:
    """Return what became of an event's delivery; nothing where there is no news in it.

    That is, where it was delivered at the first try.
    """
    attempts = record.attempts or 0
    if record.place is Place.WAITING:
        return "This event is not delivered yet."
    if record.place is Place.REJECTED:
        return f"The gateway refused this event: {record.error}"
    if record.place is Place.DELIVERED and attempts > 1 and record.settled_at:
        told = f"on {long_moment(record.settled_at)}, at try {attempts}"
        return f"This event was delivered {told}."
    return ""


def who_told(event: Event) -> str:
    """Return who made a change, or that nobody was named."""
    return _actor(event) if _has_actor(event) else "no person was named"


def long_moment(value: datetime) -> str:
    """Return a UTC moment as a sentence has it, such as `12 August 2026, 14:02 UTC`."""
    moment = value.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _beside(record: Record, other: Record | None) -> str:
    """Return the line of a record before or after, with its host where it differs.

    The site was renamed then, or the database gave the row's key to another customer.
    """
    if other is None:
        return "nothing recorded"
    host = other.event.jira_hostname
    if host == record.event.jira_hostname:
        return line(other)
    return line(other, host=host or "no host told")


def headline(
    record: Record, at: datetime | None = None, *, is_past: bool = False
) -> str:
    """Return state, since when, action, reason, actor or where it was done.

    Args:
        record: What made the state.
        at: The moment that was asked for; None: the present.
        is_past: Something came after it, so only what was done is told.
    """
    event = record.event
    subject = subject_of(event)
    who = f"{event.jira_hostname}: {subject}" if event.jira_hostname else subject
    if is_past:
        at_or_before = "before" if event.origin == FOUND else "at"
        done = f"{_DONE[event.action]} {at_or_before} {moment(event.occurred_at)}"
        return f"{who} was {done} ({_why(event)}){place_of(record)}"
    is_then = "is" if at is None else f"was, at {moment(at)},"
    state = _STATES[event.state]
    since = "since before" if event.origin == FOUND else "since"
    since = f"{since} {moment(event.occurred_at)}"
    return f"{who} {is_then} {state} {since} ({_why(event)}){place_of(record)}"


def line(record: Record, *, host: str | None = None) -> str:
    """Return a record as one line of a list, with the host where it is given."""
    event = record.event
    who = subject_of(event) if host is None else f"{host}: {subject_of(event)}"
    what = f"{moment(event.occurred_at)}  {who}: {_why(event)}"
    return f"{what}{place_of(record)}  [{event.id}]"


def subject_of(event: Event) -> str:
    """Return what the event is about, such as `installation 19`."""
    key: int | str | None = event.subject_id
    if key is None and event.association == "installation":
        key = event.jira_integration_id
    name = event.association if key is None else f"{event.association} {key}"
    github = event.github_installation_id
    if github is None or event.association == "installation":
        return name
    return f"{name} (GitHub installation {github})"


def _why(event: Event) -> str:
    # In quotes, as is the note: other people's text may hold commas.
    parts = [event.action.value, f"reason {_quoted(event.reason)}", _actor(event)]
    if not _has_actor(event) or event.reason == Reason.UNATTRIBUTED:
        parts.append(_made_at(event))
    if event.note:
        parts.append(f"note {_quoted(event.note)}")
    return ", ".join(parts)


def who_of(event: Event) -> str:
    """Return who made a change or, where nobody is known, which place did."""
    return _actor(event).removeprefix("by ") if _has_actor(event) else _made_at(event)


def _has_actor(event: Event) -> bool:
    return event.github_actor is not None or event.jira_actor is not None


def _made_at(event: Event) -> str:
    return f"made at {event.origin}" if event.origin else "origin not told"


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', '\\"'))


def _actor(event: Event) -> str:
    actors = []
    if isinstance(event.github_actor, int):
        actors.append(f"GitHub user id {event.github_actor}")
    elif event.github_actor is not None:
        actors.append(f"GitHub user {event.github_actor}")
    if event.jira_actor is not None:
        actors.append(f"Jira user {event.jira_actor}")
    return f"by {' and '.join(actors)}" if actors else "no actor"


def place_of(record: Record) -> str:
    """Return what is to be told of where an event is: nothing once it is delivered."""
    if record.place is Place.WAITING:
        return ", not delivered yet"
    if record.place is Place.REJECTED:
        return f", rejected: {record.error}"
    return ""


def group_of(group: Companions) -> str:
    """Return what else a transaction did, such as `12 subscriptions destroyed`."""
    what = counted(group.count, group.association, f"{group.association}s")
    return f"{what} {_DONE[group.action]}"


def coverage_line(coverage: Coverage) -> str:
    """Return what could have been found: for when nothing was."""
    if coverage.earliest is None:
        held = "no record is held"
    else:
        held = f"the earliest record held is of {moment(coverage.earliest)}"
    if coverage.waiting is None:
        return f"{held}; what waits undelivered is in the app's database, not here"
    return (
        f"{held}; {counted(coverage.waiting, 'event waits', 'events wait')}"
        f" undelivered, {counted(coverage.rejected or 0, 'was', 'were')} rejected"
    )


def field_lines(record: Record) -> Iterator[str]:
    """Yield every field of a record that has a value, one a line."""
    fields = fields_of(record)
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        if value is not None:
            text = value.isoformat(" ") if isinstance(value, datetime) else value
            yield f"{name:<{width}}  {text}"
