"""Whether what was committed is what was received: by the ids, and by the tables.

What the database holds is taken for what was committed, wherever an event is by now;
what the receiver noted for what was delivered. A journal row alone is no delivery.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from faults.receiver import Delivery
from sqlalchemy import Engine, select
from tracked_models import Installation, Subscription

from hydro_hooks import tables

ABSENT: Final = "absent"
PLACES: Final = (tables.outbox, tables.rejected, tables.journal)
"""In the order in which an event goes, so that one that moves meanwhile is seen."""
TRACKED: Final = ("installation", "subscription")
"""The associations of the tables that apps change."""

Subject = tuple[str, str]
"""Association and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An event that the database holds.

    Args:
        seq: Its number, which per subject follows the commits.
        id: The event's.
        value: Its payload.
        is_rejected: Whether it was set aside as refused for good.
    """

    seq: int
    id: str
    value: Mapping[str, Any]
    is_rejected: bool

    @property
    def subject(self) -> Subject:
        return self.value["association"], self.value["subjectId"]

    @property
    def told(self) -> str:
        kind = f"{self.value['association']}.{self.value['action']}"
        return f"{kind} {self.value['subjectId']} (seq {self.seq}, {self.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What came of a run, told of each event that is not as it has to be.

    Args:
        committed: How many events were.
        delivered: How many of them were accepted at least once.
        rejected: How many were set aside.
        repeats: Deliveries beyond the first of an event; they do no harm.
        lost: Committed, and neither accepted nor set aside; or changed without an
            event.
        invented: Accepted, and not committed as it came.
        out_of_order: First accepted after a later event of its subject.
        duplicates: The same fact under two ids.
    """

    committed: int
    delivered: int
    rejected: int
    repeats: int
    lost: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    out_of_order: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()

    @property
    def flaws(self) -> list[str]:
        """All that must not be, in words."""
        return [
            f"{name}: {what}"
            for name, found in (
                ("lost", self.lost),
                ("invented", self.invented),
                ("out of order", self.out_of_order),
                ("duplicate", self.duplicates),
            )
            for what in found
        ]


def committed_in(engine: Engine) -> dict[str, Committed]:
    """Return all events that the database holds, by id, in the order of `seq`."""
    found: dict[str, Committed] = {}
    with engine.connect() as connection:
        for table in PLACES:
            rows = connection.execute(select(table.c.seq, table.c.id, table.c.payload))
            for seq, id_, payload in rows:
                found[id_] = Committed(
                    seq=seq,
                    id=id_,
                    value=json.loads(payload),
                    is_rejected=table is tables.rejected,
                )
    return dict(sorted(found.items(), key=lambda item: item[1].seq))


def rows_of_apps(engine: Engine) -> dict[Subject, str]:
    """Return the state of each row of the tracked tables."""
    with engine.connect() as connection:
        installations = connection.execute(
            select(Installation.id, Installation.enabled)
        )
        states: dict[Subject, str] = {
            ("installation", str(key)): "enabled" if is_enabled else "disabled"
            for key, is_enabled in installations
        }
        for key in connection.scalars(select(Subscription.id)):
            states["subscription", str(key)] = "enabled"
    return states


def check(
    committed: Mapping[str, Committed],
    deliveries: Sequence[Delivery],
    *,
    reported: Iterable[str],
    rows: Mapping[Subject, str],
) -> Findings:
    """Compare what was committed with what was received.

    Args:
        committed: What the database holds, by id, in the order of `seq`.
        deliveries: What the receiver accepted, in order.
        reported: Ids that writers have seen committed.
        rows: The rows of the tracked tables: the events of these, replayed, have to
            give exactly them.
    """
    received = Counter(delivery.id for delivery in deliveries)
    rejected = {id_ for id_, event in committed.items() if event.is_rejected}
    of_rows = [event for event in committed.values() if event.subject[0] in TRACKED]
    gone, doubled = _replay(of_rows, rows)
    missing = [
        event.told
        for id_, event in committed.items()
        if id_ not in received and id_ not in rejected
    ]
    missing += [
        f"{id_} was reported as committed"
        for id_ in sorted(set(reported) - committed.keys())
    ]
    return Findings(
        committed=len(committed),
        delivered=len(committed.keys() & received.keys()),
        rejected=len(rejected),
        repeats=received.total() - len(received),
        lost=(*missing, *gone),
        invented=tuple(_invented(committed, deliveries)),
        out_of_order=tuple(_out_of_order(committed, deliveries)),
        duplicates=(*_duplicates(committed.values()), *doubled),
    )


def _invented(
    committed: Mapping[str, Committed], deliveries: Iterable[Delivery]
) -> list[str]:
    return [
        f"{delivery.id}: {delivery.value}"
        for delivery in deliveries
        if delivery.id not in committed
        or committed[delivery.id].value != delivery.value
    ]


def _out_of_order(
    committed: Mapping[str, Committed], deliveries: Iterable[Delivery]
) -> list[str]:
    latest: dict[Subject, Committed] = {}
    seen: set[str] = set()
    found = []
    for delivery in deliveries:
        event = committed.get(delivery.id)
        if event is None or event.id in seen:
            continue
        seen.add(event.id)
        before = latest.setdefault(event.subject, event)
        if before.seq > event.seq:
            found.append(f"{event.told} after {before.told}")
        else:
            latest[event.subject] = event
    return found


def _duplicates(events: Collection[Committed]) -> list[str]:
    """Return the facts that stand under several ids: all but the id is the same."""
    by_fact: defaultdict[str, list[Committed]] = defaultdict(list)
    for event in events:
        fact = {**event.value, "eventId": None}
        by_fact[json.dumps(fact, sort_keys=True)].append(event)
    return [
        f"{later.told} is {first.told}"
        for first, *others in by_fact.values()
        for later in others
    ]


def _replay(
    events: Iterable[Committed], rows: Mapping[Subject, str]
) -> tuple[list[str], list[str]]:
    """Return what is lacking between the events and the rows, and what came twice."""
    states: dict[Subject, str] = {}
    lacking, doubled = [], []
    for event in events:
        before = states.get(event.subject, ABSENT)
        after = event.value["state"]
        if before == after:
            doubled.append(f"{event.told}: it was {before} already")
        elif (before == ABSENT) != (event.value["action"] == "create"):
            lacking.append(f"what came before {event.told}: it was {before}")
        states[event.subject] = after
    lacking += [
        f"{subject}: the events say {states.get(subject, ABSENT)}, the table {state}"
        for subject in sorted(states.keys() | rows.keys())
        if states.get(subject, ABSENT) != (state := rows.get(subject, ABSENT))
    ]
    return lacking, doubled
