"""Pages as they leave: their headers and letters, and those that tell of problems."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any, Final

from flask import Response, render_template, request

from hydro_hooks.errors import ConfigurationError

logger = logging.getLogger(__name__)

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every page."""

_UNSEEN: Final = re.compile(
    r"[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Letters without a shape of their own, and those that change the direction."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def rendered(template: str, **values: Any) -> str:
    """Return a page in which every letter is seen where it stands.

    Names and notes are other people's text: letters that turn the direction of what
    follows, or have no width, are told by their number. The templates have none.

    Args:
        template: Its name.
        values: Any: whatever it shows.
    """
    text = render_template(f"hydro_hooks/{template}", **{"line": "", **values})
    return text if text.isascii() else _UNSEEN.sub(_told, text)


def _told(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def with_headers(response: Response) -> Response:
    """Return a response with the headers of every page."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def bad_query(error: ConfigurationError) -> tuple[str, int]:
    """Return the page for a question that cannot be asked."""
    told = rendered(
        "problem.html",
        title="That cannot be asked",
        problem=str(error),
        line=request.args.get("q", ""),
    )
    return told, HTTPStatus.BAD_REQUEST


def no_such_page(path: str) -> tuple[str, int]:
    """Return the page for an address that leads nowhere."""
    told = rendered(
        "problem.html",
        title="There is no such page",
        problem=f"/{path} leads nowhere; the search finds hosts, ids and actors.",
    )
    return told, HTTPStatus.NOT_FOUND


def unavailable(error: Exception) -> tuple[str, int]:
    """Return the page for a database that cannot be read."""
    # Its text is left out of what is logged: a database quotes the values it refuses.
    logger.error("the journal cannot be read: %s", type(error).__name__)
    problem = "The database does not answer, or has no journal; hydro-hooks doctor says"
    told = rendered(
        "problem.html",
        title="The journal cannot be read",
        problem=f"{problem} more.",
        line="",
    )
    return told, HTTPStatus.SERVICE_UNAVAILABLE
