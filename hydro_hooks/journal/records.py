"""What a search gives: records, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from hydro_hooks.event import Event
from hydro_hooks.transition import Action


class Place(StrEnum):
    """Where an event is now."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    RECEIVED = "received"
    REJECTED = "rejected"


class Kind(StrEnum):
    """What a text was taken for."""

    HOST = "host"
    JIRA = "jira"
    GITHUB = "github"
    EVENT = "event"
    TRANSACTION = "transaction"
    ACTOR = "actor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event, and what became of it.

    Args:
        event: What happened.
        seq: Its number: by commit per subject (app), by arrival (gateway).
        place: Where it is now.
        settled_at: When it was delivered, received or rejected; None while it waits.
        settled_by: The relay that delivered it, or the app that sent it.
        schema: The schema it was sent in; None while it waits.
        attempts: Times it was sent, where that is known.
        request_id: Of the request that brought it, at a gateway.
        payload: Its value as JSON text, as recorded or received.
        error: Why it was rejected.
    """

    event: Event
    seq: int
    place: Place
    settled_at: datetime | None
    settled_by: str | None
    schema: str | None
    attempts: int | None
    request_id: str | None
    payload: str = field(repr=False)
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """Events of one kind that happened in the same transaction."""

    association: str
    action: Action
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why an installation (where there is none: another row) is as it is.

    Args:
        taken_for: What the text was taken for.
        also: What else it could stand for here.
        record: The transition that made the state; None where all of them came after
            the moment asked for.
        before: The transition before it.
        after: The transition after it.
        companions: What else happened in its transaction.
        others: The transitions that made the states of other installations which the
            text stands for and which are there, the newest first.
        more: How many more of these there are.
        is_present: Nothing came after it: what it made is so still.
    """

    taken_for: Kind
    also: tuple[Kind, ...]
    record: Record | None
    before: Record | None
    after: Record | None
    companions: tuple[Companions, ...]
    others: tuple[Record, ...]
    more: int
    is_present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The newest records of what was asked for, in the order of their commits.

    Args:
        taken_for: What the text was taken for; None where there was none.
        also: What else it could stand for here.
        records: At most as many as were wanted.
        older: How many more there are; None: some, and nobody has counted them.
    """

    taken_for: Kind | None
    also: tuple[Kind, ...]
    records: tuple[Record, ...]
    older: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unattributed:
    """A place in the program that changed rows without a reason.

    Args:
        origin: Where; None: it is not known.
        count: How often.
        first_at: When it did first, UTC.
        last_at: When it did last.
    """

    origin: str | None
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """How many events of one kind occurred on a day, UTC."""

    day: date
    action: Action
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a database can know of.

    Args:
        earliest: When the oldest event held happened; None: none is held.
        newest: When the newest did.
        waiting: Events not delivered yet; None at a gateway, which cannot know.
        oldest_waiting: When the first of these happened.
        rejected: Events that will not be tried again; None at a gateway.
    """

    earliest: datetime | None
    newest: datetime | None
    waiting: int | None
    oldest_waiting: datetime | None
    rejected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A request as a gateway received it, byte for byte."""

    received_at: datetime
    app: str
    authorization: str = field(repr=False)
    body: bytes = field(repr=False)
