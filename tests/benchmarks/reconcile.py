"""How long `reconcile` takes over a table of a million rows, and whom it holds up.

    python tests/benchmarks/reconcile.py [--kinds sqlite,postgresql,mariadb]
        [--rows 1000000]

Of each database: the baseline (every row's event is written), and a nightly run, where
the events are in the journal and a thousand rows were changed unseen. The plain run
alongside reads the same rows in the same pages and does nothing with them. Meanwhile a
writer changes one row after the other; told is the longest that one of its transactions
took.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Engine,
    create_engine,
    delete,
    event,
    insert,
    literal,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

import tracked_models
from databases import SERVERS
from tracked_models import HOST, Installation

from hydro_hooks import Hooks, creation, register
from hydro_hooks.journal import PAGE
from hydro_hooks.outbox import OURS
from hydro_hooks.reconcile import Reconciliation
from hydro_hooks.tables import journal, outbox

NAME: Final = "hydro_bench_reconcile"
UNSEEN: Final = {OURS: True}
FIRST: Final = 10_000
"""Rows that the writer has for itself."""


@contextmanager
def a_database(kind: str) -> Iterator[Engine]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            engine = create_engine(f"sqlite:///{folder}/app.db")

            @event.listens_for(engine, "connect")
            def wal(connection: Any, _: object) -> None:
                connection.execute("PRAGMA journal_mode = WAL")

            yield engine
            engine.dispose()
        return
    server = make_url(SERVERS[kind][1])
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {NAME}"))
        connection.execute(text(f"CREATE DATABASE {NAME}"))
    engine = create_engine(server.set(database=NAME))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {NAME}"))
    admin.dispose()


def fill(engine: Engine, count: int) -> None:
    creation.create_tables(engine)
    tracked_models.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for start in range(1, count + 1, 10_000):
            ids = range(start, min(start + 10_000, count + 1))
            rows = [{"id": n, "host": HOST, "is_enabled": True} for n in ids]
            connection.execute(insert(Installation), rows, execution_options=UNSEEN)


def deliver(engine: Engine) -> None:
    """Move what waits to the journal, as a relay would."""
    names = [column.name for column in outbox.columns if column.name in journal.c]
    moved = select(
        *(outbox.c[name] for name in names),
        literal("jira.v1.Action"),
        outbox.c.occurred_at,
    )
    into = [*names, "schema", "settled_at"]
    with engine.begin() as connection:
        connection.execute(insert(journal).from_select(into, moved))
        connection.execute(delete(outbox))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        analyse = {"postgresql": "VACUUM ANALYZE", "sqlite": "ANALYZE"}
        if engine.dialect.name in analyse:
            connection.execute(text(analyse[engine.dialect.name]))


def plain(engine: Engine) -> float:
    """Return how long it takes to read the rows in the same pages."""
    statement = select(Installation.id, Installation.enabled, Installation.jira_host)
    statement = statement.order_by(Installation.id).limit(PAGE)
    began_at = time.perf_counter()
    last = 0
    while True:
        with engine.connect() as connection:
            rows = connection.execute(statement.where(Installation.id > last)).all()
        if not rows:
            return time.perf_counter() - began_at
        last = rows[-1].id


def run(engine: Engine, hooks: Hooks, *, record: bool) -> tuple[float, int]:
    """Return seconds and differences."""
    reconciliation = Reconciliation(
        engine=engine, models=hooks.models, is_recording=record
    )
    began_at = time.perf_counter()
    for _ in reconciliation.run():
        continue
    return time.perf_counter() - began_at, reconciliation.differing


@contextmanager
def a_writer(engine: Engine) -> Iterator[list[float]]:
    """Yield how long each of its transactions took, in seconds."""
    taken: list[float] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.01):
            number = number % FIRST + 1
            began_at = time.perf_counter()
            with Session(engine) as session:
                row = session.get_one(Installation, number)
                row.enabled = not row.enabled
                session.commit()
            taken.append(time.perf_counter() - began_at)

    thread = threading.Thread(target=write)
    thread.start()
    yield taken
    stop.set()
    thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", default="sqlite,postgresql,mariadb")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    for kind in given.kinds.split(","):
        with a_database(kind) as engine:
            fill(engine, given.rows)
            with register(*tracked_models.mappings()) as hooks:
                measure(kind, engine, hooks)


def measure(kind: str, engine: Engine, hooks: Hooks) -> None:
    base = plain(engine)
    tell(kind, "plain reading", base, base, 0, [])
    with a_writer(engine) as taken:
        seconds, differing = run(engine, hooks, record=True)
    tell(kind, "baseline", seconds, base, differing, taken)
    deliver(engine)
    some = update(Installation).where(
        Installation.id % 997 == 0, Installation.id > FIRST
    )
    with engine.begin() as connection:
        connection.execute(some.values(enabled=False), execution_options=UNSEEN)
    with a_writer(engine) as taken:
        seconds, differing = run(engine, hooks, record=True)
    tell(kind, "nightly", seconds, base, differing, taken)
    tracemalloc.start()
    run(engine, hooks, record=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"| {kind} | memory at most | {peak / 1e6:.0f} MB |", flush=True)  # noqa: T201 - the figures


def tell(
    kind: str,
    name: str,
    seconds: float,
    base: float,
    differing: int,
    taken: list[float],
) -> None:
    longest = f"{1000 * max(taken):.0f} ms" if taken else ""
    row = (kind, name, f"{seconds:.1f} s", f"{seconds / base:.1f}", f"{differing:,}")
    print(f"| {' | '.join([*row, longest])} |", flush=True)  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
