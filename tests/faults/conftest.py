"""The stage of the tests of faults, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database
from faults.stage import Stage
from sqlalchemy import Engine


@pytest.fixture
def stage(
    database: Database, engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    """Yield a stage whose database has the tables of hydro_hooks."""
    del engine  # it has made them
    with Stage(database, tmp_path, request) as stage:
        yield stage
