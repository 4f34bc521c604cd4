"""The receiving gateway: a stand-in for Hydro that speaks its protocol, with pages.

`POST /api/v1/events` takes signed events; 200 says that each of them is durable. What
is wrong is judged in this order: size (413), sending app (400), signature (401), shape
(422), schema (404), each event by itself (422; those that it does not name are stored).
Every refusal is JSON of one shape; a fault of the store is a 503, upon which a sender
comes again with the same event ids.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Flask, Response, json, jsonify, request
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    ServiceUnavailable,
    Unauthorized,
)
from werkzeug.wrappers import Response as BaseResponse

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.schema import Schema
from hydro_hooks.settings import DEFAULT_APP
from hydro_hooks.signing import SCHEME, HydroHmac
from hydro_hooks.web import incoming, store
from hydro_hooks.web.access import Guard, only_from_here
from hydro_hooks.web.pages import pages

logger = logging.getLogger(__name__)

EVENTS_PATH: Final = "/api/v1/events"

MAX_BODY: Final = 1 << 20
"""Bytes that a request may have."""

RETRY_AFTER_SECONDS: Final = 1


def create_app(
    engine: Engine,
    *,
    secrets: Collection[str],
    apps: Collection[str] = (DEFAULT_APP,),
    schemas: Iterable[str | Path] | None = None,
    guard: Guard = only_from_here,
) -> Flask:
    """Return the gateway as a WSGI app, with the pages over what it holds.

    Args:
        engine: The store, as `open_store()` makes it.
        secrets: Shared secrets, one or more: a signature by any of them is good.
        apps: The sending apps that are known, as in `X-Hydro-App`.
        schemas: Paths of JSON Schema files to accept beside the packaged ones.
        guard: Keeps others off the pages, as `access` has them.

    Raises:
        ConfigurationError: No secret or an empty one, no app, or a schema that is none.
    """
    if isinstance(apps, str) or not apps or not all(apps):
        message = "apps is to be a list of the names of known apps, none of them empty"
        raise ConfigurationError(message)
    receiver = _Receiver(
        engine,
        signature=HydroHmac(secrets if isinstance(secrets, str) else tuple(secrets)),
        apps=frozenset(apps),
        schemas=incoming.accepted_schemas(schemas or ()),
    )
    app = Flask("hydro_hooks.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_blueprint(receiver.blueprint())
    app.register_blueprint(pages(engine, secrets=tuple(secrets), guard=guard))
    app.register_error_handler(HTTPException, _refusal)
    return app


class _Receiver:
    """What the views share."""

    def __init__(
        self,
        engine: Engine,
        *,
        signature: HydroHmac,
        apps: frozenset[str],
        schemas: Mapping[str, Schema],
    ) -> None:
        self._engine = engine
        self._signature = signature
        self._apps = apps
        self._schemas = schemas

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("gateway", __name__)
        blueprint.add_url_rule(EVENTS_PATH, view_func=self.receive, methods=["POST"])
        return blueprint

    def receive(self) -> Response:
        """Judge a request, store what is good, and answer."""
        received = self._received()
        arrived = incoming.read(
            received.body, self._schemas, received_at=received.received_at
        )
        failures = arrived.failures
        status = HTTPStatus.UNPROCESSABLE_ENTITY if failures else HTTPStatus.OK
        try:
            store.keep(self._engine, received, arrived.arrivals, status=status)
        except SQLAlchemyError as error:
            raise _unavailable(error) from None
        logger.info(
            "%s: %d accepted, %d refused",
            received.app,
            len(arrived.arrivals),
            len(failures),
        )
        if failures:
            return _as_failed(failures)
        return jsonify(status="OK")

    def _received(self) -> store.Received:
        """Return the request once its size, app and signature are found good."""
        received_at = datetime.now(UTC)
        body = request.get_data(cache=False)  # raises RequestEntityTooLarge
        app = request.headers.get("X-Hydro-App", "")
        if app not in self._apps:
            problem = "X-Hydro-App is unknown" if app else "X-Hydro-App is missing"
            raise BadRequest(problem)
        authorization = request.headers.get("Authorization", "")
        if not self._signature.verify(body, authorization):
            problem = "the signature is missing, or not one of this body"
            raise Unauthorized(problem, www_authenticate=WWWAuthenticate(SCHEME))
        return store.Received(
            app=app, authorization=authorization, body=body, received_at=received_at
        )


def _as_failed(failures: Collection[incoming.Failure]) -> Response:
    named = [
        {"index": failure.index, "error": failure.error, "retriable": False}
        for failure in failures
    ]
    response = jsonify(status="ERROR", count=len(named), failures=named)
    response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


def _refusal(error: HTTPException) -> BaseResponse:
    """Return the answer to a request where no single event is to blame."""
    logger.warning("answered %s: %s", error.code, error.description)
    document: dict[str, Any] = {
        "status": "ERROR",
        "count": 0,
        "failures": [],
        "error": error.description,
    }
    # Its own response, for the headers: Allow, Retry-After, WWW-Authenticate.
    response = error.get_response()
    response.content_type = "application/json"
    response.data = json.dumps(document)
    return response


def _unavailable(error: SQLAlchemyError) -> ServiceUnavailable:
    # Its text is left out: a database quotes the values that it refuses.
    kind = type(error.orig) if isinstance(error, DBAPIError) else type(error)
    logger.error("the store failed: %s", kind.__name__)
    problem = "the store does not answer; send again"
    return ServiceUnavailable(problem, retry_after=RETRY_AFTER_SECONDS)
