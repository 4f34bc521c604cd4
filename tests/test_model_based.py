"""Random programs: what is recorded is what the tables say, with the cause of each.

A short run by default; `HYDRO_EXAMPLES=20000 pytest tests/test_model_based.py` is the
long one. Every failure that a run finds becomes a named test below, in the words in
which Hypothesis tells it; the machine compares at each end of a transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from databases import Database, has_two_phases
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, create_engine, event
from state_machine_core_statements import CoreStatementRules
from state_machine_models import (
    Base,
    Device,
    Installation,
    Pair,
    Row,
    Seat,
    Subscription,
    Ticket,
    mappings,
)
from state_machine_odd_objects import OddObjectRules
from state_machine_odd_statements import Conflict, OddStatementRules
from state_machine_oracle import Oracle
from state_machine_orm_statements import OrmStatementRules
from state_machine_raw_sql import RawSqlRules
from state_machine_world import By, Mode, Warned, World

from hydro_hooks import create_tables, register

R1 = By("r1")
EXAMPLES = int(os.environ.get("HYDRO_EXAMPLES", "100"))


class AnyProgram(
    OddObjectRules,
    OrmStatementRules,
    CoreStatementRules,
    OddStatementRules,
    RawSqlRules,
):
    """Does all of it."""


Begin: TypeAlias = Callable[..., AnyProgram]


@pytest.fixture
def begin(world: World) -> Iterator[Begin]:
    """Yield what begins a program in the mode it is told, closed after the test."""
    begun: list[AnyProgram] = []

    def begin_one(mode: Mode, *, has_rows: bool = True) -> AnyProgram:
        begun.append(AnyProgram(world))
        begun[0].begin(has_rows=has_rows, mode=mode, keeps_stale=False)
        return begun[0]

    yield begin_one
    for program in begun:
        program.teardown()


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    engine = database.engine()
    autocommit = create_engine(database.url, isolation_level="AUTOCOMMIT")
    for one in (engine, autocommit):
        _make_fast(one)
    create_tables(engine)
    Base.metadata.create_all(engine)
    oracle = Oracle(database)
    warned = Warned()
    with register(*mappings()):
        yield World(
            kind=database.kind,
            has_two_phases=has_two_phases(engine),
            engine=engine,
            autocommit=autocommit,
            oracle=oracle,
            warned=warned,
        )
    warned.close()
    oracle.close()
    engine.dispose()
    autocommit.dispose()


def _make_fast(engine: Engine) -> None:
    """Let a commit not wait for the disk, and SQLite keep its foreign keys."""
    settings_of = {
        "sqlite": (
            "PRAGMA foreign_keys = ON",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
        ),
        "postgresql": ("SET synchronous_commit = off",),
    }

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: object, _record: object) -> None:
        for setting in settings_of.get(engine.dialect.name, ()):
            cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]
            cursor.execute(setting)
            cursor.close()
        dbapi_connection.commit()  # type: ignore[attr-defined]


# An object that is added beside one of its key: the flush fails, which is the point.
@pytest.mark.filterwarnings("ignore:New instance .* with identity key")
# A failure is made smaller for five minutes at most.
@pytest.mark.timeout(600 + EXAMPLES * 2)
def test_what_is_recorded_is_what_the_tables_say(world: World) -> None:
    run_state_machine_as_test(
        lambda: AnyProgram(world),  # type: ignore[arg-type]  # any callable will do
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=12,
            deadline=None,
            database=None,
            derandomize=bool(os.environ.get("CI")),
            suppress_health_check=list(HealthCheck),
        ),
    )


# Found by it ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["connection", "autocommit"])
def test_an_insert_that_failed_and_was_swallowed_creates_nothing(
    begin: Begin, mode: Mode
) -> None:
    state = begin(mode)

    state.raw_insert(
        row=Row(Ticket, 1, 1, flag=True), is_driver=False, is_literal=False, by=R1
    )
    if mode == "connection":
        state.commit(reason=None)


def test_an_insert_from_select_that_failed_creates_nothing(begin: Begin) -> None:
    state = begin("connection")

    state.insert_select(keys=None, source=Installation, is_direct=True, by=R1)
    state.commit(reason=None)


def test_a_change_of_key_that_failed_creates_nothing(begin: Begin) -> None:
    state = begin("session")

    state.core_update_of_values(
        model=Subscription, key=1, client=1, to=3, is_direct=True, by=R1
    )
    state.commit(reason=None)


def test_what_an_executemany_kept_before_it_failed_is_recorded(begin: Begin) -> None:
    state = begin("autocommit")

    state.upsert(
        batch=[
            Row(Seat, 3, 3, flag=False),
            Row(Seat, 1, 2, flag=None),
            Row(Seat, 4, 4, flag=False),
        ],
        conflict="key",
        is_list=False,
        is_direct=True,
        by=R1,
    )


@pytest.mark.parametrize("conflict", ["nothing", "any", "key", "client", "where"])
def test_an_upsert_in_autocommit_is_recorded(begin: Begin, conflict: Conflict) -> None:
    state = begin("autocommit")

    state.upsert(
        batch=[Row(Installation, 1, 1, flag=False), Row(Installation, 4, 4, flag=True)],
        conflict=conflict,
        is_list=False,
        is_direct=True,
        by=R1,
    )


@pytest.mark.parametrize("key", [1, 4])
@pytest.mark.parametrize("flag", [True, False])
def test_an_upsert_of_a_list_of_one_is_recorded(
    begin: Begin, key: int, *, flag: bool
) -> None:
    state = begin("connection")

    state.upsert(
        batch=[Row(Device, key, 1, flag=flag)],
        conflict="key",
        is_list=True,
        is_direct=True,
        by=R1,
    )
    state.commit(reason=None)


def test_an_insert_of_a_list_of_one_is_recorded(begin: Begin) -> None:
    state = begin("connection")

    state.core_insert(
        batch=[Row(Pair, 2, 3, flag=False)],
        is_generated=False,
        is_values=True,
        is_direct=True,
        is_returning=False,
        by=R1,
    )
    state.commit(reason=None)


def test_an_insert_from_what_its_cte_deletes_is_recorded(begin: Begin) -> None:
    state = begin("connection")
    if state.world.kind != "postgresql":
        pytest.skip("only PostgreSQL has DML inside a CTE")

    state.cte(model=Seat, keys=None, what="insert", flip=True, is_direct=True, by=R1)
    state.commit(reason=None)


def test_a_bulk_change_of_half_a_composite_key_is_followed(begin: Begin) -> None:
    state = begin("session")

    state.orm_update_of_the_key(model=Pair, key=1, to=4, sync=False, by=R1)
    state.commit(reason=None)


def test_a_row_that_is_deleted_and_born_again_hidden_was_destroyed_by_the_first(
    begin: Begin,
) -> None:
    state = begin("session")

    row = Row(Pair, 1, 1, flag=True, is_hidden=True)
    state.replace(row=row, deleted=R1, added=By(None))
    state.commit(reason=None)
