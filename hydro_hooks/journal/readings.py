"""What a text may stand for: a host in one of its spellings, an id, a number."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Table, and_, func, or_, true

from hydro_hooks.event import storable
from hydro_hooks.journal.queries import Filters
from hydro_hooks.journal.records import Kind
from hydro_hooks.tables import LOWER_HOST


def host_in(text: str) -> str:
    """Return the host (and port) in a host or a URL; empty where it has none."""
    text = text.strip()
    try:
        place = urlsplit(text if "://" in text else f"//{text}").netloc
    except ValueError:
        return text
    return place.rpartition("@")[2].rstrip(":")


def as_pasted(text: str) -> str:
    """Return a host or URL without what it was pasted with: `<https://a.b:443>,`."""
    text = text.strip().strip("<>,;\"'").rstrip(".")
    return _DEFAULT_PORT.sub(r"\1", text)


_DEFAULT_PORT: Final = re.compile(r"^((?:https?://)?[^/:]+):(?:443|80)(?=/|$)")
_PLAIN_HOST: Final = re.compile(r"(?:https?://)?([^\s/@?#:]+(?::\d+)?)/?", re.ASCII)


def shown_host(text: str) -> str:
    """Return a stored host as people know it; one that is no plain host as it is."""
    match = _PLAIN_HOST.fullmatch(text)
    return match[1] if match else text


class Reading(NamedTuple):
    """One thing that a text may stand for, and how it may be stored."""

    kind: Kind
    values: tuple[str, ...]


_COLUMNS: Final = {
    Kind.JIRA: ("jira_integration_id",),
    Kind.GITHUB: ("github_installation_id",),
    Kind.EVENT: ("id",),
    Kind.TRANSACTION: ("transaction_id",),
    Kind.ACTOR: ("github_actor", "jira_actor"),
}
SCHEMES: Final = ("https://", "http://", "")
_AFTER_SLASH: Final = chr(ord("/") + 1)
NUMBERS: Final = (Kind.JIRA, Kind.GITHUB)


def readings_of(text: str, kind: Kind | None) -> list[Reading]:
    """Return what `text` may stand for, the likeliest first."""
    text = text.strip()
    number = uuid_in(text)
    readings = [Reading(each, (storable(text),)) for each in NUMBERS]
    is_host = any(mark in text for mark in "./:")
    if is_host or host_in(as_pasted(text)):
        readings.insert(0 if is_host else 2, Reading(Kind.HOST, _spellings(text)))
    if number is not None:  # only then, or PostgreSQL refuses to compare it with a UUID
        both = (Kind.EVENT, Kind.TRANSACTION)
        readings[:0] = [Reading(each, (number,)) for each in both]
    readings.append(Reading(Kind.ACTOR, (storable(text.removeprefix("@")),)))
    return [reading for reading in readings if kind in {None, reading.kind}]


def uuid_in(text: str) -> str | None:
    """Return the UUID that a text is, in canonical form."""
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        return None


def _spellings(text: str) -> tuple[str, ...]:
    """Return the ways in which apps write this host, in small letters."""
    host = host_in(as_pasted(text))
    if not host:  # such as a path, which some app has stored for a host
        return (storable(lower(text)),)
    names = {lower(host), host.lower()}  # some databases know those of ASCII alone
    spellings = [lower(text).rstrip("/")] + [
        f"{scheme}{name}{slash}"
        for name in sorted(names)
        for scheme in SCHEMES
        for slash in ("", "/")
    ]
    return tuple(dict.fromkeys(storable(spelling) for spelling in spellings))


def lower(text: str) -> str:
    """Return a text with the capitals of ASCII made small."""
    return "".join(each.lower() if each.isascii() else each for each in text)


def lower_host(table: Table) -> ColumnElement[str]:
    """Return the host of a table's rows in small letters; the journal's is indexed."""
    its: ColumnElement[str] = table.c.get(LOWER_HOST, func.lower(table.c.jira_hostname))
    return its


Condition = Callable[[Table], ColumnElement[bool]]


def exactly(reading: Reading) -> Condition:
    """Return the condition of what a text stands for, which indexes serve."""
    if reading.kind is Kind.HOST:
        return _is_host(reading.values)
    names = _COLUMNS[reading.kind]
    return lambda table: or_(*(table.c[name].in_(reading.values) for name in names))


def _is_host(spellings: Sequence[str]) -> Condition:
    def condition(table: Table) -> ColumnElement[bool]:
        host = lower_host(table)
        # Some apps store the site's address with a path.
        paths = [
            and_(host >= each, host < f"{each[:-1]}{_AFTER_SLASH}")
            for each in spellings
            if each.endswith("/")
        ]
        return or_(host.in_(spellings), *paths)

    return condition


def alternatives(
    filters: Filters, reading: Reading | None = None
) -> tuple[Condition, ...]:
    """Return what fits as conditions of which each has an index with its order.

    An actor is in one of two columns. To one that asks for either, with an order and a
    limit, PostgreSQL answers by reading the journal backwards.
    """
    named = filters.actor
    if reading is not None and reading.kind is Kind.ACTOR:
        named = reading.values[0]
    whole = fitting(filters, reading)
    if named is None:
        return (whole,)
    return tuple(_and_is(whole, name, storable(named)) for name in _COLUMNS[Kind.ACTOR])


def _and_is(condition: Condition, name: str, value: str) -> Condition:
    return lambda table: and_(table.c[name] == value, condition(table))


def fitting(filters: Filters, reading: Reading | None = None) -> Condition:
    """Return the condition of what filters let pass, of what a text stands for."""

    def condition(table: Table) -> ColumnElement[bool]:
        its = table.c
        wanted: list[ColumnElement[bool]] = [true()]
        if reading is not None:
            wanted.append(exactly(reading)(table))
        if filters.actor is not None:
            actor = Reading(Kind.ACTOR, (storable(filters.actor),))
            wanted.append(exactly(actor)(table))
        if filters.actions is not None:
            wanted.append(its.action.in_(filters.actions))
        same = (
            (its.reason, filters.reason),
            (its.origin, filters.origin),
            (its.association, filters.association),
        )
        wanted += [it == storable(text) for it, text in same if text is not None]
        if filters.since is not None:
            wanted.append(its.occurred_at >= filters.since)
        if filters.until is not None:
            wanted.append(its.occurred_at <= filters.until)
        return and_(*wanted)

    return condition
