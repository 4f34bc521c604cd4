"""What a test wants of the machine it runs on."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test or, in CI, fail it, and say how to get what it wants."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
