"""Opening a database for a command, and saying in one line why that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import Pool

from hydro_hooks.binds import shown
from hydro_hooks.cli.parameters import driver_remedy
from hydro_hooks.creation import missing_tables, remedy_for
from hydro_hooks.errors import DatabaseError

_PASSWORDS: Final = ("password", "passwd", "sslpassword", "ssl_key_password")
"""Parameters of drivers that a URL may have a password in."""


@contextmanager
def opened(url: URL, *, pool: type[Pool] | None = None) -> Iterator[Engine]:
    """Yield an engine for a database that must be there, and never makes one.

    Args:
        url: Of the database.
        pool: What keeps connections to SQLite; None: as SQLAlchemy does by itself.

    Raises:
        DatabaseError: It is not, or fails meanwhile; the message is one line, names the
            database and holds no password.
    """
    try:
        with explained(url):
            _check_file(url)
            engine = _engine_of(url, pool)
    except ImportError as error:
        # Here alone: what a command imports once it is open is no driver.
        raise DatabaseError(driver_remedy(url, error)) from error
    with explained(url):
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """Yield a connection to a database that must be there; errors as `opened()`."""
    with opened(url) as engine, engine.connect() as connection:
        yield connection


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn what goes wrong with a database into a `DatabaseError` of one line."""
    try:
        yield
    except DatabaseError as error:
        raise DatabaseError(_line(url, str(error))) from error
    except SQLAlchemyError as error:
        raise DatabaseError(_line(url, _reason(error))) from error


def check_tables(engine: Engine) -> None:
    """Raise `DatabaseError` unless it is an app's database, with all our tables."""
    missing = missing_tables(engine)
    if missing:
        message = f"the database has no table {missing[0]}; {remedy_for(missing)}"
        if len(missing) > 1:
            message += "; or is another one the app's database?"
        raise DatabaseError(message)


def _engine_of(url: URL, pool: type[Pool] | None) -> Engine:
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name.startswith("file:"):
        return create_engine(url)
    place = quote(str(Path(name).absolute()))
    existing = url.set(database=f"file:{place}", query={**url.query, "mode": "rw"})
    return create_engine(existing.update_query_dict({"uri": "true"}), poolclass=pool)


def _check_file(url: URL) -> None:
    """Raise before SQLite makes an empty database of a mistyped name."""
    if url.get_backend_name() != "sqlite":
        return
    name = url.database or ""
    if name.startswith("file:"):
        name = urlsplit(name).path
    if name in {"", ":memory:"} or url.query.get("mode") == "memory":
        message = "a database in memory is empty; give the URL of one in a file"
        raise DatabaseError(message)
    if not Path(name).exists():
        message = (
            f"there is no file {name}; give the database that the app or the gateway"
            " writes, with --database or HYDRO_DATABASE_URL"
        )
        raise DatabaseError(message)


def _reason(error: SQLAlchemyError) -> str:
    if not isinstance(error, DBAPIError):
        return str(error)
    # The driver's words without SQLAlchemy's, which quote the parameters.
    words = str(error.orig)
    if error.statement is None:
        return f"{_first_line(words)}; does its server run, and is the URL right?"
    return words


def _line(url: URL, words: str) -> str:
    words = _first_line(words)
    found = [url.normalized_query.get(name, ()) for name in _PASSWORDS]
    for password in filter(None, [url.password, *chain(*found)]):
        words = words.replace(str(password), "***")
    return f"{shown(url)}: {words}"


def _first_line(words: str) -> str:
    # PostgreSQL tells of the row at fault from the second line on.
    return words.strip().partition("\n")[0].rstrip()
