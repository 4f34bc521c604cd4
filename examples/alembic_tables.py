"""Alembic's operations, as a migration has them: `python examples/alembic_tables.py`.

A whole environment, with autogenerate and a migration that deletes, is jira_app's:
`python -m alembic -c examples/alembic.ini -x database=sqlite:///app.db upgrade head`.
"""

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

import hydro_hooks.integrations.alembic  # noqa: F401 - op.create_hydro_tables()

with create_engine("sqlite://").begin() as connection:
    op = Operations(MigrationContext.configure(connection))
    op.create_hydro_tables()  # type: ignore[attr-defined]
    print(*sorted(inspect(connection).get_table_names()))
    op.drop_hydro_tables()  # type: ignore[attr-defined]
    print(*inspect(connection).get_table_names())
