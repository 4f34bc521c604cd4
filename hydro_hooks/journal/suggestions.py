"""Hosts like one that nothing is held of: a name mistyped, or told in part."""

from __future__ import annotations

import difflib
import string
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from hydro_hooks.event import storable
from hydro_hooks.journal.readings import SCHEMES, as_pasted, host_in, lower_host
from hydro_hooks.journal.search import CHUNK, held
from hydro_hooks.tables import journal

MOST: Final = 5
"""Hosts that are suggested at most."""

LOOKED_AT: Final = 300
"""Hosts of one beginning that are compared at most."""

_SHORTEST: Final = 2
_LONGEST: Final = 24
"""Letters of a name of which one may be wrong."""

_ENDS: Final = (func.min, func.max)  # which an index has

_LETTERS: Final = f"{string.ascii_lowercase}{string.digits}-"
_ALIKE: Final = 0.6
_LAST: Final = "\U0010ffff"


def near_hosts(connection: Connection, text: str) -> list[str]:
    """Return hosts that are held and are like `text`, the likest first.

    They differ from it by a letter of their name, or have its beginning, the longest
    that any host has; an index finds those of the journal, however many there are.

    Raises:
        DatabaseError: The database has no journal.
    """
    wanted = host_in(as_pasted(text)).lower()
    mistyped = _held_among(connection, _one_letter_off(wanted)) if wanted else []
    if mistyped:
        return mistyped[:MOST]
    for length in _lengths(len(wanted)) if wanted else ():
        hosts = _beginning(connection, wanted[:length])
        found = {host_in(host): host for host in hosts}
        near = [name for name in found if name.startswith(wanted)]
        near += difflib.get_close_matches(wanted, found, n=MOST, cutoff=_ALIKE)
        if near:
            return [found[name] for name in dict.fromkeys(near)][:MOST]
    return []


def _one_letter_off(host: str) -> set[str]:
    """Return what a host becomes with a letter of its name more, less, or another."""
    name, dot, rest = host.partition(".")
    name = name[:_LONGEST]
    found = set()
    for place in range(len(name) + 1):
        before, after = name[:place], name[place:]
        found |= {f"{before}{letter}{after}" for letter in _LETTERS}
        if after:
            found |= {f"{before}{letter}{after[1:]}" for letter in _LETTERS}
            found |= {before + after[1:], before + after[1:2] + after[0] + after[2:]}
    return {f"{each}{dot}{rest}" for each in found - {name, ""}}


def _held_among(connection: Connection, hosts: Collection[str]) -> list[str]:
    """Return those of the hosts that are held."""
    found: dict[str, None] = {}
    for table, _ in held(connection):
        host = lower_host(table)
        for scheme in _schemes_of(connection, host):
            spelled = sorted(storable(f"{scheme}{each}") for each in hosts)
            for start in range(0, len(spelled), CHUNK):
                some = host.in_(spelled[start : start + CHUNK])
                chosen = select(host).where(some).distinct().limit(MOST)
                found.update(dict.fromkeys(connection.scalars(chosen)))
    return list(found)


def _schemes_of(connection: Connection, host: ColumnElement[str]) -> Iterator[str]:
    """Yield how hosts are written here: with `https://`, mostly."""
    for scheme in SCHEMES:
        of_it = (host >= scheme, host < scheme + _LAST)
        ends = [connection.scalar(select(of(host)).where(*of_it)) for of in _ENDS]
        if any(end is not None and _scheme_of(end) == scheme for end in ends):
            yield scheme


def _scheme_of(host: str) -> str:
    return next(scheme for scheme in SCHEMES if host.startswith(scheme))


def _lengths(longest: int) -> Iterator[int]:
    """Yield how many letters of a name are compared: all, half of them, ..., two."""
    while longest > _SHORTEST:
        yield longest
        longest //= 2
    yield _SHORTEST


def _beginning(connection: Connection, beginning: str) -> Iterator[str]:
    """Yield each host once that begins so, with whatever scheme."""
    for table, _ in held(connection):
        host = lower_host(table)
        for scheme in SCHEMES:
            start = storable(f"{scheme}{beginning}")
            is_such = (host >= start, host < start + _LAST)
            if table is journal:
                statement = _one_after_the_other(host, is_such)
            else:  # which has no index of hosts, and little in it
                statement = select(host).where(*is_such).distinct()
            yield from connection.scalars(statement.limit(LOOKED_AT))


def _one_after_the_other(
    host: ColumnElement[str], is_such: tuple[ColumnElement[bool], ...]
) -> Select[Any]:
    """Select each host once, by as many steps in the index and no more."""
    first = select(func.min(host)).where(*is_such)
    each = select(first.scalar_subquery().label("host")).cte(
        "each_host", recursive=True
    )
    following = select(func.min(host)).where(host > each.c.host, *is_such)
    each = each.union_all(
        select(following.scalar_subquery()).where(each.c.host.is_not(None))
    )
    return select(each.c.host).where(each.c.host.is_not(None))
