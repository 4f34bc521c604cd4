"""The brokers that the tests of job queues run on."""

from __future__ import annotations

import os
import socket
from typing import Final
from urllib.parse import urlsplit

from needs import missing

BROKERS: Final = {
    "redis": ("HYDRO_TEST_REDIS", "redis://127.0.0.1:6379/13"),
    "rabbitmq": ("HYDRO_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
}


def broker_url(kind: str) -> str:
    """Return a broker's URL, or skip (in CI: fail) where there is none."""
    variable, default = BROKERS[kind]
    url = os.environ.get(variable, default)
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), 2).close()
    except OSError as error:
        reason = (
            f"{kind} does not answer: start one, or set {variable} to its URL: {error}"
        )
        missing(reason)
    return url
