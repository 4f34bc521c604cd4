"""A relay's health and figures over HTTP, for a supervisor and for Prometheus.

    with serve(relay, engine, port=9187):
        relay.run(stop)

`/healthz` answers 200 while the relay works and 503 when it cannot; a gateway that is
away is no fault of the relay's. `/metrics` is Prometheus' text. An app with a registry
of its own registers a `RelayCollector` there. Needs the extra `metrics`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hydro_hooks import claims, outbox
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.progress import Progress
from hydro_hooks.relay import Relay

STALE: Final = timedelta(minutes=2)
"""A relay that has ended no round for so long is stuck."""

_Start = Callable[[str, list[tuple[str, str]]], Any]


class RelayCollector(Collector):
    """What a relay has done, and what waits in its database.

    Args:
        relay: In this process.
        engine: Of its database; asked at each scrape.

    Raises:
        TypeError: They are none.
    """

    def __init__(self, relay: Relay, engine: Engine) -> None:
        given: tuple[object, object] = (relay, engine)
        if not isinstance(given[0], Relay) or not isinstance(given[1], Engine):
            kinds = " and ".join(type(one).__name__ for one in given)
            message = f"RelayCollector() takes a Relay and an Engine, and got {kinds}"
            raise TypeError(message)
        self._relay = relay
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; those of the database only where it answers."""
        done = self._relay.progress
        yield CounterMetricFamily(
            "hydro_hooks_delivered", "Events delivered.", value=done.delivered
        )
        yield CounterMetricFamily(
            "hydro_hooks_rejected", "Events refused for good.", value=done.rejected
        )
        yield CounterMetricFamily(
            "hydro_hooks_lost_batches",
            "Batches whose lease another relay took over.",
            value=done.lost,
        )
        if done.passed_at is not None:
            yield GaugeMetricFamily(
                "hydro_hooks_last_round_timestamp_seconds",
                "When the relay last had looked at all shards.",
                value=done.passed_at.timestamp(),
            )
        yield from self._of_database()

    def _of_database(self) -> Iterator[Metric]:
        try:
            with self._engine.connect() as connection:
                waiting = outbox.waiting(connection)
                refused = claims.rejected_of(connection, claims.Wanted(), errors=0)
        except SQLAlchemyError:
            is_up = 0
        else:
            is_up = 1
            yield GaugeMetricFamily(
                "hydro_hooks_waiting_events",
                "Events in the outbox.",
                value=waiting.count,
            )
            yield GaugeMetricFamily(
                "hydro_hooks_oldest_waiting_seconds",
                "Age of the oldest event in the outbox; 0 without any.",
                value=_seconds_since(waiting.oldest_occurred_at),
            )
            yield GaugeMetricFamily(
                "hydro_hooks_rejected_events",
                "Events in hydro_rejected.",
                value=refused.count,
            )
        yield GaugeMetricFamily(
            "hydro_hooks_database_up", "Whether the database answers.", value=is_up
        )


def _seconds_since(moment: datetime | None) -> float:
    if moment is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def ailment(progress: Progress, *, now: datetime) -> str | None:
    """Return what is wrong with a relay; None when nothing is."""
    if progress.problem is not None:
        return progress.problem
    if progress.passed_at is None:
        return "it has made no round yet"
    if now - progress.passed_at > STALE:
        return f"it has ended no round since {progress.passed_at:%Y-%m-%d %H:%M:%S} UTC"
    return None


@contextmanager
def serve(
    relay: Relay, engine: Engine, *, host: str = "127.0.0.1", port: int
) -> Iterator[int]:
    """Answer `/healthz` and `/metrics` while the block runs; yield the port.

    Args:
        relay: In this process.
        engine: Of its database.
        host: The address to listen at. Nothing secret is told, and nobody is asked for
            a password.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: The port cannot be listened at.
    """
    registry = CollectorRegistry()
    registry.register(RelayCollector(relay, engine))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            text: Iterable[bytes] = metrics(environ, start)
            return text
        if path == "/healthz":
            return _health(relay.progress, start)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/healthz or /metrics\n"]

    try:
        server = make_server(host, port, answer, _Server, _SilentHandler)
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error.strerror}"
        raise ConfigurationError(message) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _health(progress: Progress, start: _Start) -> Iterable[bytes]:
    problem = ailment(progress, now=datetime.now(UTC))
    passed_at = progress.passed_at
    told = {
        "status": "failing" if problem else "ok",
        "problem": problem,
        "delivered": progress.delivered,
        "rejected": progress.rejected,
        "lost_batches": progress.lost,
        "last_round_at": None if passed_at is None else passed_at.isoformat(),
    }
    status = "503 Service Unavailable" if problem else "200 OK"
    start(status, [("Content-Type", "application/json")])
    return [json.dumps(told).encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Say nothing: a request every few seconds is no news."""
