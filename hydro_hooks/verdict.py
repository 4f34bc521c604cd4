"""What an answer of the gateway means for each event of a request, and when to go on.

Pure: no socket, no clock, no database. An event counts as delivered only where the
gateway says so, and as rejected only where it refused that very event for good; in
every other case it stays in the outbox and is sent again with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final

from hydro_hooks.event import storable

MAX_DELAY: Final = timedelta(seconds=300)
"""The longest pause between tries, and the pause after a configuration fault."""

MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""The most that a gateway's `Retry-After` is believed."""

MAX_REJECTED_IN_A_ROW: Final = 20
"""Events refused for good without one success before it is taken for our own fault."""

MAX_ERROR: Final = 2000
"""Characters kept of what the gateway says of an event."""

_PASSING: Final = frozenset({408, 425, 429})
_REMEDIES: Final = {
    400: "it does not know the sending app: check HYDRO_APP",
    401: "it refuses the signature: check HYDRO_APP_SECRET",
    403: "it refuses the signature, or something in front of it does: check"
    " HYDRO_APP_SECRET and HYDRO_BASE_URL",
    404: "it does not know the schema or the path: check HYDRO_SCHEMA and"
    " HYDRO_BASE_URL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for a request.

    Args:
        status: The HTTP status.
        headers: By name, looked up without regard to case where the sink can.
        body: Its first part, as far as the sink reads.
        hidden: What is never kept of it: the secrets, and how the request was signed.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why there is no answer; the events may have been accepted nevertheless.

    Args:
        problem: For the log; without secrets, headers or payload.
        is_passing: Trying again may help by itself; else somebody has to act.
    """

    problem: str
    is_passing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a sink says of each event of a batch, by their index in it.

    Args:
        delivered: Those that it has accepted.
        rejected: Those that it refused for good, and why.
        problem: Why the others are kept, for the log.
    """

    delivered: tuple[int, ...]
    rejected: tuple[tuple[int, str], ...] = ()
    problem: str = ""


class Kind(Enum):
    """What is to be done with the events of a request."""

    SETTLED = "each event has its own verdict"
    RETRY = "a passing fault: send all again"
    HOLD = "a configuration fault: keep all, say it loudly, try again slowly"
    SPLIT = "send fewer at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer means for the events of a request, by their index in it.

    Args:
        kind: What to do. An event that is neither delivered nor rejected stays.
        delivered: Indexes of the events that the gateway has accepted.
        rejected: Index and reason of those that it refused for good.
        problem: For the log; without what the gateway wrote.
        retry_after: The pause that the gateway asks for.
    """

    kind: Kind
    delivered: tuple[int, ...] = ()
    rejected: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    retry_after: timedelta | None = None


def judge(reply: Answer | Receipt | Fault, *, size: int, now: datetime) -> Verdict:
    """Return what a reply means for the events of the request.

    Args:
        reply: What the sink returned.
        size: How many events the request carried, from 1.
        now: UTC; a `Retry-After` may be a date.
    """
    if isinstance(reply, Fault):
        kind = Kind.RETRY if reply.is_passing else Kind.HOLD
        return Verdict(kind=kind, problem=reply.problem)
    if isinstance(reply, Receipt):
        return Verdict(
            kind=Kind.SETTLED,
            delivered=reply.delivered,
            rejected=reply.rejected,
            problem=reply.problem,
        )
    if reply.status == 200:  # noqa: PLR2004 - the protocol's number
        return Verdict(kind=Kind.SETTLED, delivered=tuple(range(size)))
    verdict = _judge_status(reply, size)
    return replace(verdict, retry_after=retry_after(reply.headers, now=now))


def _judge_status(answer: Answer, size: int) -> Verdict:
    status = answer.status
    if status == 422:  # noqa: PLR2004 - as above
        return _judge_failures(answer, size)
    if status == 413:  # noqa: PLR2004 - as above
        return _split(size, "is larger than the gateway takes (413)")
    if status in _PASSING or status // 100 == 5:  # noqa: PLR2004 - as above
        return Verdict(kind=Kind.RETRY, problem=f"the gateway answered {status}")
    if status // 100 == 3:  # noqa: PLR2004 - as above
        remedy = "redirects are never followed: set HYDRO_BASE_URL to the final URL"
    else:
        remedy = _REMEDIES.get(
            status, "no gateway answers so: check HYDRO_BASE_URL and what is before it"
        )
    return Verdict(kind=Kind.HOLD, problem=f"the gateway answered {status}; {remedy}")


def _split(size: int, problem: str) -> Verdict:
    """Return: halve the batch; of a single event, that it is the one at fault."""
    if size == 1:
        return Verdict(kind=Kind.SETTLED, rejected=((0, f"the event {problem}"),))
    return Verdict(kind=Kind.SPLIT, problem=f"the request {problem}")


def _judge_failures(answer: Answer, size: int) -> Verdict:
    failures = _parse_failures(answer, size)
    if failures is None:
        return _split(size, "was refused (422), and the answer does not say why")
    rejected = tuple(
        (index, error) for index, error in failures.items() if error is not None
    )
    retried = len(failures) - len(rejected)
    return Verdict(
        kind=Kind.SETTLED,
        # The protocol: events that `failures` does not name were accepted.
        delivered=tuple(index for index in range(size) if index not in failures),
        rejected=rejected,
        problem=f"the gateway could not take {retried} of them" if retried else "",
    )


def _parse_failures(answer: Answer, size: int) -> dict[int, str | None] | None:
    """Return the error of each index that failed: None where it may be retried.

    Returns:
        None when the body cannot be trusted to name each failed event of the request:
        then no event of it may be taken for delivered.
    """
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):  # the latter: nested beyond reason
        return None
    entries = document.get("failures") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        return None
    count = document.get("count")
    if type(count) is int and count > len(entries):
        return None  # a list cut short: some event not named may have failed too
    failures: dict[int, str | None] = {}
    for entry in entries:
        if not _is_failure(entry, size):
            return None
        index = entry["index"]
        error = _kept(str(entry.get("error") or "no reason given"), answer.hidden)
        # Named twice: it is refused for good only if both say so.
        is_retried = entry["retriable"] or failures.get(index, "") is None
        failures[index] = None if is_retried else error
    return failures


def _kept(error: str, hidden: Iterable[str]) -> str:
    """Return what is kept of the gateway's words: it may quote how it was addressed."""
    for word in hidden:
        if word:
            error = error.replace(word, "***")
    return storable(error, MAX_ERROR)


def _is_failure(entry: Any, size: int) -> bool:
    return (
        isinstance(entry, dict)
        and type(entry.get("index")) is int
        and 0 <= entry["index"] < size
        and type(entry.get("retriable")) is bool
    )


def restrain(verdict: Verdict, *, rejections: int, earlier: int) -> Verdict:
    """Return the verdict, or a configuration fault in its place.

    A gateway that refuses one event after the other for good is more likely wrong, or
    wrongly told, than every event is: from then on all are kept.

    Args:
        verdict: On the latest batch.
        rejections: Events of it to reject, by the gateway or by the schema.
        earlier: Events rejected before it, since the last one delivered.
    """
    is_suspicious = rejections > 0 and rejections + earlier > MAX_REJECTED_IN_A_ROW
    if verdict.delivered or not is_suspicious:
        return verdict
    problem = (
        f"more than {MAX_REJECTED_IN_A_ROW} events in a row were refused for good; none"
        " is set aside any more: check HYDRO_SCHEMA and the gateway"
    )
    return Verdict(kind=Kind.HOLD, problem=problem, retry_after=verdict.retry_after)


def retry_delay(
    attempts: int,
    *,
    random: Callable[[float, float], float],
    retry_after: timedelta | None = None,
) -> timedelta:
    """Return how long to wait before delivering again.

    Args:
        attempts: Tries that failed so far, from 1.
        random: Draws evenly between two numbers, as `random.uniform` does.
        retry_after: What the gateway asked for; it wins when it is longer.

    Returns:
        1 s up to 2, 4, 8, ... 300 s, drawn at random over the whole range (full
        jitter), so that relays that failed together do not come back together.

    Raises:
        ValueError: `attempts` is below 1.
    """
    if attempts < 1:
        message = f"attempts is {attempts}; it counts from 1"
        raise ValueError(message)
    # Beyond 2**9 the ceiling is reached; a huge power would be slow to compute.
    ceiling = min(MAX_DELAY.total_seconds(), 2.0 ** min(attempts, 9))
    delay = timedelta(seconds=random(1.0, ceiling))
    return max(delay, retry_after or delay)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """Return the pause that `Retry-After` asks for, at most `MAX_RETRY_AFTER`.

    Args:
        headers: Of the answer.
        now: UTC.

    Returns:
        None where the header is missing, in the past, or neither seconds nor a date.

    Source: RFC 9110, section 10.2.3.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        if text.isascii() and text.isdigit():
            seconds = float(int(text[:9]))
        else:
            moment = parsedate_to_datetime(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (aware - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # garbage: our own back-off serves
    if seconds <= 0:
        return None
    return timedelta(seconds=min(seconds, MAX_RETRY_AFTER.total_seconds()))
