"""The gateway on a port: waitress, with an end that is orderly.

At the end no new connection is taken, requests that are being stored are answered, and
the port is free again.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final
from wsgiref.types import WSGIApplication

import waitress  # type: ignore[import-untyped]  # it ships no types
from waitress import wasyncore

from hydro_hooks.errors import ConfigurationError

MAX_BUFFERED_BODY: Final = 64 << 20
"""Bytes of a body that are read before the app is asked; beyond, waitress answers 413.

It lies far above the app's own limit, whose answer has the shape that senders know.
"""

THREADS: Final = 8

LAST_REQUESTS_SECONDS: Final = 15.0
"""The longest wait for requests that are being stored when the end comes."""

_LOOP_SECONDS: Final = 1.0


class Server:
    """A WSGI app on a port, from `create_server()`; it listens, and runs in `run()`.

    Attributes:
        effective_host: The address that it listens on.
        effective_port: The port; also where port 0 was asked for.
    """

    def __init__(self, app: WSGIApplication, listener: socket.socket) -> None:
        self.effective_host: str = listener.getsockname()[0]
        self.effective_port: int = listener.getsockname()[1]
        self._sockets: dict[int, Any] = {}
        self._waitress = waitress.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=THREADS,
            ident="hydro-hooks",
            max_request_body_size=MAX_BUFFERED_BODY,
            clear_untrusted_proxy_headers=True,
        )
        self._is_ending = threading.Event()
        self._is_closed = False
        # Reentrant: a signal handler may close the server that it interrupts.
        self._running = threading.RLock()
        self._waking = threading.RLock()

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:8080`, without a path."""
        host = self.effective_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.effective_port}"

    def run(self) -> None:
        """Serve until `close()`, SIGTERM or KeyboardInterrupt; then close."""
        with self._running, _sigterm_raises_system_exit():
            try:
                while not self._is_ending.is_set():
                    wasyncore.loop(_LOOP_SECONDS, map=self._sockets, count=1)
            except (SystemExit, KeyboardInterrupt):
                self._is_ending.set()
            finally:
                self._tear_down()

    def close(self) -> None:
        """End `run()`, in whatever thread, and free the port; twice is harmless."""
        self._is_ending.set()
        with self._waking:
            if not self._is_closed:
                self._waitress.pull_trigger()
        with self._running:
            self._tear_down()

    def _tear_down(self) -> None:
        with self._waking:
            if self._is_closed:
                return
            self._is_closed = True
            self._waitress.task_dispatcher.shutdown(timeout=LAST_REQUESTS_SECONDS)
            self._waitress.close()
            wasyncore.close_all(self._sockets, ignore_all=True)


def create_server(
    app: WSGIApplication, *, host: str = "127.0.0.1", port: int = 0
) -> Server:
    """Return a server that listens already, so that its port is known.

    Args:
        app: What answers, as `create_app()` makes it.
        host: A name or an address of this machine.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        message = f"cannot listen on {host} port {port}: {error}; choose another port"
        raise ConfigurationError(message) from None
    return Server(app, listener)


def serve(
    app: WSGIApplication,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[Server], object] | None = None,
) -> None:
    """Serve an app until SIGTERM or KeyboardInterrupt.

    Args:
        app: What answers.
        host: A name or an address of this machine.
        port: 0 takes a free one.
        on_ready: Called once it listens, for instance to say where.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    server = create_server(app, host=host, port=port)
    # The signal may come as soon as somebody knows that the server is ready.
    ends = contextlib.suppress(SystemExit, KeyboardInterrupt)
    with contextlib.closing(server), ends, _sigterm_raises_system_exit():
        if on_ready is not None:
            on_ready(server)
        server.run()


@contextlib.contextmanager
def _sigterm_raises_system_exit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets the main thread alone handle signals
        return
    before = signal.signal(signal.SIGTERM, _raise_system_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_system_exit(_signal: int, _frame: object) -> None:
    raise SystemExit
