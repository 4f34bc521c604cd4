from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from hydro_hooks import creation

# Loaded by the interpreter before anything else; stands for an environment in which
# the modules were never installed.
WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
"""


def run_without(
    folder: Path, modules: set[str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(WITHOUT.format(modules=modules))
    environment = {**os.environ, "PYTHONPATH": str(folder), "HYDRO_APP_SECRET": "x"}
    return subprocess.run(
        [sys.executable, "-m", "hydro_hooks.cli", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def remedy(module: str, extra: str) -> str:
    return f'Error: {module} is not installed; run: pip install "hydro-hooks[{extra}]"'


def test_without_click_one_line_says_which_extra_to_install(tmp_path: Path) -> None:
    result = run_without(tmp_path, {"click"}, "why", "test-host.jira.com")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == remedy("click", "cli") + "\n"


@pytest.mark.parametrize("module", ["flask", "waitress", "werkzeug"])
def test_without_the_gateways_modules_one_line_says_which_extra_to_install(
    tmp_path: Path, module: str
) -> None:
    result = run_without(tmp_path, {module}, "gateway", "--port", "0")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == remedy(module, "gateway") + "\n"
    assert not (tmp_path / "hydro-gateway.db").exists()


def test_the_other_commands_do_without_the_gateways_modules(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    engine = create_engine(f"sqlite:///{path}")
    creation.create_tables(engine)
    engine.dispose()

    result = run_without(
        tmp_path,
        {"flask", "waitress"},
        "why",
        "x.y",
        "--database",
        str(engine.url),
    )

    assert result.returncode == 3


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("psycopg", "postgresql+psycopg://u:hunter2@127.0.0.1:1/d", "postgresql"),
        ("pymysql", "mariadb+pymysql://u:hunter2@127.0.0.1:1/d", "mariadb"),
    ],
)
def test_without_a_driver_one_line_says_which_extra_to_install(
    tmp_path: Path, module: str, url: str, extra: str
) -> None:
    result = run_without(tmp_path, {module}, "why", "x.y", "--database", url)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == remedy(module, extra) + "\n"


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (
            {"psycopg", "psycopg2"},
            remedy("psycopg", "postgresql") + ", and write postgresql+psycopg://",
        ),
        (
            {"psycopg2"},
            "Error: psycopg2 is not installed, but psycopg is: write"
            " postgresql+psycopg://",
        ),
    ],
    ids=["ours too", "not ours"],
)
def test_another_driver_that_is_missing_is_answered_with_ours(
    tmp_path: Path, missing: set[str], says: str
) -> None:
    url = "postgresql+psycopg2://u:hunter2@127.0.0.1:1/d"
    result = run_without(tmp_path, missing, "why", "x.y", "--database", url)

    assert result.returncode == 1
    assert result.stderr == f"{says} instead of postgresql+psycopg2://\n"


@pytest.mark.parametrize(
    ("module", "extra", "options"),
    [
        ("confluent_kafka", "kafka", ["--url", "kafka://127.0.0.1:1/topic", "--once"]),
        ("prometheus_client", "metrics", ["--url", "http://127.0.0.1:1", "--listen=0"]),
    ],
)
def test_what_a_relay_lacks_is_not_taken_for_its_databases_driver(
    tmp_path: Path, module: str, extra: str, options: list[str]
) -> None:
    path = tmp_path / "app.db"
    engine = create_engine(f"sqlite:///{path}")
    creation.create_tables(engine)
    engine.dispose()

    result = run_without(
        tmp_path, {module}, "relay", "--database", str(engine.url), *options
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == remedy(module, extra) + "\n"


def test_importing_the_command_line_loads_no_click() -> None:
    program = "import sys, hydro_hooks.cli; print('click' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert result.stdout == "False\n"
