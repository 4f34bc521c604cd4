"""What was found of one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How it stands with a thing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of a thing.

    Args:
        outcome: How it stands.
        text: What was found, and where it failed what to do.
    """

    outcome: Outcome
    text: str


def passed(text: str) -> Finding:
    """Return that a thing is as it should be."""
    return Finding(outcome=Outcome.OK, text=text)


def warned(text: str) -> Finding:
    """Return that a thing works, and is worth a look."""
    return Finding(outcome=Outcome.WARNING, text=text)


def failed(text: str) -> Finding:
    """Return that a thing is not as it should be, and what to do."""
    return Finding(outcome=Outcome.FAILED, text=text)


def not_checked(text: str) -> Finding:
    """Return that a thing was not looked at, and why."""
    return Finding(outcome=Outcome.NOT_CHECKED, text=text)
