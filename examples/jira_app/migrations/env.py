"""What Alembic runs its migrations in: what they change of customers is recorded too.

The database is that of `-x database=URL`, else of the environment's DATABASE_URL.
"""

from __future__ import annotations

import os

from alembic import context
from alembic.util import CommandError
from jira_app import Base, open_database, track_customers

import hydro_hooks
import hydro_hooks.integrations.alembic  # op.create_hydro_tables()


def migrate(url: str) -> None:
    """Bring a database up to date.

    A migration is a transaction of its own, with its events and its entry in Alembic's
    table; on MariaDB, which commits at each CREATE TABLE, as far as it creates none.
    """
    engine = open_database(url)
    with track_customers(), engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=[Base.metadata, hydro_hooks.metadata],
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def database_url() -> str:
    """Return which database is meant.

    Raises:
        CommandError: None is named.
    """
    named = context.get_x_argument(as_dictionary=True).get("database")
    url = named or os.environ.get("DATABASE_URL")
    if not url:
        message = "name the database: -x database=URL, or DATABASE_URL"
        raise CommandError(message)
    return str(url)


if context.is_offline_mode():
    refusal = "--sql writes no events: rows are known only where statements are run"
    raise CommandError(refusal)
migrate(database_url())
