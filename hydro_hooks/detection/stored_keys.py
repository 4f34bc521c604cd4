"""Keys as the database gives them back, however the program spelled them.

A row has one name in all its events, whoever wrote it: an object that was just added
bears the program's spelling, one that was loaded, and a statement's row, the
database's. For the usual types the two are the same, and nothing is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select

from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Key, Lock
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place

_EXACT: Final = frozenset({int, UUID})
"""Types of keys that are equal only to themselves; text may be folded, or padded."""


def is_exact(tracked: TrackedModel, key: Key) -> bool:
    """Return whether a statement that names a key meets only a row of that very key."""
    return tracked.gives_back(key) and all(type(value) in _EXACT for value in key)


def as_stored(
    connection: Connection,
    tracked: TrackedModel,
    keys: Iterable[Key],
    lock: Lock,
    place: Place | None,
) -> dict[Key, Key]:
    """Return keys, each with the one that the database has for its row.

    A key by which no row is found is left out. What the database gives back is taken
    only where it finds the row by it; a type of the program's own may not.

    Args:
        connection: In whose transaction to look.
        tracked: The model.
        keys: As the program spelled them.
        lock: As for `rows.read()`, which is to follow.
        place: The schema translation in force.
    """
    stored = {key: key for key in keys}
    unsure = [key for key in stored if not tracked.gives_back(key)]
    if not unsure:
        return stored
    lock = rows.lock_here(connection, lock)
    find = functools.partial(_found, connection, tracked, lock, place)
    there = find(unsure)
    for key in unsure:
        if key in there:  # Equal ones may still be written otherwise (1.5 and 1.50).
            stored[key] = there[key]
            continue
        # Of several that are found, nothing would tell which is whose.
        alone = there if len(unsure) == 1 else find([key])
        its = next(iter(alone), None)
        if its is None:
            del stored[key]
        elif its in find([its]):
            stored[key] = its
    return stored


def _found(
    connection: Connection,
    tracked: TrackedModel,
    lock: Lock,
    place: Place | None,
    keys: Sequence[Key],
) -> dict[Key, Key]:
    columns = tracked.mapper.primary_key
    statement = select(*columns).where(rows.is_one_of(columns))
    statement = rows.locked(statement, lock, None)
    found: dict[Key, Key] = {}
    for chunk in rows.chunks(keys):
        result = connection.execute(
            statement, {"keys": chunk}, execution_options=rows.options(place)
        )
        found.update((key, key) for key in map(tuple, result.fetchall()))
    return found
