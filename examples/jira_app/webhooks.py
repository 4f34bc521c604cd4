"""What Jira and GitHub tell the app: lifecycle callbacks and the installation webhook.

Each answers 204, also where there was nothing to change.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from hydro_hooks import Reason, because
from jira_app import customers, database
from jira_app.incoming import (
    MAX_NUMBER,
    customer,
    customer_or_none,
    first_or_jira_callback,
    github_sender,
    github_webhook,
    jira_callback,
    jira_user,
    json_text,
    payload,
    requires,
)
from jira_app.models import Installation, Subscription

webhooks = Blueprint("webhooks", __name__)

DONE = ("", HTTPStatus.NO_CONTENT)


@webhooks.post("/jira/events/installed")
@requires(first_or_jira_callback)
@because(Reason.JIRA_WEBHOOK, jira_actor=jira_user)
def installed() -> ResponseReturnValue:
    """Take in a new customer, or the new secret and host of a known one.

    Jira sends `installed` again when the secret is rotated, the site is renamed or
    imported; no `enabled` follows then. As in the deployed app the customer is set
    back to pending all the same, and so is silently cut off.
    """
    known = customer_or_none()
    row = known or Installation(client_key=json_text("clientKey"))
    row.shared_secret = json_text("sharedSecret")
    row.jira_host = json_text("baseUrl")
    row.enabled = False
    database.session().add(row)
    database.session().commit()
    return DONE


@webhooks.post("/jira/events/enabled")
@requires(jira_callback)
@because(Reason.JIRA_WEBHOOK, jira_actor=jira_user)
def enabled() -> ResponseReturnValue:
    """Enable the customer once Jira has accepted a first call of ours."""
    status = current_app.config["VERIFY"](customer())
    customers.settle(database.session(), customer(), status)
    database.session().commit()
    return DONE


@webhooks.post("/jira/events/disabled")
@requires(jira_callback)
@because(Reason.JIRA_WEBHOOK, jira_actor=jira_user)
def disabled() -> ResponseReturnValue:
    """Disable the customer."""
    customer().enabled = False
    database.session().commit()
    return DONE


@webhooks.post("/jira/events/uninstalled")
@requires(jira_callback)
@because(Reason.JIRA_WEBHOOK, jira_actor=jira_user)
def uninstalled() -> ResponseReturnValue:
    """Delete the customer, and each of its subscriptions."""
    customers.uninstall(database.session(), customer())
    database.session().commit()
    return DONE


@webhooks.post("/github/events")
@requires(github_webhook)
@because(Reason.GITHUB_WEBHOOK, github_actor=github_sender)
def github_installation() -> ResponseReturnValue:
    """Follow what a customer does with the app on GitHub.

    The deployed app does not listen to this webhook: suspending the app on GitHub, and
    removing it there, left no trace in it.
    """
    told = payload()
    act = _ACTS.get(str(told.get("action")))
    if request.headers.get("X-GitHub-Event") == "installation" and act:
        for subscription in _subscriptions(told):
            act(subscription)
        database.session().commit()
    return DONE


def _subscriptions(told: dict[str, Any]) -> list[Subscription]:
    """Return every customer's subscription to the GitHub installation told of."""
    about = told.get("installation")
    number = about.get("id") if isinstance(about, dict) else None
    if not isinstance(number, int) or not 0 < number < MAX_NUMBER:
        abort(400, "installation.id is missing")
    statement = select(Subscription).where(
        Subscription.github_installation_id == number
    )
    return list(database.session().scalars(statement))


def _suspend(subscription: Subscription) -> None:
    subscription.active = False


def _unsuspend(subscription: Subscription) -> None:
    subscription.active = True


def _delete(subscription: Subscription) -> None:
    database.session().delete(subscription)


_ACTS: dict[str, Callable[[Subscription], None]] = {
    "suspend": _suspend,
    "unsuspend": _unsuspend,
    "deleted": _delete,
}
