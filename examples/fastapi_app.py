"""FastAPI, Starlette and any ASGI app: `python examples/fastapi_app.py`."""

import customers
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from hydro_hooks.integrations.asgi import CauseMiddleware

app = FastAPI()
app.add_middleware(
    CauseMiddleware,
    github_actor=lambda scope: HTTPConnection(scope).headers.get("x-login"),
)


@app.post("/customers")
def add() -> None:
    """Add a customer."""
    customers.add()


TestClient(app).post("/customers", headers={"X-Login": "octocat"})
customers.tell()
