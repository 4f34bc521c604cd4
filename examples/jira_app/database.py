"""The app's database: an engine, and a session for each request."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, g
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

EXTENSION = "jira_app"


def open_database(url: str) -> Engine:
    """Return an engine; on SQLite with transactions that are real ones.

    Python's sqlite3 begins a transaction only before the first write, and does not
    know savepoints; SQLAlchemy's manual tells how to begin explicitly. IMMEDIATE,
    because a request reads first: two that read and then write would refuse each other.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def connect(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def attach(app: Flask, engine: Engine) -> None:
    """Give each request of the app a session on the engine, closed at its end."""
    app.extensions[EXTENSION] = engine
    app.teardown_appcontext(_close)


def session() -> Session:
    """Return the session of this request; what it does not commit never happened."""
    if "session" not in g:
        g.session = Session(current_app.extensions[EXTENSION])
    found: Session = g.session
    return found


def _close(_error: BaseException | None) -> None:
    opened: Session | None = g.pop("session", None)
    if opened is not None:
        opened.close()
