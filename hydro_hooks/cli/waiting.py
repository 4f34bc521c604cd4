"""Why events wait, in words: for who runs a relay and finds them undelivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from hydro_hooks.claims import Wait

ALMOST_A_SECOND = timedelta(microseconds=999_999)


def waiting_lines(waits: Iterable[Wait]) -> Iterator[str]:
    """Yield a line for each cause: how many wait, until when and why."""
    counts: Counter[str] = Counter()
    until: dict[str, datetime] = {}
    for wait in waits:
        why, moment = _why(wait)
        counts[why] += wait.count
        if moment is not None:
            until[why] = max(moment, until.get(why, moment))
    for why, count in counts.items():
        verb = "waits" if count == 1 else "wait"
        when = f" until {_clock_time(until[why])}" if why in until else ""
        yield f"{count} {verb}{when}: {why}"


def _why(wait: Wait) -> tuple[str, datetime | None]:
    if wait.leased_until is not None:
        return "another relay holds the lease", wait.leased_until
    if wait.not_before is not None:
        return wait.fault or "the last try failed", wait.not_before
    if wait.fault is not None:
        return f"{wait.fault}; they may be tried again now", None
    return "nothing holds them back; run a relay", None


def _clock_time(moment: datetime) -> str:
    # Up to the next second: who comes back then is not too early.
    return (moment + ALMOST_A_SECOND).astimezone(UTC).strftime("%H:%M:%S UTC")
