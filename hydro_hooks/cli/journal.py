"""`journal`: the permanent record as a whole, written out or shortened."""

from __future__ import annotations

import sys
from datetime import datetime

import click
from sqlalchemy import URL

from hydro_hooks.cli.database import connected, opened
from hydro_hooks.cli.parameters import database_option, moment_option, start_option
from hydro_hooks.cli.terminal import say, write_json
from hydro_hooks.exports import fields_of
from hydro_hooks.journal import count_before, coverage, prune
from hydro_hooks.journal import export as exported
from hydro_hooks.story import counted, moment


@click.group()
def journal() -> None:
    """Write out the journal, or shorten it. By default it is kept for ever.

    \b
    Example:
      hydro-hooks journal export --database sqlite:///app.db > journal.jsonl
    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are


@journal.command()
@start_option("--since", "Only events that occurred since then.")
@moment_option("--until", "Only events that occurred by then.")
@database_option
def export(database: URL, since: datetime | None, until: datetime | None) -> None:
    """Write the journal to stdout as JSON Lines, each event as `show --json` tells it.

    In the order of their numbers, read bit by bit: any number will do. It holds what
    was delivered; stderr tells what waits still, or was rejected.

    \b
    Example:
      hydro-hooks journal export --since 2026-01-01 > journal.jsonl
    \b
    Exit codes: 0 written, 1 failed, 2 wrong usage.
    """  # noqa: D301 - as above
    count = 0
    with connected(database) as connection:
        for record in exported(connection, since=since, until=until):
            write_json(fields_of(record))
            count += 1
        elsewhere = coverage(connection)
    say(f"{counted(count, 'event', 'events')} written")
    if elsewhere.waiting or elsewhere.rejected:
        waiting, rejected = elsewhere.waiting or 0, elsewhere.rejected or 0
        say(
            f"not among them: what waits ({waiting:,}) and what was rejected"
            f" ({rejected:,}); hydro-hooks relay delivers, hydro-hooks outbox redrive"
            " gives another try"
        )


@journal.command("prune")
@start_option("--before", "Delete what occurred before: 2026-03-05 (its beginning).")
@click.option("--yes", is_flag=True, help="Do it; else it is only told what would go.")
@database_option
def prune_command(database: URL, before: datetime | None, *, yes: bool) -> None:
    """Delete old events from the journal, for ever.

    Events that wait or were rejected stay, and in an app's database the last event of
    each row that is there by it. At a gateway the stored requests go whose last event
    goes. It may be stopped, and begun again, at any time.

    \b
    Example:
      hydro-hooks journal prune --before 2020-01-01 --yes --database sqlite:///app.db
    \b
    Exit codes: 0 done or told, 1 failed, 2 wrong usage.
    """  # noqa: D301 - as above
    if before is None:
        message = "say before when: --before 2020-01-01"
        raise click.UsageError(message)
    with opened(database) as engine:
        with engine.connect() as connection:
            count = count_before(connection, before)
        what = f"{counted(count, 'event', 'events')} from before {moment(before)}"
        if not yes:
            say(f"{what} would be deleted, for ever; --yes does it")
            return
        with click.progressbar(length=count, label="deleting", file=sys.stderr) as bar:
            gone = prune(engine, before, bar.update)
    say(f"{counted(gone, 'event', 'events')} from before {moment(before)} deleted")
