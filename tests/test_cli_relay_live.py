"""A relay at work can be watched: on a terminal, in the log, and over HTTP."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from databases import Database
from delivering import wait_until
from sample_events import record, sample_events
from scripted_gateway import SECRET, Scripted, ScriptedGateway
from sqlalchemy import Engine, create_engine

from hydro_hooks import creation
from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.cli.progress import progress_of, told
from hydro_hooks.cli.terminal import StatusLine
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.metrics import STALE, ailment, serve
from hydro_hooks.outbox import Waiting
from hydro_hooks.progress import Progress
from hydro_hooks.relay import Relay

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMAND = [sys.executable, "-m", "hydro_hooks.cli", "relay"]


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield an app's database where the kind of database does not matter."""
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    creation.create_tables(engine)
    yield engine
    engine.dispose()


@contextmanager
def relaying(
    engine: Engine, gateway: ScriptedGateway, *options: str, stderr: int
) -> Iterator[subprocess.Popen[str]]:
    place = ("--database", str(engine.url), "--url", gateway.url)
    process = subprocess.Popen(
        [*COMMAND, *place, *options],
        env={**os.environ, "HYDRO_APP_SECRET": SECRET, "COLUMNS": "100"},
        stderr=stderr,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_on_a_terminal_a_line_shows_what_is_delivered_and_what_waits(
    file_engine: Engine,
) -> None:
    record(file_engine, sample_events(60))
    goes_on = threading.Event()
    ours, theirs = os.openpty()
    shown = ""

    def shows(pattern: str) -> bool:
        nonlocal shown
        shown += os.read(ours, 4096).decode()
        return re.search(pattern, shown) is not None

    with (
        ScriptedGateway([Scripted(awaits=goes_on)]) as gateway,
        relaying(file_engine, gateway, stderr=theirs),
    ):
        wait_until(lambda: shows(r"\r\x1b\[K0 delivered \(0/s\), 60 wait, the oldest"))
        goes_on.set()
        wait_until(lambda: shows(r"\r\x1b\[K60 delivered \(\d+/s\), none waits"))
    os.close(theirs)

    assert "Delivered 60 events" not in shown
    os.close(ours)


def is_quiet(caplog: pytest.LogCaptureFixture) -> bool:
    """Return whether nothing is logged for half a second, ten looks."""
    before = len(caplog.messages)
    time.sleep(0.5)
    return len(caplog.messages) == before


def test_elsewhere_the_log_tells_it(
    file_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydro_hooks")
    record(file_engine, sample_events(3))
    goes_on = threading.Event()
    with ScriptedGateway([Scripted(awaits=goes_on)]) as gateway:
        relay = Relay(file_engine, gateway.settings())
        line = StatusLine(is_shown=False)
        with progress_of(relay, file_engine, line, seconds=0.05):
            relay.start()
            wait_until(lambda: "0 delivered (0/s), 3 wait, the oldest" in caplog.text)
            goes_on.set()
            wait_until(lambda: "3 delivered" in caplog.text)
            wait_until(lambda: is_quiet(caplog))  # nothing waits: nothing more is said
        assert relay.stop()


def test_a_log_line_goes_above_the_line_of_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = StatusLine(is_shown=True)
    line.show("3 wait \x1b]0;owned\x07")
    with line.away():
        sys.stderr.write("a log line\n")
    line.clear()

    cleared = "\r\x1b[K"
    text = "3 wait \\x1b]0;owned\\x07"
    expected = f"{cleared}{text}{cleared}a log line\n{text}{cleared}"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("count", "age", "says"),
    [
        (0, None, "5 delivered (2/s), none waits"),
        (1, timedelta(seconds=4), "5 delivered (2/s), 1 waits, the oldest for 4 s"),
        (2, timedelta(minutes=3), "5 delivered (2/s), 2 wait, the oldest for 3 min"),
        (
            1200,
            timedelta(hours=50),
            "5 delivered (2/s), 1,200 wait, the oldest for 2 d",
        ),
        (2, timedelta(seconds=-9), "5 delivered (2/s), 2 wait, the oldest for 0 s"),
    ],
)
def test_progress_is_told_in_words(
    count: int, age: timedelta | None, says: str
) -> None:
    oldest = None if age is None else NOW - age
    waiting = Waiting(count=count, oldest_occurred_at=oldest)

    assert told(waiting, delivered=5, rejected=0, rate=2.2, now=NOW) == says


def test_what_was_refused_is_told_with_the_progress() -> None:
    waiting = Waiting(count=0, oldest_occurred_at=None)

    said = told(waiting, delivered=1000, rejected=7, rate=0, now=NOW)

    assert said == "1,000 delivered (0/s), 7 refused, none waits"


def test_a_relay_answers_a_supervisor_and_prometheus(file_engine: Engine) -> None:
    record(file_engine, sample_events(5))
    answers = [Scripted(), Scripted(status=503), Scripted(status=503)]
    with (
        ScriptedGateway(answers) as gateway,
        relaying(
            *(file_engine, gateway, "--listen", "0", "--max-batch", "3"),
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stderr is not None
        said = process.stderr.readline()
        gateway.wait_for(2)
        place = said.split()[1].removesuffix("/healthz")
        wait_until(lambda: requests.get(f"{place}/healthz", timeout=9).ok)
        health = requests.get(f"{place}/healthz", timeout=9)
        figures = requests.get(f"{place}/metrics", timeout=9).text
        nothing = requests.get(f"{place}/", timeout=9)

    assert health.json()["status"] == "ok"
    assert health.json()["delivered"] == 3
    assert "hydro_hooks_delivered_total 3.0" in figures
    assert "hydro_hooks_rejected_total 0.0" in figures
    assert "hydro_hooks_lost_batches_total 0.0" in figures
    assert "hydro_hooks_waiting_events 2.0" in figures
    assert re.search(r"hydro_hooks_oldest_waiting_seconds [1-9]", figures)
    assert "hydro_hooks_database_up 1.0" in figures
    assert "hydro_hooks_last_round_timestamp_seconds 1." in figures
    assert nothing.status_code == 404


def test_a_relay_without_its_database_is_not_healthy(database: Database) -> None:
    away = create_engine(database.url.set(database="/nowhere/at/all"))
    with ScriptedGateway() as gateway:
        relay = Relay(away, gateway.settings())
        with serve(relay, away, port=0) as port:
            new = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=9)
            relay.start()
            wait_until(lambda: relay.progress.problem is not None)
            health = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=9)
            figures = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=9).text
            assert relay.stop()
    away.dispose()

    assert new.status_code == health.status_code == 503
    assert new.json()["problem"] == "it has made no round yet"
    assert "database cannot be used" in health.json()["problem"]
    assert "hydro_hooks_database_up 0.0" in figures
    assert "waiting" not in figures


def test_a_relay_that_ends_no_round_is_stuck() -> None:
    at_work = Progress(passed_at=NOW)

    assert ailment(at_work, now=NOW + STALE) is None
    assert ailment(at_work, now=NOW + STALE + timedelta(seconds=1)) == (
        "it has ended no round since 2026-03-01 12:00:00 UTC"
    )


def test_a_port_that_is_taken_is_named(file_engine: Engine) -> None:
    with ScriptedGateway() as gateway:
        relay = Relay(file_engine, gateway.settings())
        with (
            pytest.raises(ConfigurationError, match=f"port {gateway.port}"),
            serve(relay, file_engine, port=gateway.port),
        ):
            pytest.fail("it listens at a port that is taken")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--listen", "nowhere"), "'nowhere' is no port"),
        (("--listen", "127.0.0.1:70000"), "is no port"),
        (("--listen", "9187", "--once"), "--listen is for a relay that goes on"),
        (("--in-flight", "17"), "17 is not in the range"),
        (("--max-batch", "0"), "0 is not in the range"),
    ],
)
def test_options_of_a_relay_out_of_their_range_are_wrong_usage(
    options: tuple[str, ...], says: str
) -> None:
    arguments = ("--database", "sqlite:///app.db", "--url", "http://127.0.0.1:9/")

    result = CliRunner().invoke(
        hydro_hooks, ["relay", *arguments, *options], env={"HYDRO_APP_SECRET": SECRET}
    )

    assert result.exit_code == 2
    assert says in result.stderr
