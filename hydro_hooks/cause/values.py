"""Reasons and causes, and what may be one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from hydro_hooks.errors import with_article

MAX_REASON: Final = 200
MAX_NOTE: Final = 2000
MAX_ACTOR: Final = 255


class Reason(StrEnum):
    """The reasons of the decision record; any other short text is accepted too."""

    STAFFTOOLS_API = "stafftools-api"
    JIRA_WEBHOOK = "jira webhook"
    WEB_INTERACTION = "web interaction"
    GITHUB_WEBHOOK = "github webhook"
    UNATTRIBUTED = "unattributed"


class Inherit(Enum):
    """The type of `INHERIT`: take the value of the surrounding block."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return self.name


INHERIT: Final = Inherit.INHERIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a change was made, and by whom.

    Args:
        reason: 1 to 200 characters, such as a `Reason`.
        github_actor: A GitHub login, or a numeric GitHub user id.
        jira_actor: An Atlassian account id.
        note: Up to 2,000 characters of free text, such as a ticket number.
    """

    reason: str = Reason.UNATTRIBUTED.value
    github_actor: int | str | None = None
    jira_actor: str | None = None
    note: str | None = None


UNATTRIBUTED: Final = Cause()


def checked(name: str, value: Any) -> Any:
    """Return an argument of `because()` as a cause keeps it, or raise.

    Args:
        name: `reason`, `github_actor`, `jira_actor` or `note`.
        value: What was given; None is accepted and returned. A login's leading `@`,
            which is how people write it, is taken off.

    Raises:
        ValueError: Empty, too long, NUL, a lone surrogate, or an id below 1.
        TypeError: Neither text nor, for `github_actor`, an integer.
    """
    if value is None:
        return None
    if name == "github_actor" and isinstance(value, int) and type(value) is not bool:
        if value < 1:
            message = (
                f"because(): github_actor is {value}; a GitHub user id is positive"
            )
            raise ValueError(message)
        return int(value)
    if not isinstance(value, str):
        wanted = "a login or a numeric id" if name == "github_actor" else "text"
        message = (
            f"because(): {name} is {with_article(type(value).__name__)}; give {wanted}"
        )
        if isinstance(value, Enum):
            message += f" (give {type(value).__name__}.{value.name}.value)"
        raise TypeError(message)
    text = str.__str__(value)  # of a member of an enum of text, its value
    if name == "github_actor":
        text = text.removeprefix("@")
    limit = {"reason": MAX_REASON, "note": MAX_NOTE}.get(name, MAX_ACTOR)
    return _checked_text(name, text, limit)


def _checked_text(name: str, text: str, limit: int) -> str:
    problem = None
    if not text.strip():
        problem = "is empty; give some text, or None to clear it"
    elif len(text) > limit:
        problem = f"has {len(text):,} characters; at most {limit:,} are kept"
    elif "\0" in text:
        problem = "holds a NUL character, which databases refuse; take it out"
    elif not _is_unicode(text):
        problem = "holds a lone surrogate, which is not text; decode it properly"
    if problem:
        message = f"because(): {name} {problem}"
        raise ValueError(message)
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
