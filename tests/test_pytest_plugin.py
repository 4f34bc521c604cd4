"""The pytest plugin, as an app's own tests use it: by a real run of pytest."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tracked_models
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from tracked_models import Installation

from hydro_hooks import (
    ConfigurationError,
    Hooks,
    Reason,
    because,
    create_tables,
    current_cause,
    installation,
    register,
)
from hydro_hooks.testing import (
    RecordedEvents,
    capture_events,
    hooks_off,
    recorded,
    watch_events,
)
from hydro_hooks.testing.gateway import LocalGateway

ROOT = Path(__file__).parent.parent


def change(engine: Engine) -> None:
    with (
        Session(engine) as session,
        because(Reason.JIRA_WEBHOOK, jira_actor="557058:x"),
    ):
        row = Installation(id=1)
        session.add(row)
        session.commit()
        row.enabled = False
        session.commit()


def test_what_is_recorded_is_there_as_it_comes(
    tracked: Engine, hydro_events: RecordedEvents
) -> None:
    change(tracked)

    assert hydro_events.types == ["installation.create", "installation.disable"]
    event = hydro_events.one("installation.disable", reason="jira webhook")
    assert event is hydro_events[1]
    assert event.jira_actor == "557058:x"
    assert list(hydro_events[1:]) == [event]
    assert [one.id for one in hydro_events] == [one.id for one in recorded(tracked)]

    hydro_events.clear()
    assert len(hydro_events) == 0


def test_a_failure_tells_what_was_recorded(tracked: Engine) -> None:
    with watch_events() as events:
        with pytest.raises(AssertionError, match="recorded: nothing"):
            events.one("installation.disable")
        change(tracked)
        with pytest.raises(AssertionError) as failure:
            events.one("installation.disable", reason="stafftools-api")
        with pytest.raises(TypeError, match="an event has no field 'actor'; it has id"):
            events.one("installation.disable", actor="octocat")

        with pytest.raises(AssertionError, match="github_installation_id=None"):
            events.one("installation.disable", github_installation_id=5)

    first, *lines = str(failure.value).splitlines()
    assert first == (
        "one event was to be recorded, installation.disable, reason='stafftools-api',"
        " not 0"
    )
    assert lines[0] == "recorded:"
    assert lines[1].startswith("  installation.create 1: reason='jira webhook'")
    assert "jira_actor='557058:x' origin='" in lines[2]


@pytest.mark.parametrize("mode", ["create_savepoint", "rollback_only"])
def test_in_an_outer_transaction_what_the_app_commits_counts(
    tracked: Engine, hydro_events: RecordedEvents, mode: str
) -> None:
    with tracked.connect() as connection, connection.begin() as outer:
        options = {"bind": connection, "join_transaction_mode": mode}
        with Session(**options) as session, because("jira webhook"):  # type: ignore[arg-type]
            session.add(Installation(id=1))
            with session.begin_nested():
                session.add(Installation(id=2))
            inside = list(hydro_events)
            session.commit()
            after = hydro_events.types
            session.get_one(Installation, 1).enabled = False
            session.commit()
            session.add(Installation(id=3))
            session.flush()  # and never committed
        outer.rollback()

    assert (inside, after) == ([], ["installation.create"] * 2)
    assert hydro_events.types == [*after, "installation.disable"]
    assert recorded(tracked) == []


def test_with_hooks_off_nothing_is_tracked_and_afterwards_all_is_again(
    engine: Engine,
) -> None:
    tracked_models.Base.metadata.create_all(engine)
    with register(*tracked_models.mappings()) as hooks:
        with hooks_off():
            change(engine)
        with Session(engine) as session:
            session.add(Installation(id=2))
            session.commit()
        again = register(*tracked_models.mappings())

    assert [event.subject_id for event in recorded(engine)] == ["2"]
    assert again is hooks


def test_what_is_registered_in_a_block_of_hooks_off_is_tracked_after_it(
    engine: Engine,
) -> None:
    tracked_models.Base.metadata.create_all(engine)
    with Session(engine) as session, contextlib.ExitStack() as app:
        with hooks_off():
            for model in tracked_models.mappings():
                app.enter_context(register(model))
            with pytest.raises(ConfigurationError, match="tracked already"):
                register(installation(Installation))
            session.add(Installation(id=1))
            session.commit()
        session.add(Installation(id=2))
        session.commit()
        assert [event.subject_id for event in recorded(session)] == ["2"]
        app.close()
        session.add(Installation(id=3))
        session.commit()
        assert len(recorded(session)) == 1


def test_the_environments_cause_is_in_force_again_after_hooks_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYDRO_REASON", "ticket 4711")
    with register(*tracked_models.mappings()):
        with hooks_off():
            off = current_cause().reason
        assert (off, current_cause().reason) == ("unattributed", "ticket 4711")


def test_the_fixture_hydro_off_switches_off(tracked: Engine, hydro_off: None) -> None:
    assert hydro_off is None
    change(tracked)

    assert recorded(tracked) == []


def test_the_fixture_hydro_gateway_is_a_gateway(hydro_gateway: LocalGateway) -> None:
    assert hydro_gateway.url.startswith("http://127.0.0.1:")
    assert hydro_gateway.events() == []


def test_without_pytest_the_same_is_to_be_had(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    tracked_models.Base.metadata.create_all(engine)
    create_tables(engine)
    hooks: Hooks
    with register(*tracked_models.mappings()) as hooks:
        with watch_events() as watched, capture_events(engine) as captured:
            change(engine)
    engine.dispose()

    assert hooks.models
    assert watched.types == [event.type for event in captured]


def run_pytest(folder: Path, *options: str) -> str:
    folders = [str(ROOT), str(ROOT / "tests"), str(ROOT / "examples")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_the_example_of_a_webhooks_test_passes(tmp_path: Path) -> None:
    options = ["-q", f"--rootdir={tmp_path}", "-c", os.devnull]
    output = run_pytest(tmp_path, *options, str(ROOT / "examples" / "test_webhook.py"))

    assert "1 passed" in output


JOINED = """import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from hydro_hooks import create_tables, register
from tracked_models import Base, Installation, mappings

register(*mappings())

@pytest.fixture
def session():
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    create_tables(engine)
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection, join_transaction_mode="{mode}") as session:
            session.add(Installation(id=1))
            session.commit()
            session.add(Installation(id=2))
            session.flush()
            yield session
        outer.rollback()

def check(session, events):
    session.get(Installation, 1).enabled = False
    session.commit()
    assert [(one.type, one.subject_id) for one in events] == [
        ("installation.create", "2"), ("installation.disable", "1")
    ]

def test_after(session, hydro_events):
    check(session, hydro_events)

def test_before(hydro_events, session):
    assert hydro_events.types == ["installation.create"]
    hydro_events.clear()
    check(session, hydro_events)

@pytest.fixture
def events(request):
    return request.getfixturevalue("hydro_events")

def test_by_name(events, session):
    assert events.types == ["installation.create"]
"""


@pytest.mark.parametrize("mode", ["create_savepoint", "rollback_only"])
def test_the_order_of_fixtures_decides_nothing(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_app.py").write_text(JOINED.replace("{mode}", mode))

    assert "3 passed" in run_pytest(tmp_path, "-q")


def test_a_failure_shows_the_tests_own_line(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(
        "def test_app(hydro_events):\n    hydro_events.one('installation.create')\n"
    )
    output = run_pytest(tmp_path, "-q")

    assert ">       hydro_events.one" in output
    assert "recorded: nothing" in output
    assert "raise AssertionError" not in output


def test_hydro_off_runs_an_apps_tests_without_recording(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import os\nAT_IMPORT = os.environ.get('TRACKING_DISABLED')\n"
    )
    (tmp_path / "test_app.py").write_text(
        "from conftest import AT_IMPORT\n"
        "def test_plain(): assert AT_IMPORT == 'true'\n"
        "def test_events(hydro_events): assert hydro_events\n"
    )
    output = run_pytest(tmp_path, "-q", "-rs", "--hydro-off")

    assert "1 passed, 1 skipped" in output
    assert "nothing is recorded: --hydro-off" in output


def test_a_run_with_hydro_off_inside_of_another_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_app.py").write_text(
        "import os, pytest\n"
        "def test_outer(tmp_path):\n"
        "    inner = tmp_path / 'test_inner.py'\n"
        "    inner.write_text('def test_inner(): pass')\n"
        "    assert pytest.main(['--hydro-off', str(inner)]) == 0\n"
        "    assert 'TRACKING_DISABLED' not in os.environ\n"
    )

    output = run_pytest(tmp_path, "-q")

    assert "1 passed" in output
    assert "failed" not in output


def test_the_plugin_may_be_named_besides(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(hydro_events): pass\n")

    assert "1 passed" in run_pytest(tmp_path, "-q", "-p", "hydro_hooks.pytest_plugin")


def test_the_plugin_loads_nothing_heavy() -> None:
    program = (
        "import sys, hydro_hooks, pytest; before = set(sys.modules);"
        "import hydro_hooks.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "['hydro_hooks.pytest_plugin']"
