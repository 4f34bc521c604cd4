"""The origin names the program's own frame, and no path of a machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hydro_hooks.detection import origin

SCRIPT = """
from hydro_hooks.detection import origin

class Handler:
    def handle(self):
        return origin.here()

print(Handler().handle())
"""


def test_the_innermost_frame_of_the_program_is_named() -> None:
    def inner() -> str | None:
        return origin.here()

    found = inner()

    assert found is not None
    assert found.startswith("tests.test_origin:")
    assert found.endswith("inner")


def test_a_script_is_named_by_its_file_without_its_folder(tmp_path: Path) -> None:
    script = tmp_path / "clean_up.py"
    script.write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "clean_up.py:6 in Handler.handle"


def test_a_module_run_as_a_program_is_named_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "nightly.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, "-m", "jobs.nightly"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    assert done.stdout.strip() == "jobs.nightly:6 in Handler.handle"


def test_generated_code_does_not_grow_the_memory_without_end() -> None:
    for number in range(10_050):
        namespace: dict[str, object] = {"__name__": "generated", "origin": origin}
        exec(f"def f{number}():\n return origin.here()", namespace)  # noqa: S102 - generated on purpose
        made = namespace[f"f{number}"]
        assert callable(made)
        assert made() == f"generated:2 in f{number}"

    assert len(origin._known) <= 10_000  # noqa: SLF001 - the bound is the promise
