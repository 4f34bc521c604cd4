from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from databases import Database
from sqlalchemy import Engine, StaticPool, create_engine, inspect

from hydro_hooks import creation, diagnosis
from hydro_hooks.diagnosis import Outcome
from hydro_hooks.errors import DatabaseError
from hydro_hooks.tables import metadata, outbox

INDEXES = {
    str(index.name) for table in metadata.tables.values() for index in table.indexes
}


def indexes_in(engine: Engine) -> set[str]:
    """Return the names of the indexes on our tables."""
    there = inspect(engine)
    return {
        str(index["name"])
        for name in metadata.tables
        for index in there.get_indexes(name)
    }


def test_create_tables_makes_what_is_missing_and_may_be_called_again(
    database: Database,
) -> None:
    engine = database.engine()
    assert creation.missing_tables(engine) == [
        "hydro_outbox",
        "hydro_journal",
        "hydro_rejected",
        "hydro_shard",
        "hydro_meta",
    ]

    creation.create_tables(engine)
    creation.create_tables(engine)

    assert creation.missing_tables(engine) == []
    engine.dispose()


def test_processes_that_start_at_once_may_all_make_the_tables(
    database: Database,
) -> None:
    together = threading.Barrier(4)

    def start(_: int) -> None:
        engine = database.engine()
        together.wait()
        creation.create_tables(engine)
        engine.dispose()

    engine = database.engine()
    with ThreadPoolExecutor(4) as processes:
        for _ in range(3):
            list(processes.map(start, range(4)))
            assert diagnosis.examine_tables(engine).outcome is Outcome.OK
            assert indexes_in(engine) >= INDEXES
            metadata.drop_all(engine)
    engine.dispose()


@pytest.mark.parametrize("start", ["nothing", "the driver's BEGIN"])
def test_making_the_tables_leaves_what_else_is_done_on_the_connection(
    start: str,
) -> None:
    """A database in memory has but one."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    with engine.connect() as connection:
        if start != "nothing":
            connection.exec_driver_sql("INSERT INTO theirs VALUES (1)")
        creation.create_tables(engine)
        found = connection.exec_driver_sql("SELECT count(*) FROM theirs").scalar_one()

    assert found == (start != "nothing")
    assert set(inspect(engine).get_table_names()) - {"sqlite_sequence"} == {
        "theirs",
        *metadata.tables,
    }


def test_tables_that_were_made_in_part_are_completed(database: Database) -> None:
    engine = database.engine()
    outbox.create(engine)

    creation.create_tables(engine)

    assert diagnosis.examine_tables(engine).outcome is Outcome.OK
    engine.dispose()


def test_the_gateway_refuses_the_database_of_an_app(engine: Engine) -> None:
    with pytest.raises(DatabaseError, match="belongs to an app"):
        creation.create_gateway_tables(engine)


def test_the_gateways_tables_are_a_journal_and_the_requests(database: Database) -> None:
    engine = database.engine()

    creation.create_gateway_tables(engine)

    assert set(inspect(engine).get_table_names()) - {"sqlite_sequence"} == {
        "hydro_journal",
        "hydro_request",
    }
    engine.dispose()
