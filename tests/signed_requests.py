"""Requests as a sender makes them, good and bad, and what was stored of them."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from sample_events import sample_event
from sqlalchemy import Engine, func, select

from hydro_hooks import schema, tables
from hydro_hooks.signing import HydroHmac, OutgoingRequest
from hydro_hooks.testing.gateway import SECRET

CAPTURED = json.loads(
    Path(__file__).with_name("captured-requests.json").read_text("utf-8")
)


def value_of(**changed: Any) -> dict[str, Any]:
    """Return a value of `jira.v1.Action`, with the properties `changed`."""
    value = schema.load("jira.v1.Action").project(sample_event())
    return {**value, **changed}


def body_of(*values: Any, schema_name: str = "jira.v1.Action") -> bytes:
    """Return a request's body; a value that is text is taken as it is."""
    events = [
        {
            "schema": schema_name,
            "value": value if isinstance(value, str) else json.dumps(value),
            "cluster": "potomac",
        }
        for value in values
    ]
    return json.dumps({"events": events}).encode()


def signature_of(body: bytes, secret: str = SECRET) -> str:
    request = OutgoingRequest(
        method="POST", url="", body=body, event_ids=(), sent_at=datetime.now(UTC)
    )
    return HydroHmac([secret])(request)["Authorization"]


def post(url: str, body: bytes, **headers: str | None) -> requests.Response:
    """Post a body, well signed unless `headers` say otherwise; None leaves one out."""
    sent = {
        "X-Hydro-App": "jira-integration",
        "Content-Type": "application/json",
        "Authorization": signature_of(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return requests.post(url, data=body, headers=sent, timeout=30)


def send_raw(url: str, *parts: bytes, is_cut: bool = False) -> bytes:
    """Send bytes over a socket of its own; return what comes back until it closes.

    Args:
        url: The gateway's.
        parts: What to send.
        is_cut: Say that no more will come, as a sender does that died.
    """
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        for part in parts:
            connection.sendall(part)
        if is_cut:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def head_of(body: bytes, *lines: str) -> bytes:
    """Return the head of a well signed request that closes its connection."""
    head = [
        "POST /api/v1/events HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        "X-Hydro-App: jira-integration",
        f"Authorization: {signature_of(body)}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode()


def counts(engine: Engine) -> tuple[int, int]:
    """Return how many events and how many requests a store holds."""
    with engine.connect() as connection:
        events = select(func.count()).select_from(tables.journal)
        stored = select(func.count()).select_from(tables.request)
        return connection.scalar(events) or 0, connection.scalar(stored) or 0


def assert_refused(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    error = document.pop("error")
    assert document == {"status": "ERROR", "count": 0, "failures": []}
    assert error


def errors_of(answer: requests.Response) -> dict[int, str]:
    """Return the error of each event that failed; each of them for good."""
    assert answer.status_code == 422
    document = answer.json()
    failures = document["failures"]
    assert (document["status"], document["count"]) == ("ERROR", len(failures))
    assert not any(failure["retriable"] for failure in failures)
    return {failure["index"]: failure["error"] for failure in failures}
