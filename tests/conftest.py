"""Fixtures shared by all tests: an empty database of each kind, and a clean house."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import KINDS, Database, empty_database
from sqlalchemy import Engine

from hydro_hooks import tables
from hydro_hooks.cause import UNATTRIBUTED, current_cause


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    yield from empty_database(request.param, tmp_path)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Yield an engine whose database has the tables of hydro_hooks."""
    engine = database.engine()
    tables.create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "HYDRO_BASE_URL",
        "HYDRO_APP_SECRET",
        "HYDRO_APP",
        "HYDRO_SCHEMA",
        "HYDRO_DATABASE_URL",
        "TRACKING_DISABLED",
    ):
        monkeypatch.delenv(name, raising=False)
    assert current_cause() == UNATTRIBUTED
    yield
    assert current_cause() == UNATTRIBUTED
