"""Any WSGI app: `python examples/wsgi_app.py`."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import customers
from werkzeug.test import Client

from hydro_hooks.integrations.wsgi import CauseMiddleware


def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Add a customer."""
    customers.add()
    start_response("201 Created", [])
    return [b"added"]


application = CauseMiddleware(app, github_actor=lambda environ: environ["REMOTE_USER"])
Client(application).get("/", environ_overrides={"REMOTE_USER": "octocat"}).close()
customers.tell()
