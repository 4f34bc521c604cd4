"""What the pages show of records: an installation's story, and lists of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from hydro_hooks import journal
from hydro_hooks.cause import Reason
from hydro_hooks.event import Event
from hydro_hooks.journal import (
    Answer,
    Bar,
    Companions,
    Filters,
    History,
    Kind,
    Query,
    Record,
    shown_host,
)
from hydro_hooks.story import group_of
from hydro_hooks.transition import Action, State
from hydro_hooks.web import charts

ROWS: Final = 50
"""Events on a page of a list, transactions on a page of a story."""

LISTED: Final = 100
"""Events of one transaction that are listed beside its first."""

BARS: Final = 13
"""State bars that are drawn at most: of the installation, and of what belongs to it."""

LOOKED_BACK: Final = timedelta(days=14)
"""How far back the start page counts."""

NEWEST: Final = 12
"""Installations on the start page that were disabled or destroyed."""

OWN: Final = "installation"

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)

DESTRUCTIVE: Final = (Action.DISABLE, Action.DESTROY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one transaction did, as the timeline tells it.

    Args:
        first: The record that stands for it: of the installation, where it has one.
        others: What else of it is listed here.
        unshown: How many more events it has.
        summary: How all of these are counted, such as `12 subscriptions destroyed`.
    """

    first: Record
    others: tuple[Record, ...]
    unshown: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is told of what a text names.

    Args:
        answer: Why it is as it is, whatever filters the list has.
        asked: The newest that the filters let pass; None where there are none.
        history: All that happened.
        groups: What of it is on this page, by transaction, the newest first.
        hosts: Every host that the answer's row had, the present one first.
        elsewhere: The hosts of what else was found.
        bars: Its states over time.
        bars_left_out: Rows whose states are not drawn.
        older: `seq` that the next page begins below; None on the last.
    """

    answer: Answer | None
    asked: Answer | None
    history: History
    groups: tuple[Group, ...]
    hosts: tuple[str, ...]
    elsewhere: tuple[str, ...]
    bars: charts.Drawing
    bars_left_out: int
    older: int | None


def story_of(
    connection: Connection, query: Query, *, now: datetime, before: int | None
) -> Story | None:
    """Return the story of what a query's text names; None where nothing is held.

    Args:
        connection: That cannot write.
        query: Its text is a host or an id.
        now: The present moment.
        before: Show what lies below this `seq`.

    Raises:
        DatabaseError: The database has no journal.
    """
    unfiltered = Query(text=query.text, kind=query.kind)
    whole = journal.history(connection, unfiltered, actors=False)
    if whole is None:
        return None
    found = journal.history(connection, query) if query.filters else whole
    records = () if found is None else found.records
    newest_first = records[::-1]
    if before is not None:
        numbers = [each.seq for each in newest_first]
        start = numbers.index(before) + 1 if before in numbers else len(numbers)
        newest_first = newest_first[start:]
    shown, older = _page_of(newest_first)
    # Of a transaction not all is known of each row that happened to it.
    is_whole = whole.taken_for is not Kind.TRANSACTION
    bars, left_out = _bars(whole.records if is_whole else (), now)
    answer = journal.why(connection, unfiltered)
    own, other = _hosts(whole.records, None if answer is None else answer.record)
    return Story(
        answer=answer,
        asked=journal.why(connection, query) if query.filters else None,
        history=whole,
        groups=tuple(groups_of(connection, shown)),
        hosts=own,
        elsewhere=other,
        bars=bars,
        bars_left_out=left_out,
        older=older,
    )


def _page_of(records: Sequence[Record]) -> tuple[list[Record], int | None]:
    """Return whole transactions for one page, and the number that it ends with.

    None where nothing is older.
    """
    shown: list[Record] = []
    by_transaction = groupby(records, key=lambda it: it.event.transaction_id or it.seq)
    for number, (_, its) in enumerate(by_transaction):
        if number == ROWS:
            return shown, shown[-1].seq
        shown += its
    return shown, None


def _bars(records: Sequence[Record], now: datetime) -> tuple[charts.Drawing, int]:
    moments = [each.event.occurred_at for each in records]
    first = min(moments, default=now)
    # Room for the time before the first record, of which nothing is known.
    room = max((now - first) / 20, timedelta(minutes=1))
    start = max(first, EARLIEST + room) - room
    bars = journal.bars_of(records, start=start, end=max(now, first))
    bars.sort(key=lambda bar: (bar.association != OWN, _is_gone(bar)))
    drawing = charts.state_bars(bars[:BARS], start=start, end=max(now, first))
    return drawing, max(len(bars) - BARS, 0)


def _is_gone(bar: Bar) -> bool:
    return bool(bar.spans) and bar.spans[-1].state is State.ABSENT


def _hosts(
    records: Sequence[Record], answer: Record | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the hosts of the answer's row, and those of others, the last told first.

    Rows that bear its Jira integration id count as its own.
    """
    own: dict[str, None] = {}
    other: dict[str, None] = {}
    for event in (each.event for each in reversed(records)):
        if event.jira_hostname:
            is_own = answer is None or _is_akin(event, answer.event)
            (own if is_own else other)[shown_host(event.jira_hostname)] = None
    return tuple(own), tuple(host for host in other if host not in own)


def _is_akin(event: Event, other: Event) -> bool:
    if event.jira_integration_id is not None:
        return event.jira_integration_id == other.jira_integration_id
    ids = (event.association, event.subject_id)
    return ids == (other.association, other.subject_id)


def groups_of(connection: Connection, records: Sequence[Record]) -> list[Group]:
    """Return records, the newest first, by transaction.

    Each group says how much its transaction did, also of what is not among the records.
    """
    ids = {each.event.transaction_id for each in records} - {None}
    done = journal.transactions(connection, {each for each in ids if each})
    groups = []
    for transaction, its in groupby(records, key=lambda it: it.event.transaction_id):
        if transaction is None:
            groups += [
                Group(first=each, others=(), unshown=0, summary="") for each in its
            ]
            continue
        first, *rest = sorted(its, key=lambda it: it.event.association != OWN)
        others = rest[:LISTED]
        counts = Counter(
            {(it.association, it.action): it.count for it in done[transaction]}
        )
        counts[first.event.association, first.event.action] -= 1
        told = [
            group_of(Companions(association=association, action=action, count=count))
            for (association, action), count in counts.items()
            if count > 0
        ]
        groups.append(
            Group(
                first=first,
                others=tuple(others),
                unshown=max(counts.total() - len(others), 0),
                summary=" and ".join(told),
            )
        )
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the start page shows: of the last days, and the newest that was lost.

    Args:
        destructive: Installations disabled or destroyed, the newest first, with what
            else went in their transactions.
        days: Counts a day by action.
        reasons: Counts by reason, the most frequent first.
        unattributed: How many events bear none.
        total: How many there were.
        since: Since when all of this is counted.
    """

    destructive: tuple[Group, ...]
    days: charts.Drawing
    reasons: tuple[tuple[str, int], ...]
    unattributed: int
    total: int
    since: datetime


def overview(connection: Connection, *, now: datetime) -> Overview:
    """Return what the start page shows.

    Raises:
        DatabaseError: The database has no journal.
    """
    first = (now - LOOKED_BACK + timedelta(days=1)).date()
    since = now.replace(
        year=first.year,
        month=first.month,
        day=first.day,
        hour=0,
        minute=0,
        second=0,
        microsecond=0,
    )
    counted = journal.counts(connection, Filters(since=since))
    reasons: Counter[str] = Counter()
    for each in counted:
        reasons[each.reason] += each.count
    # One transaction may destroy more subscriptions than there is room for.
    destructive = Query(filters=Filters(actions=DESTRUCTIVE, association=OWN))
    records = journal.newest(connection, destructive, limit=NEWEST)
    return Overview(
        destructive=tuple(groups_of(connection, records)),
        days=charts.days(counted, first=first, last=now.date()),
        reasons=tuple(reasons.most_common()),
        unattributed=reasons[Reason.UNATTRIBUTED.value],
        total=sum(reasons.values()),
        since=since,
    )
