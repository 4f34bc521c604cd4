"""A WSGI app's requests have a cause, up to the last byte of the answer."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tracked_models import Installation
from werkzeug.test import Client

from hydro_hooks import Cause, Reason, because, current_cause
from hydro_hooks.cause import UNATTRIBUTED
from hydro_hooks.integrations.wsgi import CauseMiddleware
from hydro_hooks.testing import recorded

LOGIN = {"REMOTE_USER": "octocat"}
IN_FORCE = Cause(reason="web interaction", github_actor="octocat")


def login(environ: WSGIEnvironment) -> str | None:
    return environ.get("REMOTE_USER")


def client_of(app: WSGIApplication, **options: object) -> Client:
    middleware = CauseMiddleware(app, github_actor=login, **options)  # type: ignore[arg-type]
    return Client(validator(middleware))


def answered(start_response: StartResponse) -> None:
    start_response("200 OK", [("Content-Type", "text/plain")])


def test_what_a_request_changes_bears_its_reason_and_actor(tracked: Engine) -> None:
    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with Session(tracked) as session:
            session.add(Installation(id=1))
            session.commit()
        answered(start_response)
        return [b"done"]

    client = client_of(app, jira_actor="557058:x")
    with client.get("/", environ_overrides=LOGIN) as answer:
        assert answer.get_data(as_text=True) == "done"

    [event] = recorded(tracked)
    assert (event.reason, event.github_actor) == ("web interaction", "octocat")
    assert event.jira_actor == "557058:x"
    assert current_cause() == UNATTRIBUTED


def test_a_handlers_own_reason_overrides_the_requests() -> None:
    causes = []

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with because(Reason.STAFFTOOLS_API):
            causes.append(current_cause())
        answered(start_response)
        return [b""]

    client_of(app).get("/", environ_overrides=LOGIN).close()

    assert causes == [Cause(reason="stafftools-api", github_actor="octocat")]


def test_a_body_is_made_and_closed_with_the_cause_in_force() -> None:
    causes = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            causes.append(("begun", current_cause()))
            with because(note="inside"):
                yield b"one "
                causes.append(("resumed", current_cause()))
            yield b"two"

        def close(self) -> None:
            causes.append(("closed", current_cause()))

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answered(start_response)
        return Body()

    text = ""
    with client_of(app).get("/", environ_overrides=LOGIN) as answer:
        for part in answer.response:
            assert current_cause() == UNATTRIBUTED
            assert isinstance(part, bytes)
            text += part.decode()

    assert text == "one two"
    inside = replace(IN_FORCE, note="inside")
    assert causes == [("begun", IN_FORCE), ("resumed", inside), ("closed", IN_FORCE)]
    assert current_cause() == UNATTRIBUTED


def test_a_body_that_fails_leaves_nothing_in_force() -> None:
    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answered(start_response)

        def body() -> Iterator[bytes]:
            yield b"one"
            message = "no more"
            raise RuntimeError(message)

        return body()

    with client_of(app).get("/") as answer:
        with pytest.raises(RuntimeError, match="no more"):
            _ = answer.data

    assert current_cause() == UNATTRIBUTED


def test_a_file_of_the_servers_own_is_handed_over_as_it_is() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answered(start_response)
        body: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"file"))
        return body

    environ: WSGIEnvironment = {"wsgi.file_wrapper": FileWrapper}
    body = CauseMiddleware(app)(environ, lambda *_: lambda _: None)

    assert isinstance(body, FileWrapper)


def test_a_failing_function_costs_the_actor_not_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    causes = []

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        causes.append(current_cause())
        answered(start_response)
        return [b""]

    middleware = CauseMiddleware(app, github_actor=lambda environ: environ["missing"])
    with caplog.at_level(logging.WARNING):
        answer = Client(middleware).get("/")

    assert answer.status_code == 200
    assert causes == [Cause(reason="web interaction")]
    assert re.search(
        r"CauseMiddleware\(\.\.\.\): recorded without github_actor, as its callable"
        r" failed with KeyError at \S+test_wsgi\.py:\d+",
        caplog.text,
    )


def test_a_reason_that_is_none_is_refused_when_the_app_is_built() -> None:
    with pytest.raises(ValueError, match="reason is empty"):
        CauseMiddleware(lambda _, __: [], reason=" ")
