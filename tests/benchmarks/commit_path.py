"""What recording costs a commit: wall time, statements, function calls and memory.

    python tests/benchmarks/commit_path.py [--databases sqlite,postgresql,mariadb]
        [--cases TEXT,TEXT] [--rounds 40] [--block 40] [--no-memory] [--markdown]

Each arm (`arms.py`) runs in a process of its own, since hooks are process-wide, and on
a database of its own. The arms take turns in short blocks (`cases.py`), in another
order each round, so that what else the machine does falls on all of them alike.

- A ratio is the median over the rounds of the arm's block over plain's of the same
  round; `to minimum` is that of hydro_hooks' block over the minimum's. The control is a
  second plain arm: how far it is from 1 is how far the figures can be trusted.
- The minimum of a bulk statement is the bare statement plus only the driver's INSERT
  of the events' rows, which are prepared before.
- Statements are those of one operation beyond plain's; a trigger's are not seen.
- Calls are those that `sys.setprofile` sees, C's included, of one operation beyond
  plain's, and in brackets the minimum's: the mean of 20, one of a bulk statement.
- Memory is the peak of `tracemalloc` over one transaction of so many changes, less
  plain's, for each event; on SQLite, in a fresh process each.

`--clock cpu` takes the time that the program's process ran: steadier on a machine that
others use, but it leaves out what a database server does.
Servers are those of the tests: HYDRO_TEST_POSTGRESQL and HYDRO_TEST_MARIADB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from benchmarks import arms, cases
from benchmarks.cases import BULK, CASES, MEMORY_CASES, Case, Target
from databases import SERVERS

ARMS: Final = ("plain", "control", "hydro_hooks", "minimum", "trigger")
TURNS: Final = ("trigger", "control", "plain", "hydro_hooks", "minimum")
"""Who is compared stands next to each other."""
MEMORY_ROWS: Final = (25_000, 50_000, 100_000)
MEMORY_LIMIT: Final = 400


def target_of(case: Case, kind: str) -> Target:
    wall, of, statements = case.target
    if kind == "sqlite" and statements == 2:
        statements = 3  # its write lock is a statement of its own
    return Target(1.02 if kind == "sqlite" and wall == 1.01 else wall, of, statements)


class Arm:
    """A process that runs one arm."""

    def __init__(self, name: str, url: sa.URL) -> None:
        text = url.render_as_string(hide_password=False)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--arm", name, text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, read: str, case: Case, count: int = 1, **more: int) -> Any:
        """Let it run a block of `count` operations and return what was read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"read": read, "case": case.name, "count": count, **more}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a case; of each arm, in the order of the rounds."""

    seconds: dict[str, list[float]]
    statements: Counter[str]
    calls: dict[str, float]
    recorded: dict[str, int]

    def ratio(self, arm: str, base: str = "plain") -> float | None:
        if arm not in self.seconds:
            return None
        pairs = zip(self.seconds[arm], self.seconds[base], strict=True)
        return statistics.median(mine / other for mine, other in pairs)


def measure(
    running: dict[str, Arm], case: Case, options: argparse.Namespace
) -> Figures:
    is_bulk, clock, names = case.rows == BULK, options.clock, list(running)
    count = max(1, options.block // case.rows)
    rounds = max(1, options.rounds // 5) if is_bulk else options.rounds
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for arm in running.values():
        arm.ask(clock, case, count)  # warm
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(running[name].ask(clock, case, count) / count)
    times = 1 if is_bulk else 20
    statements, calls, recorded = (
        {name: arm.ask(read, case, number) for name, arm in running.items()}
        for read, number in (("statements", 1), ("calls", times), ("recorded", 1))
    )
    return Figures(
        seconds=seconds,
        statements=Counter(statements["hydro_hooks"]) - Counter(statements["plain"]),
        calls={
            name: (calls[name] - calls["plain"]) / times
            for name in ("hydro_hooks", "minimum")
        },
        recorded=recorded,
    )


MORE: Final = ("to minimum", "extra statements", "extra calls", "target", "reached")
MEMORY: Final = ("memory", "plain", "hydro_hooks", "bytes an event", *MORE[-2:])


def line_of(case: Case, kind: str, figures: Figures) -> list[str]:
    target = target_of(case, kind)
    ratios = [figures.ratio(arm) for arm in ARMS[1:]]
    to_minimum = figures.ratio("hydro_hooks", "minimum")
    extra = ", ".join(f"{times} {word}" for word, times in figures.statements.items())
    wanted = f"≤ {target.wall:.2f} of {target.of}"
    if target.statements is not None:
        wanted += f", {target.statements} statements"
    return [
        case.name + (f" of {case.rows:,}" if case.rows == BULK else ""),
        f"{statistics.median(figures.seconds['plain']) * 1e6:,.0f} µs",
        *("" if ratio is None else f"{ratio:.3f}" for ratio in (*ratios, to_minimum)),
        extra or "0",
        f"{figures.calls['hydro_hooks']:,.0f} ({figures.calls['minimum']:,.0f})",
        wanted,
        verdict(case, target, figures),
    ]


def verdict(case: Case, target: Target, figures: Figures) -> str:
    expected = 0 if target.statements == 0 else case.rows
    recorded = figures.recorded["hydro_hooks"]
    if recorded != expected:
        return f"no: it recorded {recorded:,} of {expected:,}"
    missed = []
    wall = figures.ratio("hydro_hooks", target.of)
    if wall is not None and wall > target.wall:
        missed.append(f"missed by {wall - target.wall:.3f}")
    statements = figures.statements.total()
    if target.statements is not None and statements > target.statements:
        missed.append(f"{statements - target.statements} statements too many")
    return ", ".join(missed) or "met"


def memory(folder: Path, case: Case, rows: int) -> list[str]:
    """Return a line: how many rows, the peaks, and bytes an event."""
    peaks, recorded = {}, 0
    for arm in ("plain", "hydro_hooks"):
        path = folder / f"{case.name}-{rows}-{arm}.db"
        url = sa.URL.create("sqlite", database=str(path))
        arms.fill(url, arm, rows)
        process = Arm(arm, url)
        peaks[arm] = process.ask("memory", case, rows=rows)
        recorded = process.ask("recorded", case, rows=cases.FLUSHED_AT_ONCE)
        process.stop()
    each = (peaks["hydro_hooks"] - peaks["plain"]) / rows
    missed = f"missed by {each - MEMORY_LIMIT:,.0f}" if each > MEMORY_LIMIT else "met"
    return [
        f"{case.name}, {rows:,} rows",
        *(f"{peak / 2**20:,.1f} MiB" for peak in peaks.values()),
        f"{each:,.0f}",
        f"≤ {MEMORY_LIMIT}",
        missed if recorded else "no: it recorded nothing",
    ]


@contextmanager
def database(kind: str, folder: Path, arm: str) -> Iterator[sa.URL]:
    """Make a database for an arm, and drop it in the end."""
    if kind == "sqlite":
        yield sa.URL.create("sqlite", database=str(folder / f"{arm}.db"))
        return
    variable, default = SERVERS[kind]
    server = sa.make_url(os.environ.get(variable, default))
    name = f"hydro_benchmark_{os.getpid()}_{arm}"
    admin = sa.create_engine(server, poolclass=sa.NullPool).execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name)
    finally:
        with admin.connect() as connection:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


def compare(
    kind: str, folder: Path, chosen: Sequence[Case], options: argparse.Namespace
) -> tuple[str, list[list[str]]]:
    """Return how the database is set, and a line for each case."""
    with ExitStack() as stack:
        running, settings = {}, ""
        for name in TURNS[1:] if kind == "mariadb" else TURNS:
            url = stack.enter_context(database(kind, folder, name))
            settings = arms.fill(url, name, BULK)
            running[name] = Arm(name, url)
            stack.callback(running[name].stop)
        lines = [
            line_of(case, kind, measure(running, case, options)) for case in chosen
        ]
        return settings, lines


def table(lines: Sequence[Sequence[str]], *, is_markdown: bool) -> str:
    if is_markdown:
        rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()
        for cells in lines
    )


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--cases", default="", help="parts of their names")
    parser.add_argument("--rounds", type=int, default=40, help="a fifth for bulk")
    parser.add_argument("--block", type=int, default=40, help="operations in a block")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(say: Callable[[str], object]) -> None:
    options = options_of()
    if options.arm:
        cases.serve(*options.arm)
        return
    parts = options.cases.split(",")
    chosen = [case for case in CASES if any(part in case.name for part in parts)]
    say(f"SQLAlchemy {sa.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in options.databases.split(","):
            settings, lines = compare(kind, folder, chosen, options)
            say(f"\n{settings}\n")
            say(table([("case", *ARMS, *MORE), *lines], is_markdown=options.markdown))
        if options.memory:
            asked = itertools.product(MEMORY_CASES, MEMORY_ROWS)
            lines = [memory(folder, case, rows) for case, rows in asked]
            say("\n" + table([MEMORY, *lines], is_markdown=options.markdown))


if __name__ == "__main__":
    main(print)
