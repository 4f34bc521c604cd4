from __future__ import annotations

import pytest
from databases import Database
from sqlalchemy import Engine, inspect

from hydro_hooks import creation
from hydro_hooks.errors import DatabaseError


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
