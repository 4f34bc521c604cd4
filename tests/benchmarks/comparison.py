"""How hydro_hooks compares with others who record changes: a table, made by running.

    python tests/benchmarks/comparison.py [--contenders NAME,NAME] [--rounds 20]

Each contender (`contenders.py`) runs in a process of its own, on a PostgreSQL database
of its own that is dropped in the end, and is asked each question (`questions.py`) by an
experiment; a cell is what was then found recorded. The databases are those on which
the first question is answered "yes"; one that does not answer is left out, and named.

The cost is that of a commit of one changed row with a reason in force, as a ratio to
the same program without any record: the median of interleaved rounds, rough.

Contenders that are not installed are left out, and told how to get. The server is that
of the tests: HYDRO_TEST_POSTGRESQL, HYDRO_TEST_MARIADB.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from benchmarks import questions
from benchmarks.compared import Contender, declare
from benchmarks.contenders import CONTENDERS, PLAIN
from benchmarks.questions import FIRST, QUESTIONS
from benchmarks.worlds import World
from databases import SERVERS, begin_explicitly, enforce_foreign_keys

TITLES: Final = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
}


class Arm:
    """A process that runs one contender on one database."""

    def __init__(self, name: str, url: sa.URL, *, is_quiet: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--arm", name, text_of(url)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if is_quiet else None,
            text=True,
        )

    def ask(self, question: str | int) -> Any:
        """Ask a question, or for the time of so many commits."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return "no: it does not start"
        answer = self._process.stdout.readline()
        return json.loads(answer) if answer else "no: it does not start"

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def text_of(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def world_of(name: str, url: str) -> World:
    contender = CONTENDERS.get(name, Contender)()
    models = declare(contender.attach)
    contender.start(models)
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        begin_explicitly(engine)
        enforce_foreign_keys(engine)
    return World(name=name, contender=contender, models=models, engine=engine)


def serve(name: str, url: str) -> None:
    """Be a contender: answer one line after the other."""
    world = world_of(name, url)
    world.contender.create(world.engine, world.models)
    for line in sys.stdin:
        asked = json.loads(line)
        is_time = isinstance(asked, int)
        answer = (questions.time_of if is_time else questions.ask)(world, asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def die(name: str, url: str, *, moment: str, key: int) -> None:
    """Change a row, and be killed right before or right after the COMMIT."""
    world = world_of(name, url)
    really_commit = world.engine.dialect.do_commit

    def commit(connection: Any) -> None:
        if moment == "after":
            really_commit(connection)
        os.kill(os.getpid(), signal.SIGKILL)

    with orm.Session(world.engine) as session, world.contender.because(*FIRST):
        session.get_one(world.models.installation, key).enabled = False
        session.flush()
        setattr(world.engine.dialect, "do_commit", commit)  # noqa: B010 - to be typed
        session.commit()


@contextlib.contextmanager
def database(kind: str, folder: Path, number: int) -> Iterator[sa.URL]:
    """Make a database for an arm, and drop it in the end."""
    name = f"hydro_comparison_{os.getpid()}_{number}"
    if kind == "sqlite":
        yield sa.URL.create("sqlite", database=str(folder / f"{name}.db"))
        return
    variable, default = SERVERS[kind]
    server = sa.make_url(os.environ.get(variable, default))
    admin = sa.create_engine(
        server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name)
    finally:
        with admin.connect() as connection:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


def answers(kind: str) -> bool:
    if kind == "sqlite":
        return True
    variable, default = SERVERS[kind]
    engine = sa.create_engine(os.environ.get(variable, default), poolclass=sa.NullPool)
    try:
        engine.connect().close()
    except sa.exc.DBAPIError:
        return False
    return True


def databases_of(name: str, kinds: Sequence[str], folder: Path) -> str:
    """Return on which databases it sees what the unit of work does."""
    found = []
    for number, kind in enumerate(kinds):
        with database(kind, folder, 100 + number) as url:
            arm = Arm(name, url, is_quiet=True)
            if arm.ask(next(iter(QUESTIONS))) == "yes":
                found.append(TITLES[kind])
            arm.stop()
    return ", ".join(found) or "none"


def costs(arms: dict[str, Arm], rounds: int, block: int) -> dict[str, str]:
    """Return each contender's ratio to plain."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for number in range(rounds + 1):  # the first warms
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(arms[name].ask(block))
    ratios = {
        name: statistics.median(
            mine / plain
            for mine, plain in zip(times[1:], seconds[PLAIN][1:], strict=True)
        )
        for name, times in seconds.items()
    }
    return {name: f"{ratio:.1f}" for name, ratio in ratios.items()}


def compare(
    names: Sequence[str], kinds: Sequence[str], options: argparse.Namespace
) -> list[list[str]]:
    """Return the table's lines."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        arms = {}
        for number, name in enumerate([PLAIN, *names]):
            url = stack.enter_context(database("postgresql", folder, number))
            arms[name] = Arm(name, url)
            stack.callback(arms[name].stop)
        ratios = costs(arms, options.rounds, options.block)
        lines = [
            [question, *(arms[name].ask(question) for name in names)]
            for question in QUESTIONS
        ]
        where = [databases_of(name, kinds, folder) for name in names]
    return [
        ["", *names],
        *lines,
        ["databases", *where],
        ["a commit of one changed row, to plain", *(ratios[name] for name in names)],
    ]


def versions_of(names: Sequence[str]) -> str:
    packages = {CONTENDERS[name].package for name in names} - {None}
    told = [
        f"{package} {importlib.metadata.version(str(package))}"
        for package in sorted(map(str, packages))
    ]
    python = sys.version.split()[0]
    return ", ".join([*told, f"SQLAlchemy {sa.__version__}, Python {python}"])


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--block", type=int, default=40, help="commits in a block")
    parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--die", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(say: Callable[[str], object]) -> None:
    options = options_of()
    if options.die:
        (name, url), (moment, key) = options.arm, options.die
        die(name, url, moment=moment, key=int(key))
    elif options.arm:
        serve(*options.arm)
    else:
        report(options, say)


def report(options: argparse.Namespace, say: Callable[[str], object]) -> None:
    names = []
    for name in options.contenders.split(","):
        package = CONTENDERS[name].package
        if package is None or importlib.util.find_spec(package):
            names.append(name)
        else:
            install = f"pip install {package.replace('_', '-')}"
            say(f"{name} is not installed and left out: {install}")
    kinds = [kind for kind in TITLES if answers(kind)]
    for kind in TITLES.keys() - kinds:
        say(f"{TITLES[kind]} does not answer and is left out: set {SERVERS[kind][0]}")
    say(f"{versions_of(names)}\n")
    lines = compare(names, kinds, options)
    for cells in [lines[0], ["---"] * len(lines[0]), *lines[1:]]:
        say(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(print)
