"""Drop the subscriptions whose customer is gone.

A customer to whom Jira answers 401 is deleted without its subscriptions, see
`customers.settle()`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hydro_hooks import because

revision = "0002"
down_revision = "0001"

# Not the models: a migration is about the tables as they were when it was written.
installations = sa.table("Installations", sa.column("clientKey"))
subscriptions = sa.table("Subscriptions", sa.column("jiraClientKey"))


def upgrade() -> None:
    """Delete them, in one statement."""
    has_customer = sa.exists().where(
        installations.c.clientKey == subscriptions.c.jiraClientKey
    )
    with because("migration 0002: drop orphans", note="no customer has their key"):
        op.execute(sa.delete(subscriptions).where(~has_customer))


def downgrade() -> None:
    """Do nothing: what is deleted stays so."""
