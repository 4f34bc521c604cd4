"""Connections to a gateway: they end at a deadline, and no log tells what came back."""

from __future__ import annotations

import http.client
import socket
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hydro_hooks.forking import waiting
from hydro_hooks.sinks.deadline import watch


class _Untold(http.client.HTTPResponse):
    """Forgets those lines of a header that are none.

    urllib3 logs them as a warning, and what came back may be what was sent: the
    signature, the events.
    """

    def begin(self) -> None:
        """Read the header."""
        super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Ended:
    """Added to a connection: the thread's deadline watches its socket."""

    response_class: Any = _Untold  # Any: urllib3 declares another type than it takes
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        # A second handle, since TLS takes the first one over; both are one connection.
        self._handle = made.dup()
        watch(self._handle)
        return made

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, also on a connection kept alive since an earlier one."""
        # Any: passed on to urllib3 unread.
        if self._handle is not None:
            watch(self._handle)
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
