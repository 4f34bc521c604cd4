"""A deadline for a whole exchange over a socket, however slowly it drips.

The time-outs of requests hold for one read from the socket: a peer that sends a byte a
second, in the header or the body, never meets them. Here a watch shuts the connection
down, which ends any read or write that is under way with an error.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import socket
import threading
import time
from types import TracebackType
from typing import Final

_of_thread = threading.local()


class Deadline:
    """Ends the exchange that the thread makes inside the `with` block.

    Args:
        seconds: How long the block may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_passed = False
        self._is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Deadline:
        _of_thread.deadline = self
        _watch.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _of_thread.deadline = None
        with self._lock:
            self._is_over = True
            self._sockets.clear()

    def watch(self, handle: socket.socket) -> None:
        """Shut `handle`'s connection down when the deadline passes."""
        with self._lock:
            self._sockets.append(handle)
            if self.has_passed:
                _shut_down(handle)

    def expire(self) -> None:
        """Let it pass, unless the block has ended."""
        with self._lock:
            if self._is_over:
                return
            self.has_passed = True
            for handle in self._sockets:
                _shut_down(handle)


class _Watch:
    """Lets deadlines pass, in a thread that is there while any is ahead.

    One for all, since to start a thread for each takes longer than to send a request.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as in a forked child: the thread, and what it held, is gone."""
        self._changed = threading.Condition()
        self._ahead: list[tuple[float, int, Deadline]] = []
        self._is_running = False

    def add(self, deadline: Deadline) -> None:
        """Let a deadline pass once its seconds are over."""
        entry = time.monotonic() + deadline.seconds, id(deadline), deadline
        with self._changed:
            heapq.heappush(self._ahead, entry)
            if not self._is_running:
                threading.Thread(
                    target=self._run, name="hydro-hooks-deadline", daemon=True
                ).start()
                self._is_running = True
            elif self._ahead[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._ahead:
                    self._is_running = False
                    return
                left = self._ahead[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                _, _, deadline = heapq.heappop(self._ahead)
            deadline.expire()


_watch: Final = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.renew)


def _shut_down(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        handle.shutdown(socket.SHUT_RDWR)


def watch(handle: socket.socket) -> None:
    """Have the deadline of this thread, if there is one, end a connection."""
    deadline: Deadline | None = getattr(_of_thread, "deadline", None)
    if deadline is not None:
        deadline.watch(handle)
