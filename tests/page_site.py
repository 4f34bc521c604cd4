"""The pages over a database, on a real port; and what is told on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine

from hydro_hooks.web import create_pages_app, create_server
from hydro_hooks.web.access import Guard, only_from_here


@contextmanager
def site(
    engine: Engine, *, secrets: Sequence[str] = (), guard: Guard = only_from_here
) -> Iterator[str]:
    """Yield the address of pages over a database, without a slash at its end."""
    app = create_pages_app(engine, secrets=secrets, guard=guard)
    server = create_server(app)
    thread = threading.Thread(target=server.run, name="pages")
    thread.start()
    try:
        yield server.url
    finally:
        server.close()
        thread.join()
