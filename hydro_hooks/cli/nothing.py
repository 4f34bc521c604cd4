"""What a look-up says that finds nothing: what there is instead, and since when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NoReturn

import click
from sqlalchemy import Connection

from hydro_hooks import journal
from hydro_hooks.cli.terminal import NOTHING_FOUND, say
from hydro_hooks.journal import Kind, Query, Record
from hydro_hooks.story import KINDS, coverage_line, line, moment


def end_with_nothing(connection: Connection, query: Query) -> NoReturn:
    """Say that nothing is held of a text, and what is like it; exit."""
    text, kind = query.text, query.kind
    of_actor = replace(query, kind=Kind.ACTOR)
    if kind in {None, Kind.ACTOR} and journal.history(connection, of_actor, limit=1):
        say(f"{text!r} is an actor; history tells what was done by that name")
        raise click.exceptions.Exit(NOTHING_FOUND)
    sought = "a host, an id of Jira or GitHub, an event, a transaction or an actor"
    say(f"nothing is found of {text!r} as {sought if kind is None else KINDS[kind]}")
    near = journal.near_hosts(connection, text) if kind in {None, Kind.HOST} else []
    if near:
        say(f"hosts like it:  {', '.join(near)}")
    say(coverage_line(journal.coverage(connection)))
    raise click.exceptions.Exit(NOTHING_FOUND)


def end_with_none_of_it(
    connection: Connection,
    query: Query,
    at: datetime | None,
    first: Record | None = None,
) -> NoReturn:
    """Say that nothing of a text is as asked for; exit.

    Args:
        connection: To the database.
        query: What was asked.
        at: The moment that was asked for; now when None.
        first: The first record of it, where all came after that moment.
    """
    held = journal.coverage(connection)
    of_it = f" of {query.text!r}" if query.text else ""
    if query.filters:
        say(f"nothing that is recorded{of_it} is as asked for; {coverage_line(held)}")
    else:
        when = "now" if at is None else moment(at)
        say(f"nothing is recorded{of_it} by {when}; {coverage_line(held)}")
    if first is not None:
        say(f"the first record of it:  {line(first)}")
    raise click.exceptions.Exit(NOTHING_FOUND)
