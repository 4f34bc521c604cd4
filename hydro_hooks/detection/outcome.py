"""What a flush made of a row, from the object where it can be trusted, else by asking.

After an INSERT the object knows what it set; after an UPDATE it knows the columns that
were in it, and the rest is what was read under the UPDATE's lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState

from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Found, Lock
from hydro_hooks.detection.transactions import GONE, Candidate, Known
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place, State, Values

_UNKNOWN: Final = object()
"""A value that only the database knows."""


def inserted(tracked: TrackedModel, state: InstanceState[Any]) -> Known | None:
    """Return what an INSERT made of a row; None where only the database knows."""
    if tracked.is_plain and not state.expired_attributes:
        plain = _inserted_plain(tracked, state.dict)
        if plain is not None:
            return plain

    def value_of(field: Field | None, default: Any) -> Any:
        if field is None:
            return default
        if field.attribute is None:
            return _UNKNOWN
        # What the database made (a default, an expression) is expired by now; what was
        # never set was inserted as NULL.
        is_made = field.attribute in state.expired_attributes
        value = state.dict.get(field.attribute, _UNKNOWN if is_made else None)
        return value if type(value) in field.stored else _UNKNOWN

    is_present = value_of(tracked.present, default=True)
    is_enabled = value_of(tracked.enabled, default=True)
    if is_present is _UNKNOWN or is_enabled is _UNKNOWN:
        return None
    values = [value_of(field, default=None) for field in tracked.values]
    known = None if _UNKNOWN in values else Values(*values)
    return tracked.state(is_present, is_enabled), known


def _inserted_plain(tracked: TrackedModel, given: Mapping[Any, Any]) -> Known | None:
    """Return what an INSERT of plain values made; what was never set is NULL.

    None where the database may have converted one. It may even be an expression:
    `literal()` and parameters, unlike others, are not expired by the flush.
    """
    get = given.get
    there, enabled = tracked.present, tracked.enabled
    fields = (there, enabled, *tracked.values)
    is_present = True if there is None else get(there.attribute)
    is_enabled = True if enabled is None else get(enabled.attribute)
    values = [
        None if field is None else get(field.attribute) for field in tracked.values
    ]
    given_values = (is_present, is_enabled, *values)
    for field, value in zip(fields, given_values, strict=True):
        if field is not None and type(value) not in field.stored:
            return None
    return tracked.state(is_present, is_enabled), Values(*values)


def updated(candidate: Candidate, before: Known) -> Known | None:
    """Return what an UPDATE made of a row; None where only the database knows.

    What the UPDATE did not set is as it was read under its lock: the object may have
    been loaded long before.
    """
    if before == GONE:
        return None
    tracked, state = candidate.tracked, candidate.state

    def value_of(field: Field | None, old: Any) -> Any:
        if field is None or field.watched.isdisjoint(candidate.changed):
            return old
        if field.attribute is None:
            return _UNKNOWN
        value = state.dict.get(field.attribute, _UNKNOWN)
        return value if type(value) in field.stored else _UNKNOWN

    was_present = before[0] is not State.ABSENT
    was_enabled = before[0] is State.ENABLED
    if not was_present and tracked.enabled is not None:
        return None
    is_present = value_of(tracked.present, was_present)
    is_enabled = value_of(tracked.enabled, was_enabled)
    if is_present is _UNKNOWN or is_enabled is _UNKNOWN:
        return None
    values: list[Any] = [
        _UNKNOWN if field is not None and field.tables else value_of(field, old)
        for field, old in zip(
            tracked.values, before[1] or (_UNKNOWN,) * len(tracked.values), strict=True
        )
    ]
    known = None if _UNKNOWN in values else Values(*values)
    return tracked.state(is_present, is_enabled), known


def read(
    connection: Connection,
    tracked: TrackedModel,
    key: tuple[Any, ...],
    place: Place | None,
) -> Known:
    """Ask the database for a row that was just written."""
    found = rows.read(connection, tracked, [key], Lock.OWN, place).get(key)
    return after(tracked, found)


def after(tracked: TrackedModel, found: Found | None) -> Known:
    """Return what is known of a row that was read after it was written."""
    if found is None:
        return GONE
    # What a subquery reads may still change before the commit.
    return (found.state, None) if tracked.reads_tables else found
