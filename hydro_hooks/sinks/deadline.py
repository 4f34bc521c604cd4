"""A deadline for a whole exchange over a socket, however slowly it drips.

The time-outs of requests hold for one read from the socket: a peer that sends a byte a
second, in the header or the body, never meets them. Here a timer shuts the connection
down, which ends any read or write that is under way with an error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hydro_hooks.forking import waiting

_of_thread = threading.local()


class Deadline:
    """Ends the exchange that the thread makes inside the `with` block.

    Args:
        seconds: How long the block may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_passed = False
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Deadline:
        _of_thread.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        _of_thread.deadline = None

    def watch(self, handle: socket.socket) -> None:
        """Shut `handle`'s connection down when the deadline passes."""
        with self._lock:
            self._sockets.append(handle)
            if self.has_passed:
                _shut_down(handle)

    def _pass(self) -> None:
        with self._lock:
            self.has_passed = True
            for handle in self._sockets:
                _shut_down(handle)


def _shut_down(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        handle.shutdown(socket.SHUT_RDWR)


class _Ended:
    """Added to a connection: the thread's deadline watches its socket."""

    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        # A second handle, since TLS takes the first one over; both are one connection.
        self._handle = made.dup()
        _watch(self._handle)
        return made

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, also on a connection kept alive since an earlier one."""
        # Any: passed on to urllib3 unread.
        if self._handle is not None:
            _watch(self._handle)
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        """Wait for the answer's head."""
        # Any: urllib3's own, or the standard library's.
        with waiting():
            return super().getresponse()  # type: ignore[misc]

    def close(self) -> None:
        """Close both handles."""
        super().close()  # type: ignore[misc]
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _watch(handle: socket.socket) -> None:
    deadline: Deadline | None = getattr(_of_thread, "deadline", None)
    if deadline is not None:
        deadline.watch(handle)


class _Http(_Ended, HTTPConnection):
    pass


class _Https(_Ended, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


pool_classes: Final[dict[str, type[HTTPConnectionPool]]] = {
    "http": _HttpPool,
    "https": _HttpsPool,
}
