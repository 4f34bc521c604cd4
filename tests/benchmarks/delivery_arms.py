"""The arms of `relay.py`, each run in a process of its own; prints what it measured.

    python tests/benchmarks/delivery_arms.py ARM DATABASE [URL [IN_FLIGHT [BATCH]]]

- ceiling: what somebody would write by hand without a gateway: claim 50 rows of a
  shard, build the request's body, sign it, delete the rows, commit.
- journal: the same, and the rows are moved to the journal, as the relay does.
- relay: `Relay.drain()`, to the URL.
- again: 1,000 events twenty times, by one relay.
- validation: the relay's own checking of all payloads, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, func, select

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from sample_events import record, sample_event

from hydro_hooks import outbox, schema, tables
from hydro_hooks.courier import MAX_BATCH
from hydro_hooks.event import Event
from hydro_hooks.relay import IN_FLIGHT, Relay
from hydro_hooks.settings import Settings
from hydro_hooks.tables import SHARDS

SECRET: Final = "benchmark"
SHARED: Final = ", ".join(
    column.name
    for column in tables.journal.columns
    if column.name in tables.outbox.columns
)
CLAIM: Final = (
    "SELECT seq, payload::text FROM hydro_outbox WHERE shard = %s ORDER BY seq LIMIT 50"
)
JOURNAL: Final = (  # of names of our own columns
    f"INSERT INTO hydro_journal ({SHARED}, schema, settled_at, attempts, settled_by)"  # noqa: S608
    f" SELECT {SHARED}, 'jira.v1.Action', now(), 1, 'by hand' FROM hydro_outbox"
    " WHERE seq = ANY(%s)"
)
DELETE: Final = "DELETE FROM hydro_outbox WHERE seq = ANY(%s)"


def by_hand(engine: Engine, *, keeps_journal: bool) -> int:
    """Deliver all rows to nobody, in the least time."""
    done = 0
    with engine.connect() as connection:
        while True:
            counts = [
                _batch(connection, shard, keeps_journal=keeps_journal)
                for shard in range(SHARDS)
            ]
            if not any(counts):
                return done
            done += sum(counts)


def _batch(connection: Connection, shard: int, *, keeps_journal: bool) -> int:
    rows = connection.exec_driver_sql(CLAIM, (shard,)).all()
    events = [
        {"schema": "jira.v1.Action", "value": payload, "cluster": "potomac"}
        for _, payload in rows
    ]
    body = json.dumps({"events": events}).encode()
    hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    seqs = [seq for seq, _ in rows]
    if keeps_journal:
        connection.exec_driver_sql(JOURNAL, (seqs,))
    connection.exec_driver_sql(DELETE, (seqs,))
    connection.commit()
    return len(rows)


def sample_backlog(count: int) -> list[Event]:
    """Return events of 500 installations."""
    return [
        sample_event(jira_integration_id=number % 500, subject_id=str(number))
        for number in range(count)
    ]


def validated(engine: Engine) -> int:
    """Check all payloads as the relay does."""
    with engine.connect() as connection:
        payloads = connection.scalars(select(tables.outbox.c.payload)).all()
    wire = schema.load(outbox.PAYLOAD_SCHEMA)
    began_at = time.perf_counter()
    for payload in payloads:
        wire.check(schema.parse(payload))
    _tell(len(payloads), time.perf_counter() - began_at)
    return len(payloads)


def again(engine: Engine, relay: Relay, count: int) -> None:
    """Deliver so many events, twenty times, by a relay that is warm."""
    seconds = 0.0
    for number in range(21):
        record(engine, sample_backlog(count))
        began_at = time.perf_counter()
        relay.drain()
        seconds += (time.perf_counter() - began_at) * (number > 0)
    _tell(20 * count, seconds)


class Samples(threading.Thread):
    """Notes time, events delivered and resident memory four times a second."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(daemon=True)
        self._relay = relay
        self.taken: list[tuple[float, int, int]] = []

    def run(self) -> None:
        while True:
            self.take()
            time.sleep(0.25)

    def take(self) -> None:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        kib = pages * resource.getpagesize() // 1024
        now = time.perf_counter()
        self.taken.append((now, self._relay.progress.delivered, kib))


def _tell(count: int, seconds: float, **more: Any) -> None:
    told = {"events": count, "seconds": seconds, **more}
    print(json.dumps(told), flush=True)  # noqa: T201 - for its parent


def timed(deliver: Callable[[], int], samples: Samples | None = None) -> None:
    before = time.process_time()
    began_at = time.perf_counter()
    count = deliver()
    seconds = time.perf_counter() - began_at
    taken = []
    if samples is not None:
        samples.take()
        taken = samples.taken
    _tell(count, seconds, cpu=time.process_time() - before, samples=taken)


def main(
    arm: str,
    database: str,
    url: str = "http://127.0.0.1:9/",
    in_flight: str = str(IN_FLIGHT),
    max_batch: str = str(MAX_BATCH),
) -> None:
    engine = create_engine(database)
    with engine.connect() as connection:  # connected, and all is imported
        connection.execute(select(func.count()).select_from(tables.shard))
    relay = Relay(
        engine,
        Settings(base_url=url, secrets=(SECRET,)),
        in_flight=int(in_flight),
        max_batch=int(max_batch),
    )
    if arm == "validation":
        validated(engine)
    elif arm == "again":
        again(engine, relay, 1000)
    elif arm == "relay":
        samples = Samples(relay)
        samples.start()
        timed(lambda: relay.drain().delivered, samples)
    else:
        timed(lambda: by_hand(engine, keeps_journal=arm == "journal"))


if __name__ == "__main__":
    main(*sys.argv[1:])
