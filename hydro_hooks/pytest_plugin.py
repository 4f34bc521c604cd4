"""For the tests of an app: what it records, a gateway, and a way to run without.

Installed with hydro_hooks; loads nothing heavy. Fixtures: `hydro_events`,
`hydro_gateway`, `hydro_off`. With `--hydro-off` the whole run records nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

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
        patch = pytest.MonkeyPatch()
        patch.setenv("TRACKING_DISABLED", "true")
        early_config.add_cleanup(patch.undo)  # a run inside of another's process ends


_WATCHED: Final = pytest.StashKey["RecordedEvents"]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Watch from before the first fixture, whichever comes first.

    What a session of a fixture has in flight when `hydro_events` starts is told at its
    commit; what it has committed is settled, and no part of what comes later. A session
    that was at work in earlier tests already is not followed.
    """
    is_asked = "hydro_events" in getattr(item, "fixturenames", ())
    if not is_asked or item.config.getoption("hydro_off"):
        return (yield)
    from hydro_hooks.testing import watch_events  # noqa: PLC0415 - when it is used

    with watch_events() as item.stash[_WATCHED]:
        return (yield)


@pytest.fixture
def hydro_events(request: pytest.FixtureRequest) -> Iterator[RecordedEvents]:
    """Give what the app records from here on; see `RecordedEvents`."""
    if request.config.getoption("hydro_off"):
        pytest.skip("nothing is recorded: --hydro-off")
    from hydro_hooks.testing import watch_events  # noqa: PLC0415 - when it is used

    watched = request.node.stash.get(_WATCHED, None)
    if watched is None:  # asked for by getfixturevalue()
        with watch_events() as events:
            yield events
        return
    watched.clear()
    yield watched


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
