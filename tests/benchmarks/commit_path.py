"""What recording costs a commit: wall time as a ratio to the same without it.

    python tests/benchmarks/commit_path.py [--postgresql URL] [--rounds 40]

Each arm runs in a process of its own, since hooks are process-wide, and the arms take
turns in short blocks, so that what else the machine does falls on all of them alike:

- plain: the program without hydro_hooks; a second one is the control.
- hydro_hooks: registered on the model.
- minimum: a hand-written collector and one Core INSERT into the same outbox.

A figure is the median over the rounds of the arm's block time over plain's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, orm

import hydro_hooks
from hydro_hooks import tables

ARMS = ("plain", "control", "hydro_hooks", "minimum")
CASES = ("one-row create", "untracked create")


class Base(orm.DeclarativeBase):
    pass


class Installation(Base):
    __tablename__ = "installation"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    jira_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    enabled: orm.Mapped[bool]


class Untracked(Base):
    __tablename__ = "untracked"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    jira_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    enabled: orm.Mapped[bool]


def open_engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def connect(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.isolation_level = None
            dbapi_connection.execute("PRAGMA journal_mode = WAL")
            dbapi_connection.execute("PRAGMA synchronous = NORMAL")

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine


def attach_minimum(engine: sa.Engine) -> None:
    """Collect what is inserted, and write it by one Core INSERT at the commit."""
    collected: list[Installation] = []

    @event.listens_for(Installation, "after_insert")
    def collect(_mapper: object, _connection: object, target: Installation) -> None:
        collected.append(target)

    @event.listens_for(engine, "rollback")
    def forget(_connection: object) -> None:
        collected.clear()

    @event.listens_for(engine, "commit")
    def write(connection: sa.Connection) -> None:
        if collected:
            rows = [minimal_row(row) for row in collected]
            collected.clear()
            connection.execute(sa.insert(tables.outbox), rows)


def minimal_row(row: Installation) -> dict[str, Any]:
    now, made, key = datetime.now(UTC), str(uuid.uuid4()), str(row.id)
    values = {
        "transaction_id": str(uuid.uuid4()),
        "association": "installation",
        "subject_id": key,
        "action": "create",
        "state": "enabled",
        "jira_hostname": row.jira_host,
        "jira_integration_id": key,
        "reason": "web interaction",
    }
    return {
        **values,
        "id": made,
        "aggregatetype": "installation",
        "aggregateid": key,
        "type": "installation.create",
        "shard": row.id % 16,
        "occurred_at": now,
        "payload": json.dumps({"eventId": made, "occurredAt": str(now), **values}),
    }


def work(case: str, engine: sa.Engine, count: int) -> float:
    model = Installation if case == "one-row create" else Untracked
    started = time.perf_counter()
    with orm.Session(engine) as session:
        for _ in range(count):
            session.add(model(jira_host="https://example.jira.com", enabled=True))
            session.commit()
    return time.perf_counter() - started


def worker(arm: str, case: str, url: str) -> None:
    """Run blocks as they are asked for on stdin, and answer with their seconds."""
    engine = open_engine(url)
    if arm == "hydro_hooks":
        hydro_hooks.register(
            hydro_hooks.installation(
                Installation, jira_hostname="jira_host", enabled="enabled"
            )
        )
    elif arm == "minimum":
        attach_minimum(engine)
    with hydro_hooks.because(hydro_hooks.Reason.WEB_INTERACTION):
        for line in sys.stdin:
            print(work(case, engine, int(line)), flush=True)  # noqa: T201 - the answer


class Arm:
    """A process that runs one arm."""

    def __init__(self, name: str, case: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", name, case, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, count: int) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


def measure(case: str, url: str, *, rounds: int, block: int) -> dict[str, float]:
    engine = open_engine(url)
    for metadata in (Base.metadata, tables.metadata):
        metadata.drop_all(engine)
        metadata.create_all(engine)
    engine.dispose()
    arms = {name: Arm(name, case, url) for name in ARMS}
    for arm in arms.values():
        arm.run(block)  # warm
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    for number in range(rounds):
        order = ARMS[number % len(ARMS) :] + ARMS[: number % len(ARMS)]
        for name in order:
            seconds[name].append(arms[name].run(block))
    for arm in arms.values():
        arm.stop()
    plain = seconds["plain"]
    ratios = {
        name: statistics.median(
            mine / base for mine, base in zip(seconds[name], plain, strict=True)
        )
        for name in ARMS
    }
    return {"microseconds": statistics.median(plain) / block * 1e6, **ratios}


def settings_of(url: str) -> str:
    engine = open_engine(url)
    questions = {
        "sqlite": [
            "SELECT sqlite_version()",
            "PRAGMA journal_mode",
            "PRAGMA synchronous",
        ],
        "postgresql": ["SHOW server_version", "SHOW synchronous_commit"],
    }[engine.dialect.name]
    with engine.connect() as connection:
        answers = [
            f"{question.split()[1]} {connection.exec_driver_sql(question).scalar()}"
            for question in questions
        ]
    engine.dispose()
    return ", ".join(answers)


def main(say: Callable[[str], object]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgresql", default="postgresql+psycopg://postgres@127.0.0.1:5432/test"
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker)
        return
    say(f"SQLAlchemy {sa.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"sqlite:///{Path(folder) / 'app.db'}", options.postgresql):
            say(f"\n{url.split(':', maxsplit=1)[0]} ({settings_of(url)})")
            say(
                f"{'case':18} {'plain':>10} {'control':>8} {'hooks':>8} {'minimum':>8}"
                f" {'hooks/minimum':>14}"
            )
            for case in CASES:
                got = measure(case, url, rounds=options.rounds, block=options.block)
                say(
                    f"{case:18} {got['microseconds']:7.0f} us {got['control']:8.3f}"
                    f" {got['hydro_hooks']:8.3f} {got['minimum']:8.3f}"
                    f" {got['hydro_hooks'] / got['minimum']:14.3f}"
                )


if __name__ == "__main__":
    main(print)
