"""The whole of what the app tells hydro_hooks about its models."""

from __future__ import annotations

from sqlalchemy import select

from hydro_hooks import Hooks, installation, register, subscription
from jira_app.models import Installation, Subscription


def track_customers() -> Hooks:
    """Record every installation and subscription that changes, from now on.

    The models are linked by client key, so each finds what the other knows by a
    scalar subquery: an installation its first GitHub installation, a subscription the
    app's id of its customer.
    """
    first_github_installation = (
        select(Subscription.github_installation_id)
        .where(Subscription.jira_client_key == Installation.client_key)
        .order_by(Subscription.id)
        .limit(1)
        .correlate(Installation)
        .scalar_subquery()
    )
    customer = (
        select(Installation.id)
        .where(Installation.client_key == Subscription.jira_client_key)
        .correlate(Subscription)
        .scalar_subquery()
    )
    return register(
        installation(
            Installation,
            jira_hostname="jira_host",
            github_installation_id=first_github_installation,
            enabled="enabled",
        ),
        subscription(
            Subscription,
            github_installation_id="github_installation_id",
            jira_hostname="jira_host",
            jira_integration_id=customer,
            enabled="active",
        ),
    )
