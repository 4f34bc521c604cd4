"""The web side: the receiving gateway, and the pages over a journal.

It knows no listeners and no relay: it runs where no app and no model is.

    engine = open_store("sqlite:///gateway.db")
    serve(create_app(engine, secrets=["..."]), port=8080)
"""

from hydro_hooks.web.access import only_from_here, with_token
from hydro_hooks.web.engine import open_store
from hydro_hooks.web.gateway import EVENTS_PATH, create_app
from hydro_hooks.web.pages import create_pages_app, pages
from hydro_hooks.web.server import Server, create_server, serve

__all__ = [
    "EVENTS_PATH",
    "Server",
    "create_app",
    "create_pages_app",
    "create_server",
    "only_from_here",
    "open_store",
    "pages",
    "serve",
    "with_token",
]
