"""Who may see the pages: whoever is at this machine, or has the token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeAlias

from flask import request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.journal import host_in
from hydro_hooks.settings import is_loopback

Guard: TypeAlias = Callable[[], None]
"""Called before each page; raises what the browser gets instead."""

MIN_TOKEN = 16
"""Letters that a token has at least."""


def only_from_here() -> None:
    """Let requests pass that come from this machine, and are meant for it.

    The name that was asked for counts too: a page from elsewhere may have its own name
    resolved to this machine, and read what a browser on it sees (DNS rebinding).

    Raises:
        werkzeug.exceptions.Forbidden: Another one.
    """
    name = _name(request.host)
    if is_loopback(name) and is_loopback(request.remote_addr or ""):
        return
    message = "these pages are for this machine alone; a token opens them to others"
    raise Forbidden(message)


def with_token(token: str) -> Guard:
    """Return what lets requests pass that know a token.

    As the password of Basic authentication, with any user name: a browser asks for it.

    Args:
        token: At least `MIN_TOKEN` letters.

    Raises:
        ConfigurationError: It is shorter.
    """
    if len(token) < MIN_TOKEN:
        message = (
            f"the pages' token has {len(token)} letters; give at least {MIN_TOKEN}, as"
            " of: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
        raise ConfigurationError(message)

    def guard() -> None:
        try:
            given = request.authorization
        except ValueError:  # its base64 has letters that are none
            given = None
        told = (given.password or given.token or "") if given is not None else ""
        if not hmac.compare_digest(told.encode(), token.encode()):
            message = "the pages' token is wanted, as the password"
            realm = WWWAuthenticate("basic", {"realm": "hydro_hooks"})
            raise Unauthorized(message, www_authenticate=realm)

    return guard


def _name(place: str) -> str:
    """Return the name or address in `name:port`."""
    host = host_in(place)
    return host.partition("]")[0].lstrip("[") if "[" in host else host.partition(":")[0]
