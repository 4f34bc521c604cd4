"""A relay is killed at random moments while events are written: none is lost.

`HYDRO_KILLS=50` makes the run a long one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from databases import Database
from sample_events import ids_in, record, sample_event
from scripted_gateway import SECRET, ScriptedGateway
from sqlalchemy import Engine

from hydro_hooks import tables

KILLS = int(os.environ.get("HYDRO_KILLS", "6"))

# A short lease, so that the next relay takes over at once.
RELAY = """
import sys, threading
from datetime import timedelta
from sqlalchemy import create_engine
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings
settings = Settings(base_url=sys.argv[2], secrets=(sys.argv[3],))
relay = Relay(create_engine(sys.argv[1]), settings, lease=timedelta(seconds=0.3))
print("ready", flush=True)
relay.run(threading.Event())
"""


class Writer:
    """Commits events in a thread, some at a time, until it is stopped."""

    def __init__(self, engine: Engine) -> None:
        self.ids: list[str] = []
        self._engine = engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.wait(0.01):
            count = random.randint(1, 8)  # noqa: S311 - not for secrets
            integration = random.randint(1, 30)  # noqa: S311 - as above
            events = [
                sample_event(jira_integration_id=integration, subject_id=str(number))
                for number in range(count)
            ]
            self.ids += record(self._engine, events)


def started(database: Database, gateway: ScriptedGateway) -> subprocess.Popen[str]:
    arguments = [database.text_url, gateway.url, SECRET]
    relay = subprocess.Popen(
        [sys.executable, "-c", RELAY, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert relay.stdout is not None
    assert relay.stdout.readline() == "ready\n"
    return relay


def ended(relay: subprocess.Popen[str]) -> None:
    relay.kill()
    relay.wait()
    assert relay.stdout is not None
    relay.stdout.close()


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.mark.timeout(120 + 10 * KILLS)
def test_a_relay_killed_again_and_again_loses_and_invents_nothing(
    engine: Engine, database: Database, gateway: ScriptedGateway
) -> None:
    kills_at_work = 0
    with Writer(engine) as writer:
        for _ in range(KILLS):
            relay = started(database, gateway)
            before = len(gateway.requests)
            time.sleep(random.uniform(0.0, 0.6))  # noqa: S311 - not for secrets
            ended(relay)
            kills_at_work += len(gateway.requests) > before
    relay = started(database, gateway)
    end = time.monotonic() + 60
    while ids_in(engine, tables.outbox):
        assert time.monotonic() < end
        time.sleep(0.1)
    ended(relay)

    received = Counter(gateway.event_ids)
    journal = ids_in(engine, tables.journal)
    print(  # noqa: T201 - the figures of the long run
        f"\n{database.kind}: {KILLS} kills ({kills_at_work} while delivering),"
        f" {len(writer.ids)} recorded,"
        f" {len(set(writer.ids) - received.keys())} lost,"
        f" {len(received.keys() - set(writer.ids))} invented,"
        f" {received.total() - len(received)} sent again with the same id,"
        f" {len(journal)} in the journal"
    )
    assert received.keys() == set(writer.ids)
    assert sorted(journal) == sorted(writer.ids)
    assert ids_in(engine, tables.rejected) == []
