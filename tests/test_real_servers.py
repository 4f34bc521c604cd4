"""The background relay lives in real servers: forked, threaded, told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from databases import Database
from delivering import wait_until
from sample_events import ids_in, record, sample_events
from scripted_gateway import SECRET, Received, Scripted, ScriptedGateway
from sqlalchemy import Engine

from hydro_hooks import tables
from hydro_hooks.relay import Relay

# What an app looks like that starts its relay where it is imported.
APP = """
import os, sys
from datetime import timedelta
sys.path.insert(0, {tests!r})
from databases import Database
from sqlalchemy import make_url
from sqlalchemy.orm import Session
from tracked_models import Installation, mappings
from hydro_hooks import because, register
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings

engine = Database(kind={kind!r}, url=make_url({database!r})).engine()
register(*mappings())
settings = Settings(base_url={gateway!r}, secrets=({secret!r},))
relay = Relay(engine, settings, lease=timedelta(seconds={lease}))
relay.start()

def app(environ, start_response):
    if environ["PATH_INFO"] == "/gone":
        os._exit(9)
    with Session(engine) as session, because("web interaction"):
        session.add(Installation())
        session.commit()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A gunicorn at work."""

    process: subprocess.Popen[str]
    url: str

    def create(self, count: int) -> set[str]:
        """Let it create installations; return the pids of the workers that did."""
        return {requests.get(self.url, timeout=20).text for _ in range(count)}

    def end(self) -> float:
        """Send SIGTERM, and return after how many seconds it has ended."""
        began_at = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)
        return time.monotonic() - began_at


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def write_app(
    folder: Path, database: Database, gateway: ScriptedGateway, lease_seconds: float
) -> None:
    (folder / "an_app.py").write_text(
        APP.format(
            tests=str(Path(__file__).parent),
            kind=database.kind,
            database=database.text_url,
            gateway=gateway.url,
            secret=SECRET,
            lease=lease_seconds,
        )
    )


@contextmanager
def serving(
    database: Database,
    gateway: ScriptedGateway,
    folder: Path,
    *options: str,
    lease_seconds: float = 30.0,
) -> Iterator[Server]:
    write_app(folder, database, gateway, lease_seconds)
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "an_app:app", *options),
            *("--bind", f"127.0.0.1:{port}", "--graceful-timeout", "5"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/"
    said: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
    reader.start()
    try:
        wait_until(lambda: any("Booting worker" in line for line in said), seconds=40)
        yield Server(process=process, url=url)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=40)
        finally:
            process.kill()
            reader.join()
            process.stderr.close()
    problems = [
        line for line in said if "Traceback" in line or "DeprecationWarn" in line
    ]
    assert problems == []


WORKERS = ("--workers", "2", "--threads", "2")


@pytest.mark.parametrize("options", [WORKERS, (*WORKERS, "--preload")], ids=str)
def test_workers_record_and_what_they_record_is_delivered_once(
    tracked: Engine, database: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with (
        ScriptedGateway() as gateway,
        serving(database, gateway, tmp_path, *options) as server,
    ):
        server.create(30)
        wait_until(lambda: len(ids_in(tracked, tables.journal)) == 30)

        seconds = server.end()

        assert sorted(gateway.event_ids) == sorted(ids_in(tracked, tables.journal))
    assert server.process.returncode == 0
    assert seconds < 15


@pytest.mark.parametrize("options", [WORKERS, (*WORKERS, "--preload")], ids=str)
def test_a_server_that_ends_during_a_batch_leaves_it_to_the_next_at_once(
    tracked: Engine, database: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    never = threading.Event()

    def answer(_: Received) -> Scripted:
        return Scripted(awaits=never)

    ids = record(tracked, sample_events(3))
    with (
        ScriptedGateway(answer) as hanging,
        serving(database, hanging, tmp_path, *options) as server,
    ):
        hanging.wait_for(1)
        server.end()
        with ScriptedGateway() as gateway:
            began_at = time.monotonic()
            Relay(tracked, gateway.settings()).drain()
            seconds = time.monotonic() - began_at
        never.set()

    assert ids_in(tracked, tables.journal) == ids
    assert gateway.event_ids == ids
    assert seconds < 1.0


def test_a_worker_that_is_gone_at_once_loses_nothing(
    tracked: Engine, database: Database, tmp_path: Path
) -> None:
    with (
        ScriptedGateway() as gateway,
        serving(database, gateway, tmp_path, *WORKERS, lease_seconds=2) as server,
    ):
        server.create(5)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{server.url}gone", timeout=20)
        server.create(5)

        # A lease that it held ends by itself.
        wait_until(lambda: len(ids_in(tracked, tables.journal)) == 10)

    assert set(gateway.event_ids) == set(ids_in(tracked, tables.journal))


FORKING = """
import os, sys, time
sys.path.insert(0, {tests!r})
import an_app
from hydro_hooks import tables
from sample_events import ids_in

def threads():
    import threading
    return [one.name for one in threading.enumerate() if "relay" in one.name]

assert threads() == ["hydro-hooks-relay"]
child = os.fork()
if child == 0:
    assert threads() == []
    an_app.app({{"PATH_INFO": "/"}}, lambda *_: None)
    assert threads() == ["hydro-hooks-relay"]
    os._exit(0 if an_app.relay.stop() else 1)
an_app.relay.stop()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_delivers_once_it_records(
    tracked: Engine, database: Database, tmp_path: Path
) -> None:
    tests = str(Path(__file__).parent)
    with ScriptedGateway() as gateway:
        write_app(tmp_path, database, gateway, 30.0)
        # From Python 3.12 on, a fork beside threads is warned of.
        quiet = ("-W", "ignore:This process")
        done = subprocess.run(
            [sys.executable, *quiet, "-c", FORKING.format(tests=tests)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert (done.returncode, done.stderr) == (0, "")
        Relay(tracked, gateway.settings()).drain()
        assert len(set(gateway.event_ids)) == 1
