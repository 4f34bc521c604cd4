"""What GitHub's staff can do to a customer, found by its host or client key."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, abort, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import or_, select

from hydro_hooks import Reason, because
from jira_app import customers, database
from jira_app.incoming import form_text, requires, staff_login
from jira_app.models import Installation

stafftools = Blueprint("stafftools", __name__, url_prefix="/api/jira")


@stafftools.post("/uninstall")
@requires(staff_login)
@because(Reason.STAFFTOOLS_API, github_actor=staff_login)
def uninstall() -> ResponseReturnValue:
    """Delete a customer, and each of its subscriptions."""
    customers.uninstall(database.session(), _named_customer())
    database.session().commit()
    return "", HTTPStatus.NO_CONTENT


@stafftools.post("/verify")
@requires(staff_login)
@because(Reason.STAFFTOOLS_API, github_actor=staff_login)
def verify() -> ResponseReturnValue:
    """Ask Jira whether a customer is still one, and take the answer for it."""
    installation = _named_customer()
    status = current_app.config["VERIFY"](installation)
    customers.settle(database.session(), installation, status)
    database.session().commit()
    return {"jira_answered": status}


def _named_customer() -> Installation:
    """Return the newest customer of that name: a site may have installed us before."""
    name = form_text("customer")
    statement = (
        select(Installation)
        .where(or_(Installation.client_key == name, Installation.jira_host == name))
        .order_by(Installation.id.desc())
        .limit(1)
    )
    found = database.session().scalars(statement).one_or_none()
    return found or abort(404, "no such customer")
