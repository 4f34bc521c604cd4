"""What is done to a customer on more than one path: rows only, no request."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from jira_app.models import Installation, Subscription

OK = 200
UNAUTHORIZED = 401


def by_client_key(session: Session, client_key: str) -> Installation | None:
    """Return the customer that Jira calls by this key."""
    statement = select(Installation).where(Installation.client_key == client_key)
    return session.scalars(statement).one_or_none()


def uninstall(session: Session, installation: Installation) -> None:
    """Delete the customer and each of its subscriptions."""
    statement = select(Subscription).where(
        Subscription.jira_client_key == installation.client_key
    )
    for subscription in session.scalars(statement):
        session.delete(subscription)
    session.delete(installation)


def settle(session: Session, installation: Installation, status: int) -> None:
    """Enable or delete the customer, as Jira answered the verification call.

    Args:
        session: The one that the customer came from.
        installation: The customer.
        status: 200: Jira knows us, enable. 401: Jira does not accept the secret, the
            app is gone there, delete. Any other tells nothing, and changes nothing.
    """
    if status == OK:
        installation.enabled = True
    elif status == UNAUTHORIZED:
        session.delete(installation)
