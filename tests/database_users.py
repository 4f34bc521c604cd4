"""A database of a test's own, and a user who has a password, but not all rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from databases import Database
from sqlalchemy import Engine, text

from hydro_hooks import creation, tables

PASSWORD = "hunter2"


@contextmanager
def own(database: Database) -> Iterator[Engine]:
    """Yield an engine on a database of the test's own, with our tables."""
    engine = database.engine()
    creation.create_tables(engine)
    yield engine
    engine.dispose()


@contextmanager
def user_without(database: Database, table: str = "", right: str = "") -> Iterator[str]:
    """Yield the URL for a user who has all rights on our tables, or all but one."""
    name = f"hydro_user_{os.getpid()}"
    is_postgresql = database.kind == "postgresql"
    user = name if is_postgresql else f"{name}@'%'"
    login = "LOGIN PASSWORD" if is_postgresql else "IDENTIFIED BY"
    rights = {
        (each, what)
        for each in tables.metadata.tables
        for what in ("SELECT", "INSERT", "UPDATE", "DELETE")
    } - {(table, right)}
    grants = [f"GRANT {what} ON {each} TO {user}" for each, what in rights]
    drops = [f"DROP USER {user}"]
    if is_postgresql:
        drops.insert(0, f"DROP OWNED BY {user}")
        if right != "USAGE":
            grants.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}")
    with own(database) as engine:
        _execute(engine, [f"CREATE USER {user} {login} '{PASSWORD}'"])
        try:
            _execute(engine, grants)
            url = database.url.set(username=name, password=PASSWORD)
            yield url.render_as_string(hide_password=False)
        finally:
            _execute(engine, drops)


def _execute(engine: Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
