"""How fast the relay delivers, as a ratio to what can be had without a gateway.

    python tests/benchmarks/relay.py [--cases TEXT,TEXT] [--rounds 5] [--events 20000]
        [--million 1000000]

On the PostgreSQL of the tests (HYDRO_TEST_POSTGRESQL), in a database of its own. Each
arm (`delivery_arms.py`) runs in a process of its own, on a backlog made anew; the arms
take turns, and a ratio is the median over the rounds. The gateway
(`verifying_gateway.py`) is another process on the same machine, which checks signatures
and may answer late; Kafka is librdkafka's mock cluster in this process.

- one relay: to the ceiling that claims, builds, signs and deletes, and to one that
  moves the rows to the journal as the relay does.
- distant: the gateway answers 20 ms after a request; to shards x 50 events / 20 ms.
- million: pages that a claim touches (EXPLAIN ANALYZE, BUFFERS) and the relay's time
  for an event with so many rows waiting, to those with 1,000; also after 90 % of them
  were delivered while an old snapshot is held open.
- memory: of the relay's process while it delivers them all.
- validation: the time that checking takes, as a share of the relay's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from benchmarks.delivery_arms import SECRET, sample_backlog
from databases import SERVERS
from kafka_cluster import KafkaCluster
from sample_events import record

from hydro_hooks import claims, creation, tables
from hydro_hooks.relay import IN_FLIGHT

NAME: Final = "hydro_bench_relay"
HERE: Final = Path(__file__).parent
DELAY_SECONDS: Final = 0.020
BATCH: Final = 50
"""Events in a request to the distant gateway."""

SEED: Final = 1000
"""Events recorded by the package; a larger backlog is copies, of other subjects."""

Row = tuple[str, str, str, str]
"""Case, what was seen, as a ratio, to reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A database with a backlog, and arms that deliver it."""

    engine: Engine
    events: int
    million: int
    rounds: int

    def fill(self, count: int) -> None:
        """Leave exactly so many events in the outbox, and nothing elsewhere."""
        with self.engine.begin() as connection:
            connection.execute(
                text("TRUNCATE hydro_outbox, hydro_journal, hydro_shard")
            )
        record(self.engine, sample_backlog(min(SEED, count)))
        with self.engine.begin() as connection:
            connection.execute(text(COPIES), {"copies": count // SEED - 1})
        with self.engine.connect() as connection:
            autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
            autocommit.execute(text("VACUUM ANALYZE hydro_outbox"))
            autocommit.execute(text("CHECKPOINT"))
        claims.ready_shards(self.engine)

    def run(self, arm: str, *arguments: str) -> dict[str, Any]:
        """Run an arm on what is in the outbox, and return what it tells."""
        url = self.engine.url.render_as_string(hide_password=False)
        done = subprocess.run(
            [sys.executable, str(HERE / "delivery_arms.py"), arm, url, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def rates(
        self, arms: dict[str, tuple[str, ...]], count: int | None = None
    ) -> dict[str, list[float]]:
        """Return events a second of each arm, round by round."""
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(self.rounds):
            for name, arguments in arms.items():
                self.fill(count or self.events)
                told = self.run(*arguments)
                rates[name].append(told["events"] / told["seconds"])
        return rates


COPIED: Final = ", ".join(
    column.name
    for column in tables.outbox.columns
    if column.name not in {"seq", "id", "subject_id", "payload"}
)
COPIES: Final = f"""
    WITH new AS MATERIALIZED (
        SELECT *, (left(later, 8) || '-' || right(later, 4) || rest)::uuid AS new_id
        FROM (
            SELECT old.*, copy || '-' || old.subject_id AS new_subject,
                lpad(to_hex(
                    ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint
                    + copy * 1000
                ), 12, '0') AS later,
                substr(id::text, 14) AS rest
            FROM generate_series(1, :copies) AS copy, hydro_outbox AS old
        ) AS parts
    )
    INSERT INTO hydro_outbox (id, subject_id, payload, {COPIED})
    SELECT new_id, new_subject, payload || jsonb_build_object(
            'eventId', new_id, 'subjectId', new_subject
        ), {COPIED}
    FROM new
"""  # noqa: S608 - names of our own columns
"""With ids of a second later each, which are UUIDs of version 7 as all others."""


def ratio(rates: dict[str, list[float]], one: str, other: str) -> float:
    pairs = zip(rates[one], rates[other], strict=True)
    return statistics.median(mine / its for mine, its in pairs)


def told_rates(rates: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{name} {statistics.median(each):,.0f}/s" for name, each in rates.items()
    )


@contextmanager
def a_gateway(delay_seconds: float = 0.0) -> Iterator[str]:
    process = subprocess.Popen(
        [
            sys.executable,
            str(HERE / "verifying_gateway.py"),
            SECRET,
            str(delay_seconds),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    try:
        yield f"http://127.0.0.1:{port}/api/v1/events"
    finally:
        process.kill()
        process.communicate()


def one_relay(bench: Bench) -> Iterator[Row]:
    with a_gateway() as url:
        rates = bench.rates(
            {
                "ceiling": ("ceiling",),
                "relay": ("relay", url),
                "50 in a batch": ("relay", url, str(IN_FLIGHT), "50"),
                "with journal": ("journal",),
            }
        )
    seen = told_rates(rates)
    yield "one relay", seen, f"{ratio(rates, 'relay', 'ceiling'):.2f}", ">= 0.55"
    to_journal = ratio(rates, "relay", "with journal")
    yield "to a ceiling with the journal", "", f"{to_journal:.2f}", ""
    small = ratio(rates, "50 in a batch", "ceiling")
    yield "50 events in a batch", "", f"{small:.2f}", ""


def distant(bench: Bench) -> Iterator[Row]:
    with a_gateway(DELAY_SECONDS) as url:
        for shards in (1, 4):
            rates = bench.rates({"relay": ("relay", url, str(shards), str(BATCH))})
            possible = shards * BATCH / DELAY_SECONDS
            share = statistics.median(rates["relay"]) / possible
            name = f"gateway {DELAY_SECONDS * 1000:.0f} ms away, {shards} in flight"
            yield name, told_rates(rates), f"{share:.2f}", ">= 0.80"


def kafka(bench: Bench) -> Iterator[Row]:
    with KafkaCluster() as cluster:
        url = f"kafka://{cluster.brokers}/hydro"
        rates = bench.rates(
            {"ceiling": ("ceiling",), "relay": ("relay", url)}, 3 * bench.events
        )
    yield (
        "Kafka (mock)",
        told_rates(rates),
        f"{ratio(rates, 'relay', 'ceiling'):.2f}",
        ">= 0.75",
    )


def pages(connection: Connection) -> dict[int, int]:
    """Return the pages that a read of 50 rows touches, by the shard's number."""
    reads: list[tuple[str, Any]] = []
    listen_to = (connection.engine, "before_cursor_execute")

    @event.listens_for(*listen_to)
    def note(*args: Any) -> None:
        reads.append((args[2], args[3]))

    full = [
        number
        for number in range(tables.SHARDS)
        if len(claims.head(connection.engine, number, limit=BATCH)) == BATCH
    ]
    event.remove(*listen_to, note)
    touched = {}
    for number in full:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {reads[number][0]}"
        [plan] = connection.exec_driver_sql(explain, reads[number][1]).scalar_one()
        top = plan["Plan"]
        touched[number] = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    return touched


def million(bench: Bench) -> Iterator[Row]:
    touched = {}
    for count in (1000, bench.million):
        bench.fill(count)
        with bench.engine.connect() as connection:
            touched[count] = pages(connection)
    shards = touched[1000].keys() & touched[bench.million].keys()
    few, many = (
        statistics.mean(touched[count][shard] for shard in shards) for count in touched
    )
    yield (
        f"pages a claim, {bench.million:,} waiting to 1,000",
        f"{many:.1f} to {few:.1f}",
        f"{many / few:.2f}",
        "<= 1.05",
    )
    with a_gateway() as url:
        bench.fill(SEED)
        few_told = bench.run("again", url)
        bench.fill(bench.million)
        with bench.engine.connect() as old:
            old.execution_options(isolation_level="REPEATABLE READ")
            old.execute(text("SELECT count(*) FROM hydro_shard"))  # its snapshot
            told = bench.run("relay", url)
    yield from _of_million(bench, few_told, told)


def _of_million(
    bench: Bench, few: dict[str, Any], many: dict[str, Any]
) -> Iterator[Row]:
    samples = many["samples"]
    began_at = samples[0][0]
    ends = {
        share: next(at for at, count, _ in samples if count >= share * many["events"])
        for share in (0.1, 0.9, 0.999)
    }
    tenth = many["events"] / 10
    each = {
        "of 1,000 each": few["seconds"] / few["events"],
        "all": many["seconds"] / many["events"],
        "first tenth": (ends[0.1] - began_at) / tenth,
        "last tenth": (ends[0.999] - ends[0.9]) / tenth,
    }
    seen = ", ".join(f"{name} {1e6 * time:.0f} µs" for name, time in each.items())
    yield (
        f"time an event, {bench.million:,} to 1,000, an old snapshot open",
        seen,
        f"{each['all'] / each['of 1,000 each']:.2f}",
        "<= 1.20",
    )
    slowing = each["last tenth"] / each["first tenth"]
    yield "the last tenth to the first", "", f"{slowing:.2f}", ""
    mib = [kib / 1024 for _, _, kib in samples]
    settled = mib[len(mib) // 10 :]
    yield (
        f"memory while draining {bench.million:,}",
        f"{min(settled):.0f} to {max(settled):.0f} MiB, at the end {mib[-1]:.0f}",
        "",
        "flat, <= 80 MB",
    )


def validation(bench: Bench) -> Iterator[Row]:
    bench.fill(bench.events)
    checking = bench.run("validation")
    with a_gateway() as url:
        relaying = bench.run("relay", url, "1")
    share = checking["seconds"] / relaying["cpu"]
    each = checking["seconds"] / checking["events"] * 1e6
    cpu = relaying["cpu"] / relaying["events"] * 1e6
    yield (
        "validation, share of the relay's CPU time",
        f"{each:.0f} µs of {cpu:.0f} µs an event",
        f"{share:.2f}",
        "",
    )


CASES: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "one relay": one_relay,
    "distant": distant,
    "kafka": kafka,
    "validation": validation,
    "million": million,
}


@contextmanager
def a_database() -> Iterator[Engine]:
    server = make_url(SERVERS["postgresql"][1])
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {NAME}"))
    engine = create_engine(server.set(database=NAME))
    creation.create_tables(engine)
    try:
        yield engine
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {NAME} WITH (FORCE)"))
        admin.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--million", type=int, default=1_000_000)
    given = parser.parse_args()
    with a_database() as engine:
        bench = Bench(
            engine=engine,
            events=given.events,
            million=given.million,
            rounds=given.rounds,
        )
        for name in given.cases.split(","):
            for row in CASES[name](bench):
                print(f"| {' | '.join(row)} |", flush=True)  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
