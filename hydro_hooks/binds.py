"""What a function is to work on: an engine, a connection or a session that it can use.

What is none of these fails deep inside SQLAlchemy, in words that lead nowhere, or in a
thread of the relay, where nobody looks.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.util import concurrency

from hydro_hooks.errors import with_article

_ASYNC: Final = "sqlalchemy.ext.asyncio"


def check_bind(
    caller: str, bind: Any, *takes: type, in_async: str, is_of_threads: bool = False
) -> None:
    """Raise `TypeError` unless a function can work on what it was given.

    Args:
        caller: Name of the function, as the program writes it.
        bind: What was given. Any: that is what is looked at.
        takes: The classes of what it takes: `Engine`, `Connection`, `Session`.
        in_async: What to do where the program is asynchronous.
        is_of_threads: It works in threads of its own, where nothing can be awaited.
    """
    if isinstance(bind, takes):
        dialect = bind.dialect if isinstance(bind, (Engine, Connection)) else None
        if dialect is None or not dialect.is_async:
            return
        # Inside run_sync(), what is asynchronous can be used like anything else.
        if not is_of_threads and concurrency.in_greenlet():
            return
        kind = f"the sync {type(bind).__name__} of an asynchronous engine"
        remedy = in_async
    else:
        kind, remedy = _named(bind), _remedy(bind, takes, in_async)
    *others, last = (with_article(each.__name__) for each in takes)
    wanted = f"{', '.join(others)} or {last}" if others else last
    message = f"{caller} takes {wanted}, and got {kind}: {remedy}"
    raise TypeError(message)


def shown(url: URL) -> str:
    """Return the URL of a database without what may be secret in it."""
    return url.set(query={}).render_as_string(hide_password=True)


def _named(bind: Any) -> str:
    """Return what something is, never what it says: a URL holds a password."""
    return "None" if bind is None else with_article(type(bind).__name__)


def _remedy(bind: Any, takes: tuple[type, ...], in_async: str) -> str:
    # By name: not every program has what its module needs.
    if any(kind.__module__.startswith(_ASYNC) for kind in type(bind).__mro__):
        return in_async
    if isinstance(bind, (str, URL)):
        return "give create_engine(...) of it"
    if isinstance(bind, Connection):
        return "give its engine, connection.engine"
    if isinstance(bind, sessionmaker) and Session in takes:
        return "give a session that it makes, or its engine"
    if isinstance(bind, (Session, scoped_session, sessionmaker)):
        return "give the engine that it is bound to"
    return "give what create_engine(...) makes"
