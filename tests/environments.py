"""Environments that hold the package's wheel, as a user gets it.

Each is made once in a run, by whichever of pytest-xdist's workers needs it first; the
last worker removes them. The wheel stands alone in `core()`, beside what it requires;
an extra's environment sees those and what pip adds to them for that extra.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from needs import missing

ROOT: Final = Path(__file__).parent.parent
PROJECT: Final = "hydro-hooks"
SECONDS: Final = 240
PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, without pip."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        [found] = self.folder.glob("lib/python*/site-packages")
        return found

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its Python; only what is installed in it can be imported."""
        # Isolated: neither the folder nor PYTHONPATH, which may lead to the tree.
        return ran(str(self.python), "-I", *arguments, cwd=cwd)


class Environments:
    """Those of one run.

    Args:
        folder: Which all workers of the run share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wheel(self) -> Path:
        """Return the wheel, built from the tree."""
        [wheel] = self._made("wheel", _build).glob("*.whl")
        return wheel

    def core(self, interpreter: str = sys.executable) -> Environment:
        """Return the environment with the wheel and what it requires.

        Args:
            interpreter: The Python that it is of.
        """
        wheel = self.wheel()

        def make(place: Path) -> None:
            _install(_created(place, interpreter), str(wheel))

        return Environment(self._made(f"core{_short(interpreter)}", make))

    def with_extra(self, extra: str) -> Environment:
        """Return an environment that sees the core and what an extra adds to it."""
        core = self.core()

        def make(place: Path) -> None:
            environment = _created(place, sys.executable)
            path = environment.packages / "core.pth"
            path.write_text(f"{core.packages}\n")
            _install(environment, f"{PROJECT}[{extra}]")

        return Environment(self._made(f"extra-{extra}", make))

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return a folder that is filled if no other worker did; they wait."""
        if name != "index":
            self._need_index()
        place = self._folder / name
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            mark = self._folder / f"{name}.made"
            if not mark.exists():
                make(place)
                mark.touch()
        return place

    def _need_index(self) -> None:
        """Skip (in CI: fail) where packages cannot be had."""
        found = self._made("index", _look_for_index) / "problem"
        if not found.exists():
            return
        reason = (
            "no package can be had, so there is no environment to install the wheel in:"
            f" see to it that `pip download hatchling` works: {found.read_text()}"
        )
        missing(reason)


@contextmanager
def shared(folder: Path) -> Iterator[Environments]:
    """Give the environments in a folder, which the last one to leave removes."""
    with folder.with_suffix(".users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        folder.mkdir(exist_ok=True)
        yield Environments(folder)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder)


def ran(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        command, capture_output=True, check=False, cwd=cwd, text=True, timeout=SECONDS
    )


def interpreter_of(version: str) -> str:
    """Return a Python of a version such as `3.12`, or skip where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = shutil.which(f"python{version}")
    candidates = [sys.executable, *filter(None, [found])]
    candidates += map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    for candidate in candidates:
        if _version_of(candidate) == version:
            return candidate
    reason = (
        f"there is no Python {version}: put a python{version} (with its venv) on PATH,"
        f" or run `pyenv install {version}`"
    )
    pytest.skip(reason)


def _version_of(interpreter: str) -> str:
    # One of pyenv's stand-ins may be there, and its Python not be chosen.
    program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    return ran(interpreter, "-c", program, cwd=Path.cwd()).stdout.strip()


def _short(interpreter: str) -> str:
    return "" if interpreter == sys.executable else f"-{Path(interpreter).name}"


def _look_for_index(place: Path) -> None:
    place.mkdir()
    quick = ("--quiet", "--no-deps", "--no-cache-dir", "--retries=1", "--timeout=20")
    done = ran(*PIP, "download", *quick, "hatchling", cwd=place)
    if done.returncode:
        (place / "problem").write_text(done.stderr.strip().rpartition("\n")[2])


def _build(place: Path) -> None:
    _pip("wheel", "--quiet", "--no-deps", f"--wheel-dir={place}", str(ROOT))


def _created(place: Path, interpreter: str) -> Environment:
    options = ("--without-pip", "--clear", str(place))
    done = ran(interpreter, "-m", "venv", *options, cwd=place.parent)
    assert done.returncode == 0, done.stderr
    return Environment(place)


def _install(environment: Environment, requirement: str) -> None:
    where = f"--python={environment.python}"
    # Not compiled: of thousands of files, a test imports a few hundred.
    _pip(where, "install", "--quiet", "--no-compile", requirement)


def _pip(*arguments: str) -> None:
    done = ran(*PIP, *arguments, cwd=ROOT)
    if done.returncode:
        pytest.fail(f"pip {' '.join(arguments)}: {done.stderr}")
