"""What a person does on the app's pages, inside Jira or on GitHub."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, abort, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from hydro_hooks import Reason, because
from jira_app import database
from jira_app.incoming import (
    administered_installation,
    customer,
    form_number,
    form_text,
    github_login,
    jira_frame,
    jira_page,
    jira_user,
    requires,
)
from jira_app.models import Subscription

pages = Blueprint("pages", __name__)


@pages.post("/github/configuration")
@requires(github_login, administered_installation, jira_page)
@because(Reason.WEB_INTERACTION, github_actor=github_login, jira_actor=jira_user)
def connect() -> ResponseReturnValue:
    """Connect a GitHub installation to the customer, unless it is connected already."""
    number = administered_installation()
    statement = select(Subscription).where(
        Subscription.github_installation_id == number,
        Subscription.jira_client_key == customer().client_key,
    )
    if database.session().scalars(statement).first():
        return "connected already", HTTPStatus.OK
    database.session().add(
        Subscription(
            github_installation_id=number,
            jira_host=customer().jira_host,
            jira_client_key=customer().client_key,
        )
    )
    database.session().commit()
    return "connected", HTTPStatus.CREATED


@pages.post("/github/subscription/delete")
@requires(github_login, administered_installation)
@because(Reason.WEB_INTERACTION, github_actor=github_login)
def delete_from_github() -> ResponseReturnValue:
    """Delete a subscription, asked for by who looks after it on GitHub."""
    statement = select(Subscription).where(
        Subscription.github_installation_id == administered_installation(),
        Subscription.jira_host == form_text("jira_host"),
    )
    return _deleted(database.session().scalars(statement).first())


@pages.post("/jira/subscription/delete")
@requires(jira_page)
@because(Reason.WEB_INTERACTION, jira_actor=jira_user)
def delete_from_jira() -> ResponseReturnValue:
    """Delete a subscription, asked for by a user of the customer's Jira."""
    statement = select(Subscription).where(
        Subscription.github_installation_id == form_number("github_installation_id"),
        Subscription.jira_client_key == customer().client_key,
    )
    return _deleted(database.session().scalars(statement).first())


@pages.get("/jira/configuration")
@requires(jira_frame)
@because(Reason.WEB_INTERACTION, jira_actor=jira_user)
def show_in_jira() -> ResponseReturnValue:
    """Show a user of Jira what is connected, and drop what GitHub no longer knows.

    As in the later life of the deployed app: to load the page deletes in bulk.
    """
    statement = (
        select(Subscription.github_installation_id)
        .where(Subscription.jira_client_key == customer().client_key)
        .order_by(Subscription.id)
    )
    connected = database.session().scalars(statement).all()
    stale = [number for number in connected if _is_gone(number)]
    Subscription.uninstall(
        database.session(),
        jira_host=customer().jira_host,
        github_installation_ids=stale,
    )
    database.session().commit()
    return {"connected": [number for number in connected if number not in stale]}


def _is_gone(github_installation_id: int) -> bool:
    """Return whether GitHub says so; that it does not answer tells nothing."""
    status = current_app.config["FIND"](github_installation_id)
    return bool(status == HTTPStatus.NOT_FOUND)


def _deleted(subscription: Subscription | None) -> ResponseReturnValue:
    if subscription is None:
        abort(404, "no such subscription")
    database.session().delete(subscription)
    database.session().commit()
    return "", HTTPStatus.NO_CONTENT
