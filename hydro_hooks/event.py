"""An event: a transition with its ids, as it is written down once and kept for ever."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from hydro_hooks.transition import Action, State, Transition, Values

MAX_VALUE: Final = 255
"""Characters kept of a value of a row; what is longer is shortened with a mark."""

SHORTENED: Final = "…"
"""The mark at the end of a value that was shortened."""

FOUND: Final = "hydro-hooks reconcile"
"""Origin of an event that `reconcile` wrote: what it tells happened before that."""

NO_VALUES: Final = Values(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One transition of one subject, with who, why, when and where.

    Args:
        id: UUIDv7 as text; the same over all attempts to deliver it.
        transaction_id: UUIDv7 as text, shared by the events of one transaction.
        occurred_at: When the change was made, UTC, to the millisecond: as schemas tell
            it, so that every database that holds the event holds the same.
        association: `installation`, `subscription`, or what `track()` was told.
        subject_id: The row's key as text; a composite key is a JSON array.
        action: What happened.
        state: What the subject is since then.
        github_installation_id: Of the row; as are the next two.
        jira_hostname: Such as `https://example.atlassian.net`.
        jira_integration_id: The app's own id of the Jira installation.
        reason: Why; `unattributed` when nothing said so.
        github_actor: A login (text) or a numeric id.
        jira_actor: An Atlassian account id.
        note: Free text.
        origin: `package.module:line in function` that made the change.

    The fields from `transaction_id` on are None where a sender's schema lacks them.
    """

    id: str
    transaction_id: str | None
    occurred_at: datetime
    association: str
    subject_id: str | None
    action: Action
    state: State | None
    github_installation_id: int | str | None
    jira_hostname: str | None
    jira_integration_id: int | str | None
    reason: str
    github_actor: int | str | None
    jira_actor: str | None
    note: str | None
    origin: str | None

    @property
    def aggregate_id(self) -> str:
        """What is delivered in order: one Jira integration, else host, else row."""
        if self.jira_integration_id is not None:
            return str(self.jira_integration_id)
        return self.jira_hostname or f"{self.association}:{self.subject_id}"[:MAX_VALUE]

    @property
    def type(self) -> str:
        """Such as `subscription.destroy`."""
        return f"{self.association}.{self.action}"


def event_of(transition: Transition, *, id: str, transaction_id: str) -> Event:  # noqa: A002 - the field's name
    """Return the event of a transition.

    Values of rows are shortened and cleaned so that every database stores them; they
    are never a reason to fail.

    Args:
        transition: What happened.
        id: The event's UUIDv7, as text.
        transaction_id: The transaction's, as text.
    """
    values = transition.values or NO_VALUES
    stamp = transition.stamp
    cause = stamp.cause
    return Event(
        id=id,
        transaction_id=transaction_id,
        occurred_at=to_the_millisecond(stamp.occurred_at),
        association=transition.subject.association,
        subject_id=key_as_text(transition.subject.key),
        action=transition.action,
        state=transition.after,
        github_installation_id=_as_id(values.github_installation_id),
        jira_hostname=_as_text(values.jira_hostname),
        jira_integration_id=_as_id(values.jira_integration_id),
        reason=cause.reason,
        github_actor=cause.github_actor,
        jira_actor=cause.jira_actor,
        note=cause.note,
        origin=_as_text(stamp.origin),
    )


def key_as_text(key: tuple[Any, ...]) -> str:
    """Return a primary key as text: the value itself, or a JSON array of several.

    Of a moment with a time zone in UTC: connections have different ones.
    """
    if len(key) == 1:
        return storable(str(_part_of_key(key[0])))
    parts = [_part_of_key(part) for part in key]
    return storable(json.dumps(parts, ensure_ascii=False, separators=(",", ":")))


def _part_of_key(part: object) -> int | str:
    if isinstance(part, (int, str)):
        return part
    if isinstance(part, datetime) and part.tzinfo is not None:
        part = part.astimezone(UTC)
    return str(part)


def storable(text: str, limit: int = MAX_VALUE) -> str:
    """Return `text` as every database stores it.

    NUL and lone surrogates become U+FFFD; beyond `limit` characters it ends in a mark.
    """
    if len(text) > limit:
        text = text[: limit - 1] + SHORTENED
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return (
        text.replace("\0", "\ufffd")
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )


def cleaned(text: str) -> str:
    """Return `storable(text)`; most texts are that already."""
    if len(text) <= MAX_VALUE and text.isascii() and "\0" not in text:
        return text
    return storable(text)


def to_the_millisecond(moment: datetime) -> datetime:
    """Return a moment as schemas tell it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _as_text(value: Any) -> str | None:
    return None if value is None else storable(str(value))


def _as_id(value: Any) -> int | str | None:
    """Return an id as an integer or text; a UUID and the like become text."""
    if value is None or type(value) is int:
        return value
    return storable(str(value))


_LOW_BITS: Final = (1 << 62) - 1
_VARIANT: Final = 0x2 << 62


class UuidFactory:
    """Makes UUIDv7 that rise strictly within a process.

    48 bits of milliseconds, then 74 bits drawn at random once a millisecond and counted
    up within it (RFC 9562, section 6.2, method 1: 12 bits of counter are not enough for
    one bulk statement, so the counter is the whole of them). A clock that goes back is
    waited out by counting on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._random = 0
        self._end = 0
        self._prefix = ""

    def __call__(self) -> str:
        """Return the next one, in its canonical text form."""
        return self.many(1)[0]

    def many(self, count: int) -> list[str]:
        """Return the next ones, in their canonical text form."""
        ids = []
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond:
                self._millisecond = now
                # The top bit stays free, so that counting up never overflows.
                self._begin(secrets.randbits(73))
            for _ in range(count):
                text = f"{self._random & _LOW_BITS | _VARIANT:016x}"
                ids.append(f"{self._prefix}{text[:4]}-{text[4:]}")
                self._random += 1
                if self._random == self._end:
                    self._begin(self._random)
        return ids

    def _begin(self, random: int) -> None:
        """Make what the ids have in common whose upper twelve random bits are these."""
        self._random = random
        self._end = ((random >> 62) + 1) << 62
        time_text = f"{self._millisecond:012x}"
        self._prefix = f"{time_text[:8]}-{time_text[8:]}-7{random >> 62:03x}-"

    def after_fork(self) -> None:
        """Draw anew in a forked child: it must not count on from its parent's draw."""
        self._lock = threading.Lock()
        self._millisecond = 0


new_id: Final = UuidFactory()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=new_id.after_fork)


def is_id(text: str) -> bool:
    """Return whether `text` is a UUID in canonical form, as event ids are."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
