"""For the tests of an app: what it records, a gateway, and a way to run without.

Installed with hydro_hooks; loads nothing heavy. Fixtures: `hydro_events`,
`hydro_gateway`, `hydro_off`. With `--hydro-off` the whole run records nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hydro_hooks.testing.gateway import LocalGateway
    from hydro_hooks.testing.watching import RecordedEvents


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--hydro-off`."""
    parser.getgroup("hydro_hooks").addoption(
        "--hydro-off",
        action="store_true",
        help="record nothing (TRACKING_DISABLED); tests of hydro_events are skipped",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Switch tracking off before a conftest registers anything."""
    if early_config.known_args_namespace.hydro_off:
        os.environ["TRACKING_DISABLED"] = "true"


@pytest.fixture
def hydro_events(request: pytest.FixtureRequest) -> Iterator[RecordedEvents]:
    """Give what the app records while the test runs; see `RecordedEvents`."""
    if request.config.getoption("hydro_off"):
        pytest.skip("nothing is recorded: --hydro-off")
    from hydro_hooks.testing import watch_events  # noqa: PLC0415 - when it is used

    with watch_events() as events:
        yield events


@pytest.fixture
def hydro_gateway() -> Iterator[LocalGateway]:
    """Give a real gateway on loopback; needs the extra `gateway`."""
    from hydro_hooks.testing.gateway import LocalGateway  # noqa: PLC0415 - when it is used

    with LocalGateway() as gateway:
        yield gateway


@pytest.fixture
def hydro_off() -> Iterator[None]:
    """Run the test with nothing tracked, whatever the app registered."""
    from hydro_hooks.testing import hooks_off  # noqa: PLC0415 - when it is used

    with hooks_off():
        yield
