"""Coverage is measured of what runs on SQLite, and of what needs no database.

The servers' tests are the same ones again. To trace them too makes the whole run a
quarter longer, for the few lines that are theirs alone.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

import pytest
from coverage import Coverage
from databases import SERVERS

IN_CHILDREN: Final = "COVERAGE_PROCESS_CONFIG"
"""The variable by which a child process of a measured one is measured, too."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure neither a test on a server nor a process that it starts."""
    coverage = Coverage.current()
    if coverage is None or not _is_on_a_server(item):
        return (yield)
    coverage.stop()
    config = os.environ.pop(IN_CHILDREN, None)
    try:
        return (yield)
    finally:
        coverage.start()
        if config is not None:
            os.environ[IN_CHILDREN] = config


def _is_on_a_server(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and any(
        isinstance(value, str) and value in SERVERS
        for value in callspec.params.values()
    )
