"""`doctor`: what ails recording and delivery, each check on a line with its remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from hydro_hooks import claims, diagnosis
from hydro_hooks.claims import Wanted
from hydro_hooks.cli.database import opened
from hydro_hooks.cli.extras import remedy_for
from hydro_hooks.cli.parameters import (
    app_database_option,
    gateway_url_option,
    json_option,
)
from hydro_hooks.cli.terminal import FAILED, logs_on_stderr, write, write_json
from hydro_hooks.cli.waiting import waiting_lines
from hydro_hooks.diagnosis import Finding, Outcome
from hydro_hooks.errors import ConfigurationError, DatabaseError, HydroHooksError
from hydro_hooks.settings import KAFKA, Settings
from hydro_hooks.story import counted

_WIDTH = max(len(outcome.value) for outcome in Outcome)


@click.command()
@app_database_option
@gateway_url_option
@json_option
def doctor(database: URL, url: str | None, *, as_json: bool) -> None:
    """Check settings, database, clock and gateway; say what to do where one fails.

    Safe at any time: what is written into the database is rolled back, and what is sent
    to the gateway carries no event. It is signed with each secret of HYDRO_APP_SECRET
    in turn, and, to see that the gateway looks, with a wrong one. A warning is no
    failure.

    \b
    Example:
      hydro-hooks doctor --database sqlite:///app.db --url http://127.0.0.1:8787/api/v1/events
    \b
    Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    report = _Report(as_json=as_json)
    with logs_on_stderr():
        report.look("variables", partial(diagnosis.examine_variables, os.environ))
        settings = _examine_configuration(report, url)
        report.look("registration", diagnosis.examine_registration)
        _examine_database(report, database)
        _examine_delivery(report, settings)
    if report.has_failed:
        raise click.exceptions.Exit(FAILED)


class _Report:
    """Tells of each check as soon as it is made."""

    def __init__(self, *, as_json: bool) -> None:
        self.has_failed = False
        self._as_json = as_json

    def look(self, check: str, examine: Callable[[], Finding]) -> bool:
        """Make a check and tell what it found; return False where it failed."""
        try:
            finding = examine()
        except HydroHooksError as error:
            finding = Finding(outcome=Outcome.FAILED, text=str(error))
        except ModuleNotFoundError as error:
            remedy = remedy_for(error.name)
            if remedy is None:
                raise
            finding = Finding(outcome=Outcome.FAILED, text=remedy)
        self.tell(check, finding)
        return finding.outcome is not Outcome.FAILED

    def leave_out(self, why: str, *checks: str) -> None:
        """Tell of checks that cannot be made."""
        for check in checks:
            self.tell(check, Finding(outcome=Outcome.NOT_CHECKED, text=why))

    def tell(self, check: str, finding: Finding) -> None:
        """Write a line."""
        self.has_failed |= finding.outcome is Outcome.FAILED
        outcome = finding.outcome.value
        if self._as_json:
            write_json({"check": check, "outcome": outcome, "text": finding.text})
        else:
            write(f"{outcome:<{_WIDTH}}  {check}: {finding.text}")


def _examine_configuration(report: _Report, url: str | None) -> Settings | None:
    """Return the settings, or None where they are wrong."""
    try:
        settings = Settings.from_env(base_url=url)
    except ConfigurationError as error:
        report.tell("settings", Finding(outcome=Outcome.FAILED, text=str(error)))
        report.leave_out("the settings are wrong", "schema", "signer")
        return None
    if settings.signer is not None:
        sys.path.insert(0, str(Path.cwd()))  # as the relay does
    is_good = report.look("settings", partial(diagnosis.examine_settings, settings))
    report.look("schema", partial(diagnosis.examine_schema, settings))
    is_signing = report.look("signer", partial(diagnosis.examine_signer, settings))
    return settings if is_good and is_signing else None


def _examine_database(report: _Report, url: URL) -> None:
    def look(check: str, examine: Callable[[Engine], Finding]) -> bool:
        return report.look(check, partial(_on_engine, url, examine))

    needing_tables = ("writing", "waiting", "rejected")
    if not report.look("database", partial(_examine_server, url)):
        why = "the database cannot be used"
        report.leave_out(why, "clock", "tables", *needing_tables)
        return
    look("clock", diagnosis.examine_clock)
    if not look("tables", diagnosis.examine_tables):
        report.leave_out("the tables are not as they should be", *needing_tables)
        return
    look("writing", diagnosis.examine_writing)
    look("waiting", _examine_waiting)
    look("rejected", _examine_rejected)


def _on_engine(url: URL, examine: Callable[[Engine], Finding]) -> Finding:
    try:
        with opened(url) as engine:
            diagnosis.never_wait_long(engine)
            return examine(engine)
    except DatabaseError as error:
        said = error.__cause__
        if isinstance(said, DBAPIError) and "lock" in str(said.orig).lower():
            message = f"{error}: {diagnosis.LOCK_REMEDY}"
            raise DatabaseError(message) from error
        raise


def _examine_server(url: URL) -> Finding:
    diagnosis.has_known_kind(url)  # before a driver is missed that would be of no use
    with opened(url) as engine:
        return diagnosis.examine_server(engine)


def _examine_waiting(engine: Engine) -> Finding:
    waits = claims.waits(engine)
    outcome = Outcome.WARNING if any(each.fault for each in waits) else Outcome.OK
    text = "; ".join(waiting_lines(waits)) or "no event waits"
    return Finding(outcome=outcome, text=text)


def _examine_rejected(engine: Engine) -> Finding:
    with engine.connect() as connection:
        refused = claims.rejected_of(connection, Wanted(), errors=1)
    if not refused.errors:
        return Finding(outcome=Outcome.OK, text="no event is rejected")
    [(error, count)] = refused.errors
    text = (
        f"{counted(refused.count, 'event is', 'events are')} rejected, {count} of them"
        f" for: {error}; see hydro-hooks outbox rejected, and redrive them once it is"
        " mended"
    )
    return Finding(outcome=Outcome.WARNING, text=text)


def _examine_delivery(report: _Report, settings: Settings | None) -> None:
    checks = ("gateway", "signature")
    if settings is None:
        report.leave_out("the settings or the signer are wrong", *checks)
    elif settings.is_disabled:
        report.leave_out("TRACKING_DISABLED is set", *checks)
    elif settings.base_url is None:
        report.leave_out("HYDRO_BASE_URL is not set", *checks)
    elif settings.base_url.startswith(KAFKA):
        report.look("topic", partial(diagnosis.examine_topic, settings))
    else:
        findings = diagnosis.examine_gateway(settings)
        for check, finding in zip(checks, findings, strict=True):
            report.tell(check, finding)
