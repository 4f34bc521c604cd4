"""The cases: what the program does, between which maintenance, under which instrument.

A block is some operations in one session, each committed. Objects to change are loaded
before and stay loaded, so that an operation is the change and its commit and nothing
else. Before each block, outside of what is measured, every arm does the same: its
tables are put back to the same rows, the outbox is emptied, and the database cleaned
(SQLite's log is checkpointed, PostgreSQL's tables vacuumed).
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any, Final, NamedTuple, TypeAlias

import sqlalchemy as sa
from benchmarks import arms
from benchmarks.arms import Installation, Untracked
from sqlalchemy import event, orm

import hydro_hooks
from hydro_hooks.event import new_id

BULK: Final = 10_000
FLUSHED_AT_ONCE: Final = 1_000

Step: TypeAlias = Callable[[orm.Session, Any, int], None]
"""One operation: the session, one of the loaded objects, how many rows to change."""


class Target(NamedTuple):
    """What is to be reached: a ratio, to which arm, by how many statements more."""

    wall: float
    of: str
    statements: int | None


_UNTRACKED: Final = Target(1.01, "plain", 0)
_COLUMN: Final = Target(1.03, "plain", 0)
_CREATE: Final = Target(1.00, "minimum", 1)
_CHANGE: Final = Target(1.10, "minimum", 2)
_BULK: Final = Target(2.50, "minimum", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that programs do.

    Args:
        name: Of the table's row.
        step: One operation, without its commit.
        rows: Rows that it changes.
        table_rows: Rows of `installation` before a block.
        is_loaded: Whether operations change objects that are loaded before.
        bulk_action: What a bulk statement does to each row; None for others.
        target: What is to be reached.
    """

    name: str
    step: Step
    rows: int = 1
    table_rows: int = 1_000
    is_loaded: bool = False
    bulk_action: str | None = None
    target: Target = _BULK

    def of(self, rows: int) -> Case:
        """Return the same with so many rows an operation."""
        return replace(self, rows=rows, table_rows=rows)


def create(
    session: orm.Session, _: object, rows: int, model: Any = Installation
) -> None:
    session.add_all(
        [model(jira_host=arms.host(n), enabled=True, visits=0) for n in range(rows)]
    )


def create_in_batches(session: orm.Session, _: object, rows: int) -> None:
    for _start in range(0, rows, FLUSHED_AT_ONCE):
        create(session, None, FLUSHED_AT_ONCE)
        session.flush()
        session.expunge_all()


def visit(_session: object, row: Installation, _: object) -> None:
    row.visits += 1


def disable(_session: object, row: Installation, _: object) -> None:
    row.enabled = False


def destroy(session: orm.Session, row: Installation, _: object) -> None:
    session.delete(row)


def bulk_update(session: orm.Session, _: object, rows: int) -> None:
    statement = sa.update(Installation).where(Installation.id <= rows)
    session.execute(statement.values(enabled=False))


def bulk_delete(session: orm.Session, _: object, rows: int) -> None:
    session.execute(sa.delete(Installation).where(Installation.id <= rows))


CASES: Final = (
    Case(
        name="untracked create",
        step=partial(create, model=Untracked),
        target=_UNTRACKED,
    ),
    Case(name="untracked column", step=visit, is_loaded=True, target=_COLUMN),
    Case(name="one-row create", step=create, target=_CREATE),
    Case(name="one-row disable", step=disable, is_loaded=True, target=_CHANGE),
    Case(name="one-row destroy", step=destroy, is_loaded=True, target=_CHANGE),
    Case(name="100 creates", step=create, rows=100, target=_CREATE),
    Case(name="bulk UPDATE", step=bulk_update, bulk_action="disable").of(BULK),
    Case(name="bulk DELETE", step=bulk_delete, bulk_action="destroy").of(BULK),
)
MEMORY_CASES: Final = (
    Case(name="ORM creates", step=create_in_batches),
    Case(name="bulk UPDATE of all", step=bulk_update, bulk_action="disable"),
)


class Stopwatch:
    """Seconds, by a clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(self, *exc_info: object) -> None:
        self.reading = self._clock() - self._started


class StatementCounter:
    """Statements, by their first word."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.reading: Counter[str] = Counter()

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._count)

    def __exit__(self, *exc_info: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._count)

    def _count(self, _c: object, _cursor: object, sql: str, *_rest: object) -> None:
        self.reading[sql.split(maxsplit=1)[0]] += 1


class CallCounter:
    """Calls of functions, Python's and C's."""

    reading = 0

    def __enter__(self) -> None:
        sys.setprofile(self._count)

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def _count(self, _frame: FrameType, kind: str, _argument: object) -> None:
        if kind in {"call", "c_call"}:
            self.reading += 1


class PeakMemory:
    """Bytes of Python objects at the worst moment."""

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, *exc_info: object) -> None:
        self.reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


class Program:
    """The program of one arm, in a process of its own."""

    def __init__(self, arm: str, url: sa.URL) -> None:
        self._engine = arms.open_engine(url)
        self._is_minimum = arm == "minimum"
        self._insert: dict[Case, arms.BareInsert] = {}
        arms.attach(arm, self._engine)

    def answer(self, request: dict[str, Any]) -> Any:
        """Run a block, and return what the instrument read, or the events recorded."""
        case = next(
            one for one in (*CASES, *MEMORY_CASES) if one.name == request["case"]
        )
        case = case.of(request["rows"]) if "rows" in request else case
        instrument: Any = {
            "wall": lambda: Stopwatch(time.perf_counter),
            "cpu": lambda: Stopwatch(time.process_time),
            "statements": lambda: StatementCounter(self._engine),
            "calls": CallCounter,
            "memory": PeakMemory,
            "recorded": nullcontext,
        }[request["read"]]()
        self._restore(case)
        self._run(case, request["count"], instrument)
        if request["read"] == "recorded":
            return self._recorded()
        return instrument.reading

    def _run(
        self, case: Case, count: int, instrument: AbstractContextManager[Any]
    ) -> None:
        insert = self._bare_insert(case)
        with orm.Session(self._engine, expire_on_commit=False) as session:
            subjects: Iterable[Any] = itertools.repeat(None, count)
            if case.is_loaded:
                chosen = sa.select(Installation).order_by(Installation.id).limit(count)
                subjects = session.scalars(chosen).all()
                session.commit()
            step, rows = case.step, case.rows
            with instrument:
                for subject in subjects:
                    step(session, subject, rows)
                    if insert is not None:
                        insert.run(session.connection())
                    session.commit()

    def _bare_insert(self, case: Case) -> arms.BareInsert | None:
        """Return the minimum of a bulk statement: only the INSERT of what it changed.

        Its rows are prepared before: no collector, no reading, no JSON.
        """
        if case.bulk_action is None or not self._is_minimum:
            return None
        if case not in self._insert:
            now, key = datetime.now(UTC), "0190a0a0-0000-7000-8000-000000000000"
            with orm.Session(self._engine) as session:
                changed = session.scalars(sa.select(arms.Prepared)).all()
                rows = [
                    # Ids that rise, as ours do: random ones make the index slower.
                    {**arms.row_of(case.bulk_action, one, now, key), "id": new_id()}
                    for one in changed
                ]
            self._insert[case] = arms.BareInsert(self._engine, rows)
        return self._insert[case]

    def _restore(self, case: Case) -> None:
        """Do the maintenance, on the driver's connection, which no hook sees."""
        connection: Any = self._engine.raw_connection()
        cursor = connection.cursor()
        kind = self._engine.dialect.name
        if kind == "postgresql":  # no triggers
            cursor.execute("SET LOCAL session_replication_role = replica")
        elif kind == "sqlite":
            cursor.execute("BEGIN")
        cursor.execute("DELETE FROM installation")
        cursor.execute(
            "INSERT INTO installation SELECT * FROM prepared"  # noqa: S608 - a number
            f" WHERE id <= {case.table_rows}"
        )
        cursor.execute("DELETE FROM untracked")
        cursor.execute("DELETE FROM hydro_outbox")
        connection.commit()
        if kind == "postgresql":
            connection.dbapi_connection.autocommit = True
            cursor.execute("VACUUM installation, untracked, hydro_outbox")
            connection.dbapi_connection.autocommit = False
        elif kind == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
        connection.close()

    def _recorded(self) -> int:
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT count(*) FROM hydro_outbox")
            return int(found.scalar_one())


def serve(arm: str, url: str) -> None:
    """Answer requests on stdin by a line of JSON on stdout each."""
    program = Program(arm, sa.make_url(url))
    with hydro_hooks.because(arms.REASON, github_actor=arms.ACTOR):
        for line in sys.stdin:
            sys.stdout.write(json.dumps(program.answer(json.loads(line))) + "\n")
            sys.stdout.flush()
