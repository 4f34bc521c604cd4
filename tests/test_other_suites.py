"""Other programs' own tests have the same outcomes with hydro_hooks on their models."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy
from needs import missing

PLUGIN: Final = Path(__file__).with_name("other_suites_plugin.py")

COUNTS_STATEMENTS: Final = "it counts all statements of the engine, ours too"
CALLS_LISTENERS: Final = "it calls what listens to a flush itself, without one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of a package as its sdist holds them.

    Args:
        name: The package's, on PyPI.
        version: Of the package.
        options: Which tests, and what else its pytest is told.
        tests: How many pass at least, in both arms.
        events: How many are recorded at least.
        exceptions: Why the outcome of which tests differs, be it with one of their
            parameters.
    """

    name: str
    version: str
    options: tuple[str, ...]
    tests: int
    events: int
    exceptions: Mapping[str, str] = field(default_factory=dict)


SQLALCHEMY: Final = Suite(
    name="sqlalchemy",
    version=sqlalchemy.__version__,
    options=(
        "-o",
        "addopts=-p warnings -p logging --strict-markers --maxfail=1000",
        *(
            f"test/orm/{name}.py"
            for name in (
                "dml/test_bulk",
                "dml/test_orm_upd_del_inheritance",
                "test_cascade",
                "test_events",
                "test_manytomany",
                "test_naturalpks",
                "test_onetoone",
                "test_transaction",
                "test_unitofwork",
                "test_unitofworkv2",
                "test_versioning",
            )
        ),
    ),
    tests=850,
    events=700,
    exceptions={
        "test_events.MapperEventsTest::test_insert_flags": CALLS_LISTENERS,
        "test_events.RemovalTest::test_unmapped_listen": CALLS_LISTENERS,
        "test_events.SessionEventsTest::test_sessionmaker_gen_after_session_listen": (
            CALLS_LISTENERS
        ),
    },
)

CONTINUUM: Final = Suite(
    name="sqlalchemy-continuum",
    version="2.0.0",
    options=(
        "-p",
        "no:logging",  # of its echoes
        "tests/plugins/test_activity.py",
        "tests/plugins/test_transaction_changes.py",
        "tests/relationships/test_non_versioned_classes.py",
        "tests/revert",
        "tests/test_changeset.py",
        "tests/test_column_aliases.py",
        "tests/test_delete.py",
        "tests/test_exotic_listener_chaining.py",
        "tests/test_insert.py",
        "tests/test_revert.py",
        "tests/test_savepoints.py",
        "tests/test_sessions.py",
        "tests/test_transaction.py",
        "tests/test_update.py",
        "tests/test_user_guide_examples.py",
        "tests/test_vacuum.py",
        "tests/test_validity_strategy.py",
    ),
    tests=130,
    events=900,
    exceptions={
        f"test_activity.{name}::test_does_not_query_db_if_version_obj_in_session": (
            COUNTS_STATEMENTS
        )
        for name in ("TestObjectTxIdGeneration", "TestTargetTxIdGeneration")
    },
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", [SQLALCHEMY, CONTINUUM], ids=lambda one: one.name)
def test_a_suite_has_the_same_outcomes_with_hydro_hooks_on_all_its_models(
    suite: Suite, tmp_path: Path
) -> None:
    sdist = downloaded(suite, tmp_path)
    plain = Arm(suite=suite, sdist=sdist, folder=tmp_path / "plain", is_plain=True)
    hooked = Arm(suite=suite, sdist=sdist, folder=tmp_path / "hooked", is_plain=False)
    with ThreadPoolExecutor() as both:
        without, with_us = both.map(Arm.outcomes, (plain, hooked))

    differing = {
        test.partition("[")[0]
        for test in without.keys() | with_us.keys()
        if without.get(test) != with_us.get(test)
    }
    assert differing == suite.exceptions.keys(), hooked.output.read_text()
    assert list(without.values()).count("passed") >= suite.tests
    assert hooked.count_of_events() >= suite.events


def downloaded(suite: Suite, folder: Path) -> Path:
    """Return a package's sdist, or skip (in CI: fail) where there is none to be had."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", suite.name, f"{suite.name}=={suite.version}"),
            *("--dest", str(folder / "sdist")),
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        reason = f"pip cannot download the sdist of {suite.name}: {last}"
        missing(reason)
    [sdist] = (folder / "sdist").iterdir()
    return sdist


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A run of a suite in a tree of its own, for some of its tests write files there.

    Args:
        suite: Whose tests.
        sdist: The package's.
        folder: Where to run; made anew.
        is_plain: Whether it runs without hydro_hooks.
    """

    suite: Suite
    sdist: Path
    folder: Path
    is_plain: bool

    @property
    def output(self) -> Path:
        """The file of what pytest tells."""
        return self.folder / "output.txt"

    def outcomes(self) -> dict[str, str]:
        """Run the suite; return what became of each test."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.folder, filter="data")
        [tree] = self.folder.iterdir()
        report = self.folder / "report.xml"
        plugin = () if self.is_plain else ("-p", PLUGIN.stem)
        with self.output.open("w") as output:
            subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-q", *plugin),
                    *("--tb=short", "--assert=plain"),
                    *("-p", "no:cacheprovider", f"--junit-xml={report}"),
                    *self.suite.options,
                ],
                cwd=tree,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=800,
                check=False,
            )
        assert report.exists(), self.output.read_text()
        return {_name(case): _outcome(case) for case in _cases(report)}

    def _environment(self) -> dict[str, str]:
        modules = self.folder / "modules"
        modules.mkdir()
        (modules / PLUGIN.name).symlink_to(PLUGIN)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COVERAGE_", "PYTEST_"))
        }
        return {
            **inherited,
            "HYDRO_TEST_REPORT": str(self._events),
            "PYTHONHASHSEED": "0",
            # Else SQLAlchemy's tests take the SQLAlchemy of their own tree.
            "PYTHONNOUSERSITE": "1",
            "PYTHONPATH": str(modules),
        }

    @property
    def _events(self) -> Path:
        return self.folder / "events.json"

    def count_of_events(self) -> int:
        """Return how many events were recorded."""
        events: dict[str, int] = json.loads(self._events.read_text())["events"]
        return sum(events.values())


def _cases(report: Path) -> Iterator[ET.Element]:
    return ET.parse(report).iter("testcase")  # noqa: S314 - our own pytest's


def _outcome(case: ET.Element) -> str:
    kinds = {one.tag for one in case} & {"error", "failure", "skipped"}
    return ", ".join(sorted(kinds)) or "passed"


def _name(case: ET.Element) -> str:
    """Return a test's file, class and name, without the version of SQLite in it."""
    kind = re.sub(r"_sqlite\+pysqlite_[\d_]+$", "", case.attrib["classname"])
    return f"{'.'.join(kind.split('.')[-2:])}::{case.attrib['name']}"
