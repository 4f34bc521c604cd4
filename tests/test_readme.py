"""What the README shows is true: each block is run, and prints what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracked_models
from sample_events import record, sample_event
from sqlalchemy import create_engine

from hydro_hooks import create_tables
from hydro_hooks.relay import Relay
from hydro_hooks.testing.gateway import LocalGateway

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = re.findall(
    r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", README, re.DOTALL
)
COMMANDS = re.findall(r"^hydro-hooks .*|(?<= )hydro-hooks gateway.*", README, re.M)


@pytest.mark.parametrize(
    ("program", "output"), PROGRAMS, ids=[str(n) for n in range(len(PROGRAMS))]
)
def test_a_program_runs_as_pasted_and_prints_what_is_shown(
    program: str, output: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        # Engines stay open at the end, which is told of from Python 3.13 on.
        [
            *(sys.executable, "-W", "error", "-W", "ignore::ResourceWarning"),
            "-c",
            program,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == output


def test_the_first_program_is_short_and_begins_before_line_25() -> None:
    first = PROGRAMS[0][0]

    assert len(first.splitlines()) <= 20
    assert README[: README.index(first)].count("\n") < 25


SERVERS = ("gateway", "relay", "web")
CODES = {"outbox": {0, 3}, "history": {0, 3}, "unattributed": {0, 3}}
"""Of commands that may find nothing in so small a place."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield a folder with an app's and a gateway's database, and what stands there."""
    folder = tmp_path_factory.mktemp("readme")
    engine = create_engine(f"sqlite:///{folder / 'app.db'}")
    create_tables(engine)
    tracked_models.Base.metadata.create_all(engine)
    (folder / "app").mkdir()
    (folder / "app" / "hydro.py").write_text(
        "import tracked_models\nfrom hydro_hooks import register\n"
        "hooks = register(*tracked_models.mappings())\n"
    )
    with LocalGateway(store=f"sqlite:///{folder / 'gateway.db'}") as gateway:
        events = [sample_event(jira_hostname="https://acme.atlassian.net")]
        events += [sample_event(reason="unattributed", github_actor="octocat")]
        record(engine, events)
        Relay(engine, gateway.settings()).drain()
        yield {
            "folder": str(folder),
            "secret": gateway.secrets[0],
            "https://hydro.example/api/v1/events": gateway.url,
            "postgresql+psycopg://localhost/app": "sqlite:///app.db",
            "01937b1c-5d0e-7c3f-9a51-8f0c2f5c7a10": events[0].id,
            " --port 8787": " --port 0",
        }
    engine.dispose()


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_does_what_it_is_shown_to_do(
    command: str, place: dict[str, str]
) -> None:
    for shown, here in place.items():
        command = command.replace(shown, here)
    words = shlex.split(command.partition(" > ")[0])
    if words[1] == "web":
        words += ["--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hydro_hooks.cli", *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=place["folder"],
        env={
            **os.environ,
            "HYDRO_APP_SECRET": place["secret"],
            "HYDRO_BASE_URL": place["https://hydro.example/api/v1/events"],
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    if words[1] in SERVERS:
        assert process.stdout
        assert process.stdout.readline(), "it ended at once"
        process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode in CODES.get(words[1], {0}), output
    assert "Traceback" not in output


def test_the_extras_named_are_those_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    paragraph = README.partition("Extras:")[2].partition("\n\n")[0]

    assert set(re.findall(r"`([a-z]+)`", paragraph)) == set(
        project["optional-dependencies"]
    )


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")

    assert "python -m pytest" in README
    assert "README.md" in script


def test_files_named_exist() -> None:
    for name in re.findall(r"(?:examples|tests)/[\w/]+\.py", README):
        assert (ROOT / name).is_file(), name
