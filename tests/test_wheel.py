"""The wheel as a user gets it: what is in it, and what works with it and without."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
import typed_projects
from environments import ROOT, Environment, Environments, interpreter_of, ran, shared
from first_things import FIRST_THINGS, TOGETHER

from hydro_hooks.cli.extras import EXTRAS

pytestmark = pytest.mark.timeout(
    300
)  # the first test of all waits for what it installs

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")
VERSIONS = re.findall(r"Python :: (3\.\d+)", str(PROJECT["classifiers"]))

HEAVY = """
flask click rich pytest requests jsonschema celery rq alembic waitress
confluent_kafka prometheus_client
"""

IMPORT_ALL = """
import importlib, json, sys
import sqlalchemy.orm

before = set(sys.modules)
import hydro_hooks

loaded = sorted(set(sys.modules) - before)
missing = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = error.name
print(json.dumps({"loaded": loaded, "missing": sorted(set(missing.values()))}))
"""

IMPORT_ONE = """
import json, sys, time

before = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - before
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""
ROUNDS = 5
MOST_MODULES = 140


@pytest.fixture(scope="session")
def environments(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environments]:
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # each worker has its own in the run's
        folder = folder.parent
    with shared(folder / "environments") as environments:
        yield environments


@pytest.fixture
def core(environments: Environments) -> Environment:
    return environments.core()


def names_in(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def metadata_of(wheel: Path) -> Message:
    [name] = [name for name in names_in(wheel) if name.endswith("/METADATA")]
    with ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(name))


def required_by(metadata: Message, extra: str | None = None) -> set[str]:
    """Return what an extra adds, or what is always required."""
    lines = [line.partition(";") for line in metadata.get_all("Requires-Dist", [])]
    wanted = f"extra == '{extra}'" if extra else ""
    return {
        requirement.strip()
        for requirement, _, marker in lines
        if (wanted in marker if extra else "extra ==" not in marker)
    }


def modules_in(wheel: Path) -> list[str]:
    """Return the names of the wheel's modules, less those that run when imported."""
    files = [Path(name) for name in names_in(wheel) if name.endswith(".py")]
    modules = [file.with_suffix("").as_posix().replace("/", ".") for file in files]
    return [
        module.removesuffix(".__init__")
        for module in modules
        if not module.endswith(".__main__")
    ]


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@dataclass(frozen=True, slots=True)
class Imports:
    """What importing came to, as names of modules at top level.

    Args:
        loaded: By `import hydro_hooks`, which `import sqlalchemy.orm` had not.
        missing: What modules of the package want that is not installed.
    """

    loaded: set[str]
    missing: set[str]

    @classmethod
    def all_of(cls, wheel: Path, environment: Environment, folder: Path) -> Imports:
        """Import every module that the wheel holds."""
        modules = modules_in(wheel)
        done = environment.run("-c", IMPORT_ALL, *modules, cwd=folder)
        found: dict[str, list[str]] = json.loads(output_of(done))
        tops = {
            key: {n.partition(".")[0] for n in names} for key, names in found.items()
        }
        return cls(**tops)


def test_it_holds_what_the_package_holds_and_nothing_else(
    environments: Environments,
) -> None:
    package = ROOT / "hydro_hooks"
    files = {path for path in package.rglob("*") if path.is_file()}
    expected = {path for path in files if "__pycache__" not in path.parts}

    names = names_in(environments.wheel())

    held = {name for name in names if ".dist-info/" not in name}
    assert held == {path.relative_to(ROOT).as_posix() for path in expected}
    assert len({name.partition("/")[0] for name in names}) == 2
    for needed in (
        "py.typed",
        "schemas/jira.v1.Action.json",
        "web/static/pages.css",
        "web/templates/hydro_hooks/base.html",
    ):
        assert f"hydro_hooks/{needed}" in held


def test_it_requires_what_the_readme_says_and_nothing_else(
    environments: Environments,
) -> None:
    sentence = README.partition("The core needs")[2].partition("nothing else")[0]

    required = required_by(metadata_of(environments.wheel()))

    names = {re.split(r"[^\w-]", requirement)[0] for requirement in required}
    assert names == set(re.findall(r"`(\w+)`", sentence))


def test_with_the_core_alone_a_module_imports_lightly_or_its_extra_is_known(
    environments: Environments, core: Environment, tmp_path: Path
) -> None:
    imports = Imports.all_of(environments.wheel(), core, tmp_path)

    unknown = ", ".join(sorted(imports.missing - EXTRAS.keys()))
    assert not unknown, f"hydro_hooks/cli/extras.py has no extra for {unknown}"
    assert {"click", "flask"} <= imports.missing
    assert not imports.loaded & set(HEAVY.split())


def test_with_the_core_alone_the_command_says_in_one_line_what_it_needs(
    core: Environment, tmp_path: Path
) -> None:
    command = core.folder / "bin" / "hydro-hooks"

    done = ran(str(command), "why", "acme.atlassian.net", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'Error: click is not installed; run: pip install "hydro-hooks[cli]"\n'
    )


def test_importing_it_loads_few_modules(core: Environment, tmp_path: Path) -> None:
    """Prints what the README tells; `-rP` shows it."""
    core.run("-c", IMPORT_ONE, "hydro_hooks", cwd=tmp_path)  # compiles them
    seconds: dict[str, list[float]] = {"sqlalchemy.orm": [], "hydro_hooks": []}
    modules = {}
    for _ in range(ROUNDS):
        for module, times in seconds.items():
            done = core.run("-c", IMPORT_ONE, module, cwd=tmp_path)
            found = json.loads(output_of(done))
            times.append(found["seconds"])
            modules[module] = set(found["modules"])

    more = modules["hydro_hooks"] - modules["sqlalchemy.orm"]
    own = {name for name in more if name.partition(".")[0] == "hydro_hooks"}
    theirs, ours = (statistics.median(times) for times in seconds.values())
    print(  # noqa: T201 - figures for the README
        f"import hydro_hooks: {len(more)} modules beyond import sqlalchemy.orm, of them"
        f" {len(own)} its own; {ours * 1000:.0f} ms to {theirs * 1000:.0f} ms,"
        f" {ours / theirs:.2f} times (medians of {ROUNDS} processes)"
    )
    assert len(more) <= MOST_MODULES


def test_a_users_project_is_typed_and_each_mistake_in_it_found(
    core: Environment, tmp_path: Path
) -> None:
    (tmp_path / "models.py").write_text(typed_projects.MODELS)
    (tmp_path / "right.py").write_text(typed_projects.RIGHT)
    (tmp_path / "wrong.py").write_text(typed_projects.WRONG)
    marked = re.compile(r".*# ([\w-]+)$")
    lines = enumerate(typed_projects.WRONG.splitlines(), start=1)
    mistakes = [(n, found[1]) for n, line in lines if (found := marked.match(line))]

    done = ran(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
        *(f"--python-executable={core.python}", "--hide-error-context"),
        *("models.py", "right.py", "wrong.py"),
        cwd=tmp_path,
    )

    told = re.findall(r"^(.+):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M)
    assert [line for line in told if line[0] != "wrong.py"] == [], done.stdout
    assert [(int(n), code) for _, n, code in told] == mistakes, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_readmes_first_program_runs_with_the_core_alone(
    environments: Environments, tmp_path: Path, version: str
) -> None:
    program, _, rest = README.partition("```python\n")[2].partition("```\n")
    output = rest.partition("```text\n")[2].partition("```\n")[0]
    environment = environments.core(interpreter_of(version))

    # The program ends with its engine open, which is told of from Python 3.13 on.
    warnings = ("-W", "error", "-W", "ignore::ResourceWarning")
    done = environment.run(*warnings, "-c", program, cwd=tmp_path)

    assert output_of(done) == output


@pytest.mark.parametrize("extra", FIRST_THINGS)
def test_with_one_extra_alone_what_it_is_for_works(
    environments: Environments, tmp_path: Path, extra: str
) -> None:
    environment = environments.with_extra(extra)
    examples = str(ROOT / "examples")

    done = environment.run("-c", FIRST_THINGS[extra], examples, cwd=tmp_path)

    output_of(done)
    imports = Imports.all_of(environments.wheel(), environment, tmp_path)
    assert imports.missing <= EXTRAS.keys()
    still = {module for module in imports.missing if EXTRAS[module] == extra}
    assert not still, f"{extra} is installed, and modules of it are missing: {still}"
    brought = {path.stem for path in environment.packages.iterdir()}
    assert not imports.loaded & brought


def test_each_extra_is_tried(environments: Environments) -> None:
    extras = set(metadata_of(environments.wheel()).get_all("Provides-Extra", []))

    untried = ", ".join(sorted(extras - FIRST_THINGS.keys() - TOGETHER))
    assert not untried, (
        f"no test of the extra {untried}: add to FIRST_THINGS in tests/first_things.py"
        " a program that does what the extra is for"
    )
    gone = ", ".join(sorted((FIRST_THINGS.keys() | TOGETHER) - extras))
    assert not gone, f"the wheel has no extra {gone}: take it off tests/first_things.py"


def test_all_is_every_extra_and_dev_holds_it(environments: Environments) -> None:
    metadata = metadata_of(environments.wheel())

    every = {name for extra in FIRST_THINGS for name in required_by(metadata, extra)}
    assert required_by(metadata, "all") == every
    assert required_by(metadata, "dev") >= every


def test_each_remedy_names_an_extra_that_there_is() -> None:
    assert set(EXTRAS.values()) <= set(PROJECT["optional-dependencies"])
