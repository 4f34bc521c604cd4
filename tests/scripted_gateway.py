"""A real HTTP server on loopback whose answers a test scripts.

It keeps the requests as they came. An answer may be late, drip, break off or never
come.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from hydro_hooks.settings import Settings

SECRET = "2dd220c366ec5b86104efd7324c2d405"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client_port: int

    @property
    def messages(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = json.loads(self.body)["events"]
        return events

    @property
    def values(self) -> list[dict[str, Any]]:
        return [json.loads(message["value"]) for message in self.messages]

    @property
    def event_ids(self) -> list[str]:
        return [value["eventId"] for value in self.values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """An answer.

    Args:
        status: The HTTP status.
        body: Sent as it is; anything but bytes as JSON.
        headers: Beside `Content-Type` and `Content-Length`.
        byte_seconds: The pause before each byte, header and body alike.
        declares_length: Without `Content-Length` the body ends with the connection.
        resets: No answer; the connection is reset.
        awaits: The answer waits until this is set.
    """

    status: int = 200
    body: Any = field(default_factory=lambda: {"status": "OK"})
    headers: Mapping[str, str] = field(default_factory=dict)
    byte_seconds: float = 0.0
    declares_length: bool = True
    resets: bool = False
    awaits: threading.Event | None = None

    def as_bytes(self) -> bytes:
        body = self.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        if self.declares_length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} Scripted"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


def failures(*entries: tuple[int, str, bool]) -> Scripted:
    """Return a 422 that names events by index, error and whether to retry."""
    listed = [
        {"index": index, "error": error, "retriable": is_retriable}
        for index, error, is_retriable in entries
    ]
    body = {"status": "ERROR", "count": len(listed), "failures": listed}
    return Scripted(status=422, body=body)


class ScriptedGateway:
    """Answers from a list, then 200; or as a callable says.

    Args:
        answers: In order; or called with each request, possibly by several threads.
        port: 0 takes a free one.
        tls: Speak HTTPS.
    """

    def __init__(
        self,
        answers: Iterable[Scripted] | Callable[[Received], Scripted] = (),
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Received] = []
        self._lock = threading.Lock()
        self._answer = answers if callable(answers) else _one_by_one(answers)
        self._server = _Server(("127.0.0.1", port), self)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> ScriptedGateway:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/api/v1/events"

    @property
    def event_ids(self) -> list[str]:
        """The ids of all events received, in order, repeats included."""
        with self._lock:
            return [id_ for request in self.requests for id_ in request.event_ids]

    def settings(self, **changed: Any) -> Settings:
        return Settings(**{"base_url": self.url, "secrets": (SECRET,), **changed})

    def wait_for(self, count: int, *, seconds: float = 20.0) -> None:
        """Wait until so many requests have come."""
        end = time.monotonic() + seconds
        while len(self.requests) < count:
            if time.monotonic() > end:
                message = f"{len(self.requests)} requests came, not {count}"
                raise TimeoutError(message)
            time.sleep(0.005)

    def take(self, request: Received) -> Scripted:
        with self._lock:
            self.requests.append(request)
        return self._answer(request)


def _one_by_one(answers: Iterable[Scripted]) -> Callable[[Received], Scripted]:
    left = iter(answers)
    return lambda _: next(left, Scripted())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], gateway: ScriptedGateway) -> None:
        self.gateway = gateway
        super().__init__(address, _Handler)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # at once, so that a reset is one

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the sender was killed: that is no request
            self.close_connection = True
            return
        answer = self.server.gateway.take(
            Received(
                method=self.command,
                path=self.path,
                headers=dict(self.headers.items()),
                body=body,
                client_port=self.client_address[1],
            )
        )
        if answer.awaits is not None:
            answer.awaits.wait(20)
        if answer.resets:
            self._reset()
            return
        self._write(answer)
        self.close_connection = not answer.declares_length

    def _write(self, answer: Scripted) -> None:
        data = answer.as_bytes()
        if not answer.byte_seconds:
            self.wfile.write(data)
            return
        for number in range(len(data)):
            time.sleep(answer.byte_seconds)
            self.wfile.write(data[number : number + 1])

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # closing then sends a reset
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def do_GET(self) -> None:
        """A followed redirect would come here."""
        self.server.gateway.take(
            Received(
                method="GET",
                path=self.path,
                headers=dict(self.headers.items()),
                body=b"",
                client_port=self.client_address[1],
            )
        )
        self.send_error(405)

    def log_message(self, *args: Any) -> None:
        """Stay silent."""
