"""Fixtures shared by all tests: an empty database of each kind, and a clean house."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracked_models
from databases import KINDS, Database, empty_database, prepared_database
from faults.figures import pytest_terminal_summary
from measuring import pytest_runtest_protocol
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hydro_hooks import register
from hydro_hooks.cause import UNATTRIBUTED, current_cause

# Hooks, which pytest finds here.
__all__ = ["pytest_runtest_protocol", "pytest_terminal_summary"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell: what the tests start has to end on Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database; with our tables, if `engine` is to have them in it."""
    is_prepared = "engine" in request.fixturenames
    make = prepared_database if is_prepared else empty_database
    yield from make(request.param, tmp_path)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Yield an engine whose database has the tables of hydro_hooks."""
    engine = database.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def tracked(engine: Engine) -> Iterator[Engine]:
    """Yield an engine with tables for the tracked models, which are registered."""
    tracked_models.Base.metadata.create_all(engine)
    with register(*tracked_models.mappings()):
        yield engine


@pytest.fixture
def session(tracked: Engine) -> Iterator[Session]:
    """Yield a session on the tracked models."""
    with Session(tracked) as session:
        yield session


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "HYDRO_BASE_URL",
        "HYDRO_APP_SECRET",
        "HYDRO_APP",
        "HYDRO_SCHEMA",
        "HYDRO_DATABASE_URL",
        "HYDRO_GITHUB_ACTOR",
        "HYDRO_REASON",
        "TRACKING_DISABLED",
    ):
        monkeypatch.delenv(name, raising=False)
    assert current_cause() == UNATTRIBUTED
    delete = Session.delete
    yield
    assert current_cause() == UNATTRIBUTED
    assert Session.delete is delete
