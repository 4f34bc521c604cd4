"""How long the tests of faults take: `HYDRO_FAULTS=long` is for the published table."""

from __future__ import annotations

import os
from typing import Final

IS_LONG: Final = os.environ.get("HYDRO_FAULTS") == "long"


def runs(*, short: int, long: int) -> int:
    """Return how often a test is to do what it does."""
    return long if IS_LONG else short
