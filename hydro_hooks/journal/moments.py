"""Dates as people write them: a day, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_AT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[T ]\d{2}:\d{2}(?P<second>:\d{2}(?P<fraction>\.\d+)?)?"
    r"(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_AGE: Final = re.compile(r"(?P<count>\d{1,5})\s*(?P<unit>[smhdw])")
_UNITS: Final = {
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}


def age_in(text: str) -> timedelta:
    """Return how long `90s`, `30m`, `12h`, `7d` or `2w` is.

    Raises:
        ValueError: It is no span of time.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        message = (
            f"{text!r} is no span of time; give one such as 90s, 30m, 12h, 7d or 2w"
        )
        raise ValueError(message)
    return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})


def span_in(text: str, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last moment, in UTC, that a text stands for.

    Args:
        text: `2026-03-05`, `yesterday` (a whole day, UTC), `2026-03-05 14:30` (a whole
            minute), `2026-03-05T14:30:07+02:00`; or `90d`: the moment so long ago.
        now: The present moment, aware.

    Raises:
        ValueError: It is none, or outside the years 1 to 9999.
    """
    text = text.strip().removesuffix(" UTC")
    try:
        return _span(text, now.astimezone(UTC))
    except (ValueError, OverflowError):
        message = (
            f"{text!r} is not a date; give one such as 2026-03-05 or"
            " 2026-03-05T14:30:00Z (UTC unless it says otherwise), yesterday, or 90d"
            " for so long ago"
        )
        raise ValueError(message) from None


def _span(text: str, now: datetime) -> tuple[datetime, datetime]:
    if _AGE.fullmatch(text):
        moment = now - age_in(text)
        return moment, moment
    if text in _DAYS_AGO:
        text = (now - timedelta(days=_DAYS_AGO[text])).date().isoformat()
    match = _AT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    first = datetime.fromisoformat(text)
    last = first
    if len(text) == len("2026-03-05"):
        last = first.replace(hour=23, minute=59)
    if match["second"] is None:
        last = last.replace(second=59)
    if match["fraction"] is None:
        last = last.replace(microsecond=999_999)
    return _in_utc(first), _in_utc(last)


def _in_utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
