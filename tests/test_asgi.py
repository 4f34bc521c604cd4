"""An ASGI app's requests and websockets have a cause; its lifespan has none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection
from starlette.responses import StreamingResponse
from tracked_models import Installation

from hydro_hooks import Cause, Reason, because, current_cause
from hydro_hooks.cause import UNATTRIBUTED
from hydro_hooks.integrations.asgi import CauseMiddleware, Scope
from hydro_hooks.testing import recorded

IN_FORCE = Cause(reason="web interaction", github_actor="octocat")
HEADERS = {"X-Login": "octocat"}


def login(scope: Scope) -> str | None:
    return HTTPConnection(scope).headers.get("x-login")


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.causes = [current_cause()]
    yield


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.add_middleware(CauseMiddleware, github_actor=login)
    return app


def test_what_a_request_changes_bears_its_reason_and_actor(
    app: FastAPI, tracked: Engine
) -> None:
    def add(number: int) -> None:
        with Session(tracked) as session:
            session.add(Installation(id=number))
            session.commit()

    @app.post("/async")
    async def by_coroutine() -> None:
        add(1)

    @app.post("/thread")
    def by_thread() -> None:
        add(2)

    with TestClient(app) as client:
        for path in ("/async", "/thread"):
            assert client.post(path, headers=HEADERS).status_code == 200

    told = [(event.reason, event.github_actor) for event in recorded(tracked)]
    assert told == [("web interaction", "octocat")] * 2
    assert current_cause() == UNATTRIBUTED


def test_a_handlers_own_reason_overrides_the_requests(app: FastAPI) -> None:
    causes = []

    @app.get("/")
    @because(Reason.STAFFTOOLS_API)
    async def staff() -> None:
        causes.append(current_cause())

    with TestClient(app) as client:
        client.get("/", headers=HEADERS)

    assert causes == [Cause(reason="stafftools-api", github_actor="octocat")]


def test_requests_at_once_have_a_cause_each(app: FastAPI) -> None:
    @app.get("/")
    async def who() -> str:
        return str(current_cause().github_actor)

    with TestClient(app) as client:
        for login_ in ("mona", "hubot"):
            assert client.get("/", headers={"X-Login": login_}).json() == login_
        assert client.get("/").json() == "None"


def test_a_streamed_answer_is_made_with_the_cause_in_force(app: FastAPI) -> None:
    async def parts() -> AsyncIterator[str]:
        yield f"{current_cause().github_actor} "
        yield str(current_cause().reason)

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    with TestClient(app) as client:
        assert client.get("/", headers=HEADERS).text == "octocat web interaction"


def test_a_websocket_has_a_cause_while_it_is_open(app: FastAPI) -> None:
    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        while await websocket.receive_text() != "bye":
            await websocket.send_text(str(current_cause().github_actor))
        await websocket.close()

    with TestClient(app) as client:
        with client.websocket_connect("/", headers=HEADERS) as websocket:
            for _ in range(2):
                websocket.send_text("who?")
                assert websocket.receive_text() == "octocat"
            websocket.send_text("bye")


def test_the_lifespan_is_passed_through_without_a_cause(app: FastAPI) -> None:
    with TestClient(app):
        assert app.state.causes == [UNATTRIBUTED]


def test_a_failing_function_costs_the_actor_not_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = FastAPI()
    app.add_middleware(CauseMiddleware, github_actor=lambda scope: scope["user"])

    @app.get("/")
    async def who() -> str:
        return current_cause().reason

    with TestClient(app) as client:
        assert client.get("/").json() == "web interaction"
    assert "without github_actor, as its callable failed with KeyError" in caplog.text
