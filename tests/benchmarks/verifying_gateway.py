"""A gateway as fast as Python makes one: it checks the signature, and answers.

    python tests/benchmarks/verifying_gateway.py SECRET DELAY_SECONDS

Prints its port; answers so many seconds after the last byte of a request has come.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from hydro_hooks.signing import HydroHmac

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + b'{"status":"OK"}'
REFUSED: Final = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self, signer: HydroHmac, delay_seconds: float) -> None:
        self._signer = signer
        self._delay_seconds = delay_seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        if len(body) < int(headers["Content-Length"]):
            return
        self._received = b""
        is_good = self._signer.verify(body, headers["Authorization"])
        answer = OK if is_good else REFUSED
        asyncio.get_running_loop().call_later(
            self._delay_seconds, self._transport.write, answer
        )


async def serve(secret: str, delay_seconds: float) -> None:
    signer = HydroHmac([secret])
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(signer, delay_seconds), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for its parent
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
