"""A small Flask app in the shape of GitHub for Jira, with its changes recorded.

It keeps the customers of a Jira app (installations) and what each has connected to it
on GitHub (subscriptions), and changes them on the fourteen paths of the deployed app:

    webhooks.py     installed (new, again), enabled (200, 401), disabled, uninstalled
    stafftools.py   uninstall, verify (200, 401)
    pages.py        connect, delete from the GitHub side, delete from the Jira side

and on those that left no trace there at all:

    pages.py        the page in Jira, which drops stale subscriptions when it is loaded
    models.py       Subscription.uninstall, in bulk; ../uninstall.py is a script for it
    migrations/     a migration that deletes in bulk; ../alembic.ini leads to it
    webhooks.py     GitHub's `installation`: suspend, unsuspend, deleted

All that it knows of hydro_hooks is hooks.py, which says what the models mean, and
`because` on the handlers, which says why. customers.py does what several handlers do,
incoming.py and security.py say who is calling.
"""

from jira_app.app import create_app
from jira_app.database import open_database
from jira_app.hooks import track_customers
from jira_app.models import Base, Installation, Subscription

__all__ = [
    "Base",
    "Installation",
    "Subscription",
    "create_app",
    "open_database",
    "track_customers",
]
