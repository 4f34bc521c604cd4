"""A Flask app's requests have a cause, whose actors its own functions tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from databases import Database
from flask import Flask, Request, Response, abort, g, request, stream_with_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hydro_hooks import (
    Cause,
    Reason,
    because,
    create_tables,
    current_cause,
    installation,
    register,
)
from hydro_hooks.cause import UNATTRIBUTED
from hydro_hooks.integrations.flask import HydroHooks
from hydro_hooks.testing import recorded

HEADERS = {"X-Login": "octocat"}


def app_with(hydro: HydroHooks) -> Flask:
    app = Flask("shop")
    hydro.init_app(app)
    return app


def login(request: Request) -> str | None:
    return request.headers.get("X-Login")


def test_flask_sqlalchemys_db_is_seen_and_its_requests_have_a_cause(
    database: Database,
) -> None:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Customer(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        enabled: Mapped[bool] = mapped_column(default=True)

    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = database.text_url
    db.init_app(app)
    HydroHooks(app, github_actor=login)

    @app.post("/customers")
    def add() -> str:
        db.session.add(Customer(id=7))
        db.session.commit()
        return "added"

    @app.delete("/customers")
    def remove() -> str:
        db.session.query(Customer).delete()
        db.session.commit()
        return "removed"

    with app.app_context(), register(installation(Customer, enabled="enabled")):
        db.create_all()
        create_tables(db.engine)
        client = app.test_client()
        client.post("/customers", headers=HEADERS)
        client.delete("/customers", headers={"X-Login": "hubot"})
        events = recorded(db.engine)
        db.engine.dispose()

    assert [(one.type, one.reason, one.github_actor) for one in events] == [
        ("installation.create", "web interaction", "octocat"),
        ("installation.destroy", "web interaction", "hubot"),
    ]
    assert [one.origin for one in events if "test_flask" not in str(one.origin)] == []


def test_the_actor_is_asked_for_when_the_login_is_done() -> None:
    hydro = HydroHooks(github_actor=lambda _: g.login)
    app = app_with(hydro)
    causes = []

    @app.before_request
    def log_in() -> None:  # registered after init_app()
        causes.append(current_cause())
        g.login = request.headers["X-Login"]

    @app.get("/")
    def view() -> str:
        causes.append(current_cause())
        return ""

    app.test_client().get("/", headers=HEADERS)

    assert causes == [
        Cause(reason="web interaction"),
        Cause(reason="web interaction", github_actor="octocat"),
    ]


def test_handlers_and_blocks_override_what_the_request_says() -> None:
    app = app_with(HydroHooks(github_actor=login, jira_actor=lambda _: "557058:x"))
    causes = []

    @app.post("/jira/uninstalled")
    @because(Reason.JIRA_WEBHOOK, github_actor=None)
    def uninstalled() -> str:
        causes.append(current_cause())
        with because(note="inside"):
            causes.append(current_cause())
        return ""

    app.test_client().post("/jira/uninstalled", headers=HEADERS)

    webhook = Cause(reason="jira webhook", jira_actor="557058:x")
    inside = Cause(reason="jira webhook", jira_actor="557058:x", note="inside")
    assert causes == [webhook, inside]
    assert current_cause() == UNATTRIBUTED


def test_async_views_and_streamed_answers_have_the_cause_too() -> None:
    app = app_with(HydroHooks(github_actor=login))

    @app.get("/stream")
    def stream() -> Iterator[str]:
        def parts() -> Iterator[str]:
            yield f"{current_cause().reason} by "
            yield str(current_cause().github_actor)

        return stream_with_context(parts())

    @app.get("/async")
    async def by_coroutine() -> str:
        return str(current_cause().github_actor)

    client = app.test_client()

    assert client.get("/stream", headers=HEADERS).text == "web interaction by octocat"
    assert client.get("/async", headers=HEADERS).text == "octocat"


def test_what_runs_after_the_view_has_the_requests_cause_too() -> None:
    app = app_with(HydroHooks(github_actor=login))
    told: list[object] = []

    @app.get("/")
    @because("within the view", github_actor="somebody else")
    def view() -> str:
        return "ok"

    @app.get("/aborts")
    def aborts() -> str:
        abort(409)

    @app.get("/fails")
    def fails() -> str:
        raise KeyError

    @app.errorhandler(409)
    @app.errorhandler(500)
    def failed(error: Exception) -> tuple[str, int]:
        told.append(current_cause())
        return "failed", 500

    @app.after_request
    def after(response: Response) -> Response:
        told.append(current_cause())
        return response

    @app.teardown_request
    def teardown(_: object) -> None:
        told.append(current_cause())

    client = app.test_client()
    for path, count in (("/", 2), ("/aborts", 3), ("/fails", 3)):
        client.get(path, headers=HEADERS)
        assert told == [Cause(reason="web interaction", github_actor="octocat")] * count
        assert current_cause() == UNATTRIBUTED
        told.clear()


def test_methods_that_are_given_the_context_are_given_it_still() -> None:
    """As Flask does from 3.2 on."""

    class Next(Flask):
        def full_dispatch_request(self) -> Response:
            return self.make_response(self.dispatch_request("context"))

        def dispatch_request(self, *context: str) -> Any:
            return f"{context}: {current_cause().github_actor}"

    app = Next("shop")
    HydroHooks(app, github_actor=login)

    assert app.test_client().get("/", headers=HEADERS).text == "('context',): octocat"


def test_one_extension_serves_several_apps_with_its_own_reason() -> None:
    hydro = HydroHooks(reason="shop page")
    apps = [app_with(hydro), app_with(hydro)]
    for app in apps:
        app.add_url_rule("/", view_func=lambda: current_cause().reason)

    assert [app.test_client().get("/").text for app in apps] == ["shop page"] * 2


def test_a_second_init_app_of_one_app_is_refused() -> None:
    app = app_with(HydroHooks())

    with pytest.raises(RuntimeError, match="shop has HydroHooks already"):
        HydroHooks(app)


def test_a_function_that_fails_costs_the_actor_not_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_with(HydroHooks(github_actor=lambda _: g.login))
    app.add_url_rule("/", view_func=lambda: str(current_cause().github_actor))

    assert app.test_client().get("/").text == "None"
    assert "without github_actor" in caplog.text


def test_a_reason_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="reason is empty"):
        HydroHooks(reason="")


def test_errors_of_a_view_are_handled_as_before_and_leave_nothing_in_force() -> None:
    app = app_with(HydroHooks(github_actor=login))

    @app.errorhandler(KeyError)
    def sorry(_: KeyError) -> tuple[str, int]:
        return current_cause().reason, 418

    @app.get("/")
    def fails() -> str:
        raise KeyError

    answer = app.test_client().get("/")

    assert (answer.status_code, answer.text) == (418, "web interaction")
    assert current_cause() == UNATTRIBUTED
