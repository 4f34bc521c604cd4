"""A small disk, which a test may fill."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from faults.lengths import runs

SIZE_BYTES: Final = runs(short=32, long=1024) << 20
"""Room for the journal of all events that the test commits."""

CHUNK_BYTES: Final = 4096


class SmallDisk:
    """A file system in memory; what is full here is as full as any disk.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(CHUNK_BYTES))

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def small_disk() -> Iterator[SmallDisk]:
    """Yield a small disk, or skip where nothing may be mounted."""
    with tempfile.TemporaryDirectory(prefix="hydro-disk-") as folder:
        options = f"size={SIZE_BYTES},mode=777"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],  # noqa: S607 - from PATH
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(
                "a disk that can be filled needs the right to mount one: run as root,"
                f" in a container with --cap-add SYS_ADMIN ({done.stderr.strip()})"
            )
        try:
            yield SmallDisk(Path(folder))
        finally:
            # Lazily: a server that was killed may not have let go of it yet.
            subprocess.run(["umount", "-l", folder], check=True)  # noqa: S607 - as above
