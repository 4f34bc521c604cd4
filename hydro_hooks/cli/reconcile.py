"""`reconcile`: what the tables say, compared with what is recorded."""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import URL

from hydro_hooks.cli.database import check_tables, opened
from hydro_hooks.cli.parameters import app_database_option, json_option
from hydro_hooks.cli.terminal import (
    StatusLine,
    logs_on_stderr,
    say,
    write,
    write_json,
)
from hydro_hooks.errors import ConfigurationError, HydroHooksError, with_article
from hydro_hooks.reconcile import Difference, Reconciliation
from hydro_hooks.registration import Hooks
from hydro_hooks.settings import Settings
from hydro_hooks.story import counted

DIFFERED: Final = 1
"""The exit code when something differed, also where it was recorded."""

TERMINAL_SECONDS: Final = 0.2
LOG_SECONDS: Final = 60.0
"""How often the progress is told."""


@click.command()
@click.option(
    "--app",
    required=True,
    metavar="MODULE:HOOKS",
    help="What register() gave, or a function that returns it.",
)
@app_database_option
@click.option(
    "--record", is_flag=True, help="Write the events that are missing; else only list."
)
@json_option
def reconcile(app: str, database: URL, *, record: bool, as_json: bool) -> None:
    """Find what changed in the tables without an event.

    Each row's state is compared with its last event. What a trigger, another program or
    a statement on the driver's own cursor changed is listed; with --record the missing
    events are written, unattributed, each with a note that says between which two times
    it happened: after the last event or the last run that left nothing missing, and
    before this one. In a database that has rows already, the first run with --record is
    the baseline.

    Safe beside running writers, and with short locks only: 1,000 rows are read at a
    time, and 250 are locked at a time, while events of theirs are written.

    \b
    Example:
      hydro-hooks reconcile --app jira_app.hooks:track_customers --database sqlite:///app.db
    \b
    Exit codes: 0 nothing differed, 1 something differed (recorded or not) or it failed,
    2 wrong usage. Rows that another transaction holds count as differing.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    hooks = _hooks_in(app)
    if record and Settings.from_env().is_disabled:
        message = "TRACKING_DISABLED is set: nothing is recorded; unset it for --record"
        raise ConfigurationError(message)
    line = StatusLine()
    with logs_on_stderr(line), opened(database) as engine:
        check_tables(engine)
        run = Reconciliation(
            engine=engine,
            models=hooks.models,
            is_recording=record,
            progress=_Progress(line).tell,
        )
        try:
            for difference in run.run():
                with line.away():
                    _tell(difference, as_json=as_json)
        except KeyboardInterrupt:
            line.clear()
            _conclude(run, end="interrupted: what it recorded stays, run it again")
            raise
        finally:
            line.clear()
    _conclude(run)
    if run.differing or run.held:
        raise click.exceptions.Exit(DIFFERED)


class _Progress:
    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self._began_at = self._told_at = time.monotonic()

    def tell(self, run: Reconciliation) -> None:
        now = time.monotonic()
        seconds = TERMINAL_SECONDS if self._line.is_shown else LOG_SECONDS
        if now - self._told_at < seconds:
            return
        self._told_at = now
        rate = run.compared / (now - self._began_at)
        text = f"{run.compared:,} compared ({rate:,.0f}/s), {run.differing:,} differ"
        if self._line.is_shown:
            self._line.show(text)
        else:
            say(text)


def _tell(difference: Difference, *, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "association": difference.association,
                "subjectId": difference.subject_id,
                "recorded": difference.recorded.value,
                "found": difference.found.value,
                "action": difference.action.value,
                "after": difference.after and difference.after.isoformat(),
                "before": difference.before.isoformat(),
                "eventId": difference.event_id,
            }
        )
        return
    done = f" (recorded as {difference.event_id})" if difference.event_id else ""
    write(
        f"{difference.association} {difference.subject_id} is {difference.found},"
        f" but {difference.recorded} by what is recorded: {difference.action}{done}"
    )


def _conclude(run: Reconciliation, end: str = "") -> None:
    if not run.differing:
        told = "what differs is held" if run.held else "nothing differs"
    else:
        told = counted(run.differing, "differs", "differ")
        told += "; recorded now" if run.is_recording else "; --record records it"
    compared = "row or recorded subject" if run.compared == 1 else "rows and subjects"
    say(f"{run.compared:,} {compared} compared: {told}{f'; {end}' if end else ''}")
    if run.held:
        held = counted(run.held, "row is", "rows are")
        say(f"{held} left to the next run: another transaction holds them")
    if run.unreadable:
        count = counted(run.unreadable, "subject", "subjects")
        say(
            f"of {count} the row could not be looked up, as the text of its key leads"
            " to none, or to one that is stored otherwise: whether it is deleted is not"
            " known, and nothing was recorded of it"
        )


def _hooks_in(place: str) -> Hooks:
    """Return the handle that `--app` names.

    Raises:
        click.BadParameter: There is no such thing, or it is something else.
        ConfigurationError: The app fails by itself.
    """
    module, _, path = place.partition(":")
    if not module or not path:
        message = f"{place!r} is not MODULE:HOOKS; give one such as app.hydro:hooks"
        raise click.BadParameter(message, param_hint="--app")
    sys.path.insert(0, str(Path.cwd()))
    with _telling(f"importing {module}"):
        try:
            # Any: whatever the module has under that name.
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            message = (
                f"{place!r}: {error}; it is looked for in this directory and in those"
                " of PYTHONPATH"
            )
            raise click.BadParameter(message, param_hint="--app") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            message = f"{place!r}: {error}"
            raise click.BadParameter(message, param_hint="--app") from error
    if callable(found):
        with _telling(f"calling {place}"):
            found = found()
    if not isinstance(found, Hooks):
        message = (
            f"{place!r} is {with_article(type(found).__name__)}; name what register()"
            " gave, or a function that returns it"
        )
        raise click.BadParameter(message, param_hint="--app")
    return found


@contextmanager
def _telling(deed: str) -> Iterator[None]:
    """Tell of an app that fails by itself what failed, and where.

    Raises:
        ConfigurationError: It did.
    """
    try:
        yield
    except (HydroHooksError, click.ClickException):
        raise
    except Exception as error:
        message = f"{deed} failed: {type(error).__name__}: {error}{_place_of(error)}"
        raise ConfigurationError(message) from error


def _place_of(error: Exception) -> str:
    """Return where in the app it was raised, if it was there."""
    own = (__file__, importlib.__file__, "<")
    places = [
        f", at {frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(own) and "site-packages" not in frame.filename
    ]
    return places[-1] if places else ""
