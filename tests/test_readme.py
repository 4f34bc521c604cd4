"""What the README shows is true: each block is run, and prints what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_exists_with_the_options_shown(command: str) -> None:
    """Each is given one option too many: it is the only one to be complained of."""
    words = shlex.split(command)

    done = subprocess.run(
        [sys.executable, "-m", "hydro_hooks.cli", *words[1:], "--not-an-option"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HYDRO_APP_SECRET": "s3cret"},
    )

    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--not-an-option" in done.stderr


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
