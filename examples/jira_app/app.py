"""The app, put together."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from hydro_hooks import create_tables
from jira_app import database
from jira_app.models import Base, Installation
from jira_app.pages import pages
from jira_app.stafftools import stafftools
from jira_app.webhooks import webhooks

Verify = Callable[[Installation], int]
"""Calls the customer's Jira with the shared secret; gives the status of its answer."""

Find = Callable[[int], int]
"""Asks GitHub for an installation by its id; gives the status of its answer."""

MAX_BODY = 25 * 1024 * 1024
"""The largest webhook that GitHub sends."""


def create_app(
    engine: Engine, *, verify: Verify, find: Find, github_secret: str, secret_key: str
) -> Flask:
    """Return the app, with its tables and those of hydro_hooks in place.

    Changes are recorded once `track_customers()` has been called.

    Args:
        engine: Of the app's database; see `open_database()`.
        verify: Makes the verification call to a customer's Jira.
        find: Looks an installation up on GitHub.
        github_secret: With which GitHub signs its webhooks.
        secret_key: With which the cookies of logged-in people are signed.

    Raises:
        ValueError: A secret is empty.
    """
    if not github_secret or not secret_key:
        message = "github_secret or secret_key is empty; anybody could sign with that"
        raise ValueError(message)
    Base.metadata.create_all(engine)
    create_tables(engine)
    app = Flask(__name__)
    app.config.update(
        VERIFY=verify,
        FIND=find,
        GITHUB_WEBHOOK_SECRET=github_secret,
        SECRET_KEY=secret_key,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=MAX_BODY,
    )
    database.attach(app, engine)
    for blueprint in (webhooks, stafftools, pages):
        app.register_blueprint(blueprint)
    app.register_error_handler(IntegrityError, _taken)
    return app


def _taken(_error: IntegrityError) -> ResponseReturnValue:
    """Answer who came second, when two create the same row at once."""
    return "somebody else has just made that; try again", 409
