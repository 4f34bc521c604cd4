"""What somebody asks for, as one line of text: `acme action:disable since:90d`.

Words that are no qualifiers name an installation, an actor, an event; the qualifiers
narrow down what is listed. The terminal, the pages and their addresses share this.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import storable
from hydro_hooks.journal.lives import Mark
from hydro_hooks.journal.moments import span_in
from hydro_hooks.journal.records import Kind
from hydro_hooks.transition import Action

_FIELDS: Final = {
    "actor": "actor",
    "action": "actions",
    "reason": "reason",
    "origin": "origin",
    "of": "association",
    "since": "since",
    "until": "until",
    "as": "kind",
}
"""What each qualifier narrows down."""

_NAMES: Final = "|".join(_FIELDS)
_QUALIFIER: Final = re.compile(
    rf"(?P<name>{_NAMES}):(?P<value>.*)", re.DOTALL | re.IGNORECASE
)
_LIKE_ONE: Final = re.compile(r"(?P<name>[a-z]+):(?!//)\D", re.IGNORECASE)
_IN_QUOTES: Final = r'"(?:[^"\\]|\\.)*"'
_WORD: Final = re.compile(rf"(?:(?:{_NAMES}):)?{_IN_QUOTES}|\S+", re.IGNORECASE)
_QUOTED: Final = re.compile(_IN_QUOTES, re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_DATES: Final = {"since": 0, "until": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which events are wanted; what is None leaves all.

    Args:
        actor: A GitHub login or user id, or a Jira account id.
        actions: Any of these.
        reason: As it was given.
        origin: The place in the program that made the change.
        association: What the row stands for, such as `installation`.
        since: When they occurred at the earliest, UTC.
        until: When at the latest, UTC.
    """

    actor: str | None = None
    actions: tuple[Action, ...] | None = None
    reason: str | None = None
    origin: str | None = None
    association: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        """Return whether any is given."""
        return any(getattr(self, each.name) is not None for each in fields(self))

    def by(self, moment: datetime) -> Filters:
        """Return these for what occurred until a moment."""
        until = moment if self.until is None else min(moment, self.until)
        return replace(self, until=until)

    def let_pass(self, mark: Mark) -> bool:
        """Return whether an event is wanted."""
        actors = (mark.github_actor, mark.jira_actor)
        return (
            (self.actor is None or storable(self.actor) in actors)
            and (self.actions is None or mark.action in self.actions)
            and (self.reason is None or mark.reason == storable(self.reason))
            and (self.association is None or mark.association == self.association)
            and (self.origin is None or mark.origin == storable(self.origin))
            and (self.since is None or mark.occurred_at >= self.since)
            and (self.until is None or mark.occurred_at <= self.until)
        )


EVERYTHING: Final = Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question.

    Args:
        text: A host, a URL, an id, an actor; empty: everything.
        kind: What `text` is; found out when None.
        filters: What of it is wanted.
    """

    text: str = ""
    kind: Kind | None = None
    filters: Filters = EVERYTHING


def query_in(line: str, *, now: datetime) -> Query:
    r"""Return the question that a line of text asks.

    Args:
        line: Such as `acme.atlassian.net action:disable,destroy since:90d`. A value
            with blanks stands in quotes: `reason:"jira webhook"`; in these `\"` is a
            quote, `\\` a backslash.
        now: The present moment, aware; `since:90d` is reckoned from it.

    Raises:
        ConfigurationError: A qualifier has a value that it cannot have, is given
            twice, or is none but like one; a quote is open. The message says which.
    """
    return query_of(split(line), now=now)


def split(line: str) -> list[str]:
    """Return the words of a line; what stands in quotes is one."""
    return _WORD.findall(line)


def quoted(text: str) -> str:
    """Return a text as one word of a line, whatever is in it."""
    is_plain = split(text) == [text] and not _LIKE_ONE.match(text) and '"' not in text
    if is_plain:
        return text
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def query_of(words: Iterable[str], *, now: datetime) -> Query:
    """Return the question that words ask; as `query_in()`, but for blanks in a word."""
    text: list[str] = []
    given: dict[str, Any] = {}
    for word in words:
        match = _QUALIFIER.fullmatch(word)
        if match is None:
            _refuse_mistyped(word)
            text.append(_plain(word))
            continue
        name = match["name"].lower()
        if _FIELDS[name] in given:
            message = f"{name}: is given twice; give it once"
            raise ConfigurationError(message)
        given[_FIELDS[name]] = _value(name, _plain(match["value"]).strip(), now)
    kind = given.pop("kind", None)
    filters = Filters(**given)
    if filters.since and filters.until and filters.since > filters.until:
        message = f"since: {filters.since} is after until: {filters.until}"
        raise ConfigurationError(message)
    return Query(text=" ".join(text).strip(), kind=kind, filters=filters)


def _plain(word: str) -> str:
    """Return what a word says, without the quotes around it."""
    if not word.startswith('"'):
        return word
    if _QUOTED.fullmatch(word) is None:
        message = f"{word} has a quote that is not closed, or something after it"
        raise ConfigurationError(message)
    return _ESCAPED.sub(r"\1", word[1:-1])


def _refuse_mistyped(word: str) -> None:
    """Raise for what is nearly a qualifier: taken for a name, it would find nothing."""
    match = _LIKE_ONE.match(word)
    if match is None:
        return
    near = difflib.get_close_matches(match["name"].lower(), _FIELDS, n=1, cutoff=0.7)
    if near:
        message = (
            f"{match['name']}: is no qualifier; did you mean {near[0]}:? What is a name"
            " stands in quotes"
        )
        raise ConfigurationError(message)


def _value(name: str, value: str, now: datetime) -> Any:
    """Return the value of a qualifier; Any: each has a type of its own."""
    if not value:
        message = f"{name}: has no value; give one right after the colon"
        raise ConfigurationError(message)
    try:
        if name in _DATES:
            return span_in(value, now=now)[_DATES[name]]
        if name == "as":
            return _one_of(Kind, [value.lower()])[0]
        if name == "action":
            names = (each.strip().lower() for each in value.split(","))
            return _one_of(Action, list(names))
    except ValueError as error:
        message = f"{name}: {error}"
        raise ConfigurationError(message) from None
    return value.removeprefix("@") if name == "actor" else value


def _one_of(choices: Any, values: Iterable[str]) -> tuple[Any, ...]:
    """Return members of an enumeration; Any: of whichever."""
    try:
        return tuple(choices(value) for value in values)
    except ValueError:
        known = ", ".join(choices)
        message = f"{','.join(values)!r} is none of {known}"
        raise ValueError(message) from None
