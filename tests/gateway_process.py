"""A gateway in a process of its own, which a test may end or kill.

Run as a script with the store's URL, it prints where it listens and serves.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from hydro_hooks.testing.gateway import SECRET
from hydro_hooks.web import EVENTS_PATH, Server, create_app, open_store, serve


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayProcess:
    process: subprocess.Popen[str]
    url: str


@contextlib.contextmanager
def gateway_process(store: str) -> Iterator[GatewayProcess]:
    """Give a gateway that answers; what is left of it is killed at the end."""
    command = [sys.executable, __file__, store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, "the gateway did not start"
            yield GatewayProcess(process=process, url=url)
        finally:
            process.kill()


def _say_where(server: Server) -> None:
    sys.stdout.write(f"{server.url}{EVENTS_PATH}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    engine = open_store(sys.argv[1])
    serve(create_app(engine, secrets=[SECRET]), on_ready=_say_where)
    engine.dispose()
    sys.stdout.write("ended\n")
