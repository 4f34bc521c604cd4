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


def watch(handle: socket.socket) -> None:
    """Have the deadline of this thread, if there is one, end a connection."""
    deadline: Deadline | None = getattr(_of_thread, "deadline", None)
    if deadline is not None:
        deadline.watch(handle)
