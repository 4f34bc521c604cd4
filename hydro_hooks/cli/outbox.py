"""`outbox`: what waits, what was rejected and why, and another chance for it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click
from sqlalchemy import URL

from hydro_hooks import claims
from hydro_hooks.claims import Rejected, Wanted
from hydro_hooks.cli.database import check_tables, opened
from hydro_hooks.cli.parameters import (
    AnyCommand,
    app_database_option,
    duration,
    json_option,
    kind_option,
    limit_option,
    moment_option,
    start_option,
)
from hydro_hooks.cli.terminal import (
    FAILED,
    NOTHING_FOUND,
    say,
    say_left_out,
    write,
    write_json,
)
from hydro_hooks.cli.waiting import waiting_lines
from hydro_hooks.exports import fields_of
from hydro_hooks.outbox import Waiting, waiting
from hydro_hooks.story import counted, line, moment


def _filters(command: AnyCommand) -> AnyCommand:
    """Add what chooses among the rejected events."""
    for add in (
        json_option,
        app_database_option,
        click.option(
            "--error", metavar="TEXT", help="Only those whose reason has this in it."
        ),
        moment_option("--until", "Only those rejected by then."),
        start_option("--since", "Only those rejected since then."),
        kind_option,
        click.argument("text", metavar="[HOST|URL|ID]", required=False),
    ):
        command = add(command)
    return command


@click.group()
def outbox() -> None:
    """Look after the events that wait for delivery, or were rejected.

    \b
    Example:
      hydro-hooks outbox status --database sqlite:///app.db
    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are


@outbox.command()
@app_database_option
@json_option
def status(database: URL, *, as_json: bool) -> None:
    """Tell how many events wait, since when and why, and how many were rejected.

    \b
    Example:
      hydro-hooks outbox status --database sqlite:///app.db
    \b
    Exit codes: 0 told, 1 failed, 2 wrong usage.
    """  # noqa: D301 - as above
    with opened(database) as engine:
        check_tables(engine)
        with engine.connect() as connection:
            waits_here = waiting(connection)
            refused = claims.rejected_of(connection, Wanted())
        whys = claims.waits(engine)
    if as_json:
        write_json(
            {
                "waiting": {**asdict(waits_here), "why": [asdict(one) for one in whys]},
                "rejected": {**asdict(refused), "errors": dict(refused.errors)},
            }
        )
        return
    write(_waiting_line(waits_here))
    for each in waiting_lines(whys):
        write(f"  {each}")
    write(_rejected_line(refused))
    for error, count in refused.errors:
        write(f"  {count}: {error}")


@outbox.command("rejected")
@_filters
@limit_option
def rejected_command(limit: int, *, as_json: bool, **given: Any) -> None:
    """List the rejected events, each with its reason, the newest last.

    \b
    Example:
      hydro-hooks outbox rejected acme.atlassian.net --since 2026-08-01
    \b
    Exit codes: 0 listed, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - as above
    with opened(given.pop("database")) as engine:
        check_tables(engine)
        wanted = Wanted(**given)
        with engine.connect() as connection:
            found = claims.rejections(connection, wanted, limit)
            total = claims.rejected_of(connection, wanted).count
    if not found:
        say(
            "no event is rejected" if wanted == Wanted() else "none of them is rejected"
        )
        raise click.exceptions.Exit(NOTHING_FOUND)
    say_left_out(total - len(found), total, "event", "events")
    for record in found:
        if as_json:
            write_json(fields_of(record))
        else:
            write(line(record, host=record.event.jira_hostname))


@outbox.command()
@_filters
@click.option(
    "--all", "is_all", is_flag=True, help="All of them, where nothing else chooses."
)
@click.option("--dry-run", is_flag=True, help="Only tell how many it would be.")
def redrive(
    *, is_all: bool, dry_run: bool, as_json: bool, database: URL, **given: Any
) -> None:
    """Put rejected events back into the outbox, to be delivered like any other.

    First mend what they were rejected for. Safe to repeat: nothing is sent twice that
    Hydro has accepted.

    \b
    Example:
      hydro-hooks outbox redrive --error "unknown schema" --database sqlite:///app.db
    \b
    Exit codes: 0 done, 1 failed or some cannot be redriven, 2 wrong usage, 3 none
    is rejected.
    """  # noqa: D301 - as above
    wanted = Wanted(**given)
    if (wanted == Wanted()) is not is_all:
        message = "choose with HOST|URL|ID, --error, --since or --until; or give --all"
        raise click.UsageError(message)
    with opened(database) as engine:
        check_tables(engine)
        with engine.connect() as connection:
            count = claims.rejected_of(connection, wanted).count
        if not count:
            say("none of them is rejected")
            raise click.exceptions.Exit(NOTHING_FOUND)
        if dry_run:
            _tell(count, as_json=as_json, is_done=False)
            return
        done = claims.redrive(engine, wanted)
    for event_id, error in done.kept:
        say(f"{event_id} stays rejected: {error}")
    _tell(done.count, as_json=as_json, is_done=True)
    if done.kept:
        raise click.exceptions.Exit(FAILED)


@outbox.command()
@app_database_option
@click.option(
    "--older-than",
    callback=duration,
    required=True,
    metavar="SPAN",
    help="Only events that occurred so long ago: 90s, 30m, 12h, 7d.",
)
@click.option(
    "--delivered-by",
    required=True,
    metavar="NAME",
    help="What has delivered them, as the journal is to tell it.",
)
@json_option
def settle(
    database: URL, older_than: timedelta, delivered_by: str, *, as_json: bool
) -> None:
    """Move events to the journal that something else than a relay has delivered.

    For where Kafka Connect (Debezium) reads the outbox from the database's log. Not
    beside a relay: what it has not sent yet would never be sent.

    \b
    Example:
      hydro-hooks outbox settle --older-than 1h --delivered-by kafka-connect
    \b
    Exit codes: 0 done, 1 failed or a relay is at work, 2 wrong usage.
    """  # noqa: D301 - as above
    with opened(database) as engine:
        check_tables(engine)
        count = claims.hand_over(
            engine, older_than=older_than, delivered_by=delivered_by
        )
    if as_json:
        write_json({"settled": count})
    else:
        write(f"{counted(count, 'event is', 'events are')} in the journal now")


def _tell(count: int, *, as_json: bool, is_done: bool) -> None:
    if as_json:
        write_json({"redriven" if is_done else "would_redrive": count})
    elif is_done:
        write(f"{counted(count, 'event waits', 'events wait')} for delivery again")
    else:
        write(f"{counted(count, 'event', 'events')} would wait for delivery again")


def _waiting_line(waits_here: Waiting) -> str:
    if waits_here.oldest_occurred_at is None:
        return "no event waits"
    what = counted(waits_here.count, "event waits", "events wait")
    return f"{what}; the oldest is of {moment(waits_here.oldest_occurred_at)}"


def _rejected_line(refused: Rejected) -> str:
    if refused.oldest_at is None:
        return "no event is rejected"
    what = counted(refused.count, "event is", "events are")
    return f"{what} rejected, since {moment(refused.oldest_at)}"
