"""The tables of the app, and those of hydro_hooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "Installations",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("jiraHost", sa.String(255), nullable=False, index=True),
        sa.Column("clientKey", sa.String(255), nullable=False, unique=True),
        sa.Column("sharedSecret", sa.String(255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "Subscriptions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("gitHubInstallationId", sa.BigInteger(), nullable=False, index=True),
        sa.Column("jiraHost", sa.String(255), nullable=False),
        sa.Column("jiraClientKey", sa.String(255), nullable=False, index=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("gitHubInstallationId", "jiraClientKey"),
        sqlite_autoincrement=True,
    )
    op.create_hydro_tables()  # type: ignore[attr-defined] # of env.py's import


def downgrade() -> None:
    """Drop the app's; what hydro_hooks has recorded is kept."""
    op.drop_table("Subscriptions")
    op.drop_table("Installations")
