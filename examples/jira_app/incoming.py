"""Who is calling, and what they sent: checked before a handler runs.

    @requires(staff_login)
    @because(Reason.STAFFTOOLS_API, github_actor=staff_login)
    def uninstall(...): ...

Jira and GitHub sign what they send. A person has a cookie, signed with the app's key;
the OAuth callbacks, which this example leaves out, put into it who has logged in:

    session["github"] = {"login": "octocat", "installations": [4711]}
    session["staff"] = "hubot"
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jwt
from flask import abort, current_app, g, request, session
from flask.typing import ResponseReturnValue

from jira_app import database, security
from jira_app.customers import by_client_key
from jira_app.models import MAX_TEXT, Installation

MAX_NUMBER = 2**53
"""Beyond it, JSON numbers are not exact."""

Handler = TypeVar("Handler", bound=Callable[..., ResponseReturnValue])


def requires(*checks: Callable[[], object]) -> Callable[[Handler], Handler]:
    """Return a decorator that makes checks before a handler; each may abort()."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def checked(*args: Any, **kwargs: Any) -> ResponseReturnValue:
            for check in checks:
                check()
            return handler(*args, **kwargs)

        return checked  # type: ignore[return-value] # wraps() keeps the signature

    return decorate


# Jira.


def jira_callback() -> None:
    """Let Jira's callbacks for a known customer pass."""
    _admit(_hash_of_request())
    if json_text("clientKey") != customer().client_key:
        abort(401, "the callback is about another customer than its token")


def first_or_jira_callback() -> None:
    """Let also the first callback for a customer pass, which nobody can have signed.

    Jira makes the shared secret with it. Once there is one, Jira signs a later
    `installed` with the secret of before, so that nobody else can take the row over.
    """
    if by_client_key(database.session(), json_text("clientKey")):
        jira_callback()
    else:
        g.customer = g.jira_user = None


def jira_page() -> None:
    """Let a person pass who comes from the app's page in Jira."""
    _admit(security.PAGE)


def jira_frame() -> None:
    """Let Jira pass where it loads a page of the app for a person.

    Its token is in the address, and is good for this one address.
    """
    _admit(_hash_of_request())


def customer() -> Installation:
    """Return the customer in whose name Jira calls."""
    found: Installation = g.customer
    return found


def customer_or_none() -> Installation | None:
    """Return the customer in whose name Jira calls; None before its first callback."""
    found: Installation | None = g.customer
    return found


def jira_user() -> str | None:
    """Return the Jira user's account id, where Jira's token names one."""
    account: str | None = g.jira_user
    return account


def _admit(request_hash: str) -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind != "JWT":
        token = request.values.get("jwt", "")
    try:
        found = by_client_key(database.session(), security.client_key_in(token))
        if found is None:
            abort(401, "the token is from no customer of ours")
        g.jira_user = security.account_of(
            token, secret=found.shared_secret, request_hash=request_hash
        )
    except jwt.InvalidTokenError as error:
        abort(401, f"not signed by Jira: {error}")
    g.customer = found


def _hash_of_request() -> str:
    return security.hash_of(request.method, request.path, request.args.lists())


# GitHub, and people.


def github_webhook() -> None:
    """Let what GitHub has signed pass."""
    secret = current_app.config["GITHUB_WEBHOOK_SECRET"]
    signature = request.headers.get("X-Hub-Signature-256", "")
    if not security.is_from_github(request.get_data(), signature, secret):
        abort(401, "not signed by GitHub")


def github_sender() -> str:
    """Return the login of the person whose deed GitHub tells of."""
    login: str = payload()["sender"]["login"]
    return login


def github_login() -> str:
    """Return who is logged in with GitHub; nobody: 401."""
    return str(_logged_in()["login"])


def administered_installation() -> int:
    """Return which GitHub installation the form names; not the user's own: 403."""
    number = form_number("github_installation_id")
    if number not in _logged_in()["installations"]:
        abort(403, "that GitHub installation is not yours")
    return number


def staff_login() -> str:
    """Return which member of staff is logged in; nobody: 401."""
    login: str = session.get("staff") or abort(401, "log in as staff")
    return login


def _logged_in() -> Mapping[str, Any]:
    known: Mapping[str, Any] = session.get("github") or abort(401, "log in with GitHub")
    return known


# What they sent.


def payload() -> dict[str, Any]:
    """Return the body, a JSON object; anything else: 400."""
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400, "the body is not a JSON object")
    return body


def json_text(name: str) -> str:
    """Return a property of the body that the database can keep; else: 400."""
    return _text(name, payload().get(name))


def form_text(name: str) -> str:
    """Return a field of the form that the database can keep; else: 400."""
    return _text(name, request.form.get(name))


def form_number(name: str) -> int:
    """Return a field of the form that is a positive number; else: 400."""
    text = form_text(name)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < MAX_NUMBER):
        abort(400, f"{name} is not a number")
    return int(text)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        abort(400, f"{name} is missing, or is not text")
    if len(value) > MAX_TEXT:
        abort(400, f"{name} has more than {MAX_TEXT} characters")
    return value
