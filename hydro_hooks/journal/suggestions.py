"""Hosts like one that nothing is held of: a name mistyped, or told in part."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from hydro_hooks.event import storable
from hydro_hooks.journal.readings import SCHEMES, host_in, lower_host
from hydro_hooks.journal.search import held
from hydro_hooks.tables import journal

MOST: Final = 5
"""Hosts that are suggested at most."""

LOOKED_AT: Final = 300
"""Hosts of one beginning that are compared at most."""

_SHORTEST: Final = 2
_ALIKE: Final = 0.6
_LAST: Final = "\U0010ffff"


def near_hosts(connection: Connection, text: str) -> list[str]:
    """Return hosts that are held and are like `text`, the likest first.

    They have its beginning, the longest that any host has; an index finds those of the
    journal, however many there are.

    Raises:
        DatabaseError: The database has no journal.
    """
    wanted = host_in(text).lower()
    for length in _lengths(len(wanted)) if wanted else ():
        hosts = _beginning(connection, wanted[:length])
        found = {host_in(host): host for host in hosts}
        near = [name for name in found if name.startswith(wanted)]
        near += difflib.get_close_matches(wanted, found, n=MOST, cutoff=_ALIKE)
        if near:
            return [found[name] for name in dict.fromkeys(near)][:MOST]
    return []


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
