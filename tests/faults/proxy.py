"""A proxy between relays and the receiver, over real sockets, which does them harm.

It reads a request whole, and leaves what becomes of it to a fault: whether it is passed
on, and what of the answer comes back, how and when.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from faults.receiver import Receiver

from hydro_hooks.settings import Settings

PATIENCE_SECONDS: Final = 60.0
END_OF_HEAD: Final = b"\r\n\r\n"


class Exchange:
    """A request that has come in, and the means to answer it.

    Args:
        client: The relay's connection.
        upstream: Where the receiver listens.
        request: All of it, head and body.
    """

    def __init__(
        self, client: socket.socket, upstream: tuple[str, int], request: bytes
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._request = request

    def pass_on(self) -> bytes:
        """Have the receiver take the request, and return its whole answer."""
        with socket.create_connection(self._upstream, PATIENCE_SECONDS) as connection:
            connection.sendall(self._request)
            return read_message(connection)

    def answer(self, *parts: bytes, pause_seconds: float = 0.0) -> None:
        """Send bytes to the relay, each part by itself."""
        for part in parts:
            self._client.sendall(part)
            time.sleep(pause_seconds)

    def reset(self) -> None:
        """End the connection with a reset."""
        linger = struct.pack("ii", 1, 0)  # closing then sends one
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.end()

    def end(self) -> None:
        """End the connection."""
        self._client.close()

    def outlast(self) -> None:
        """Wait until the relay has given up."""
        while self._client.recv(1 << 16):
            pass


Fault = Callable[[Exchange], None]
"""What is done to an exchange."""


def no_fault(exchange: Exchange) -> None:
    """Pass the request on, and the answer back."""
    exchange.answer(exchange.pass_on())


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When an exchange began and ended, by the monotonic clock."""

    begun: float
    ended: float


class FaultProxy:
    """Listens inside a `with` block.

    Args:
        receiver: Where requests are passed on to; it listens already.

    Attributes:
        fault: What is done to each request; it may be changed at any time.
        spans: Of the exchanges that are over, in the order of their end.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.fault: Fault = no_fault
        self.spans: list[Span] = []
        place = urlsplit(receiver.url)
        assert place.hostname is not None
        assert place.port is not None
        self._upstream = (place.hostname, place.port)
        self._path = place.path
        self._port = 0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.come_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.go_down()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def settings(self, of: Settings) -> Settings:
        """Return settings of the receiver's with which a relay sends to the proxy."""
        return replace(of, base_url=f"http://127.0.0.1:{self._port}{self._path}")

    def come_up(self) -> None:
        """Listen, on the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = self._listener.getsockname()[1]
        self._begin(self._accept, self._listener)

    def go_down(self) -> None:
        """Refuse connections from now on, and end those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # which wakes who accepts
            listener.close()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _begin(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, name="FaultProxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._clients.add(client)
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        # Whoever closes first: what a relay does then is what is tested.
        with contextlib.suppress(OSError), client:
            while request := read_message(client):
                begun = time.monotonic()
                try:
                    self.fault(Exchange(client, self._upstream, request))
                finally:
                    span = Span(begun=begun, ended=time.monotonic())
                    with self._lock:
                        self.spans.append(span)
        with self._lock:
            self._clients.discard(client)


def read_message(connection: socket.socket) -> bytes:
    """Return a request or an answer, which says its length; empty at the end."""
    message = b""
    while END_OF_HEAD not in message:
        part = connection.recv(1 << 16)
        if not part:
            return b""
        message += part
    head, _, body = message.partition(END_OF_HEAD)
    missing = length_in(head) - len(body)
    while missing > 0:
        part = connection.recv(missing)
        if not part:
            return b""
        message += part
        missing -= len(part)
    return message


def length_in(head: bytes) -> int:
    """Return the `Content-Length` that a head declares."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def most_at_once(spans: Iterable[Span]) -> int:
    """Return how many exchanges were under way at the same moment."""
    moments = [(span.begun, 1) for span in spans] + [(span.ended, -1) for span in spans]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most
