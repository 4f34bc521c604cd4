"""`relay`: delivers what is recorded, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Final

import click
from sqlalchemy import URL, Engine

from hydro_hooks import claims
from hydro_hooks.claims import Wait
from hydro_hooks.cli.database import check_tables, opened
from hydro_hooks.cli.parameters import (
    app_database_option,
    gateway_url_option,
    json_option,
)
from hydro_hooks.cli.progress import progress_of
from hydro_hooks.cli.terminal import (
    StatusLine,
    logs_on_stderr,
    say,
    write,
    write_json,
)
from hydro_hooks.cli.waiting import waiting_lines
from hydro_hooks.courier import MAX_BATCH
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.relay import IN_FLIGHT, Counts, Relay
from hydro_hooks.settings import Settings
from hydro_hooks.tables import SHARDS

MAX_PORT: Final = 65_535


def _address(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        message = f"{value!r} is no port; give one such as 9187 or 0.0.0.0:9187"
        raise click.BadParameter(message)
    return host.strip("[]") or "127.0.0.1", int(port)


@click.command()
@app_database_option
@gateway_url_option
@click.option(
    "--once", is_flag=True, help="Deliver what can be delivered now, and print counts."
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, SHARDS),
    default=IN_FLIGHT,
    show_default=True,
    help="Requests that are made at once.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    default=MAX_BATCH,
    show_default=True,
    help="Events in a request at most.",
)
@click.option(
    "--listen",
    callback=_address,
    metavar="[HOST:]PORT",
    help="Answer /healthz and /metrics there; on 127.0.0.1 unless a host is given.",
)
@json_option
def relay(
    database: URL,
    url: str | None,
    in_flight: int,
    max_batch: int,
    listen: tuple[str, int] | None,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """Deliver recorded events to the gateway until SIGTERM or SIGINT.

    Any number of relays may run. On a terminal a line shows how many events are
    delivered, how fast, and what waits; else the log does. Requests are signed with
    HYDRO_APP_SECRET, or by the callable that HYDRO_SIGNER names (module:attribute, also
    of the directory that this runs in); HYDRO_APP and HYDRO_SCHEMA say in whose name
    and in which schema. --json is for --once. What waits because of a wrong setting is
    tried at once when a relay starts.

    \b
    Example:
      hydro-hooks relay --database sqlite:///app.db --url http://127.0.0.1:8787/api/v1/events
    \b
    Exit codes: 0 stopped, or with --once everything is delivered; 1 failed, or with
    --once events still wait; 2 wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    if as_json and not once:
        message = "--json needs --once: a relay that goes on prints no counts"
        raise click.UsageError(message)
    if listen is not None and once:
        message = "--listen is for a relay that goes on, not for --once"
        raise click.UsageError(message)
    settings = _settings(url)
    line = StatusLine()
    with logs_on_stderr(line), opened(database) as engine:
        check_tables(engine)
        the_relay = Relay(engine, settings, in_flight=in_flight, max_batch=max_batch)
        if once:
            counts = the_relay.drain()
            _report(counts, claims.waits(engine), as_json=as_json)
            return
        with _stopped_by_signals() as stop, _served(the_relay, engine, listen):
            say(f"delivering to {settings.base_url} until SIGTERM or SIGINT")
            with progress_of(the_relay, engine, line):
                the_relay.run(stop)
        say("stopped; what is not delivered stays in the outbox")


@contextmanager
def _served(
    the_relay: Relay, engine: Engine, listen: tuple[str, int] | None
) -> Iterator[None]:
    if listen is None:
        yield
        return
    from hydro_hooks.metrics import serve  # noqa: PLC0415 - an extra

    host, port = listen
    with serve(the_relay, engine, host=host, port=port) as port:
        say(f"answering http://{host}:{port}/healthz and /metrics")
        yield


def _settings(url: str | None) -> Settings:
    settings = Settings.from_env(base_url=url)
    if settings.is_disabled:
        message = "TRACKING_DISABLED is set, so nothing is sent; unset it to deliver"
        raise ConfigurationError(message)
    if settings.base_url is None:
        message = (
            "there is nowhere to deliver to: give --url or set HYDRO_BASE_URL; until"
            " then events are kept in the outbox"
        )
        raise click.UsageError(message)
    if settings.signer is not None:
        sys.path.insert(0, str(Path.cwd()))  # as servers do for the app they run
    return settings


def _report(counts: Counts, waits: Sequence[Wait], *, as_json: bool) -> None:
    if as_json:
        write_json(asdict(counts))
    else:
        write(", ".join(f"{count} {name}" for name, count in asdict(counts).items()))
    if counts.waiting:
        for each in waiting_lines(waits):
            say(each)
        raise click.exceptions.Exit(1)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second one ends the process."""
    stop = threading.Event()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        # In a thread: the interrupted frame may be inside stop.wait() and hold the lock
        # that set() takes.
        threading.Thread(target=stop.set).start()

    for each in before:
        signal.signal(each, handle)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
