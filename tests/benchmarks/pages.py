"""How long the pages take over a large journal, and over a small one.

    python tests/benchmarks/pages.py [--kinds sqlite,postgresql] [--events 1000000]
        [--small 10000] [--requests 200] [--folder DIRECTORY]

The journals are made by `large_journal.py`; with --folder they stay there (PostgreSQL's
in databases of its server) for the next time. Times are those of a request over
loopback, on one connection that is kept alive, at a server in this process.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests
from sqlalchemy import Engine, create_engine, make_url, text

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from databases import SERVERS
from large_journal import EACH, actor_of, fill, host_of
from page_site import site

NAME: Final = "hydro_bench_pages"


@contextmanager
def a_journal(kind: str, count: int, folder: Path | None) -> Iterator[Engine]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(folder or temporary) / f"journal-{count}.db"
            engine = create_engine(f"sqlite:///{path}")
            fill(engine, count, tells=True)
            yield engine
            engine.dispose()
        return
    server = make_url(SERVERS[kind][1])
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"{NAME}_{count}"
    with admin.connect() as connection:
        if folder is None:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        its = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.scalar(its, {"name": name}) is None:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(server.set(database=name))
    fill(engine, count, tells=True)
    yield engine
    engine.dispose()
    if folder is None:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def questions(count: int) -> dict[str, Callable[[random.Random], str]]:
    """Return what is asked, by the page's name."""
    its = range(count // EACH)
    return {
        "start": lambda _: "/",
        "installation": lambda chance: f"/search?q={host_of(chance.choice(its))}",
        "by number": lambda chance: f"/search?q={chance.choice(its)}",
        "actor": lambda chance: f"/search?q={actor_of(chance, count)}",
        "filters": lambda _: "/search?q=action:destroy+since:30d",
        "mistyped": lambda chance: (
            f"/search?q=custmer-{chance.choice(its)}.atlasian.net"
        ),
        "unattributed": lambda _: "/unattributed?q=since:14d",
    }


def p95(
    url: str, ask: Callable[[random.Random], str], count: int
) -> tuple[float, float]:
    """Return the median and the 95th percentile of so many requests, in ms."""
    chance = random.Random(7)  # noqa: S311 - no secret
    taken = []
    with requests.Session() as session:
        for number in range(count + 5):
            path = ask(chance)
            began_at = time.perf_counter()
            answer = session.get(url + path, timeout=60)
            seconds = time.perf_counter() - began_at
            assert answer.status_code in {200, 404}, answer.text
            if number >= 5:  # the first ones warm what is warm in life
                taken.append(1000 * seconds)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", default="sqlite,postgresql")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    for kind in given.kinds.split(","):
        seen: dict[str, dict[int, tuple[float, float]]] = {}
        for count in (given.small, given.events):
            with a_journal(kind, count, given.folder) as engine, site(engine) as url:
                for name, ask in questions(count).items():
                    seen.setdefault(name, {})[count] = p95(url, ask, given.requests)
        for name, by_count in seen.items():
            small, large = by_count[given.small], by_count[given.events]
            row = (
                kind,
                name,
                f"{small[0]:.1f} and {small[1]:.1f} ms",
                f"{large[0]:.1f} and {large[1]:.1f} ms",
                f"{large[1] / small[1]:.2f}",
            )
            print(f"| {' | '.join(row)} |", flush=True)  # noqa: T201 - the figures


if __name__ == "__main__":
    main()
