"""`why`, `history` and `show`: what the records say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import click
from sqlalchemy import URL, Connection

from hydro_hooks import journal
from hydro_hooks.cli.database import connected
from hydro_hooks.cli.parameters import (
    app_settings,
    database_option,
    json_option,
    limit_option,
    lookup_options,
)
from hydro_hooks.cli.story import (
    KINDS,
    answer_as_json,
    answer_lines,
    coverage_line,
    field_lines,
    line,
    record_as_json,
)
from hydro_hooks.cli.terminal import (
    FAILED,
    NOTHING_FOUND,
    moment,
    say,
    say_left_out,
    write,
    write_bytes,
    write_json,
)
from hydro_hooks.journal import Kind, Record, StoredRequest
from hydro_hooks.signing import HydroHmac

VALID: Final = "signature valid"
MISMATCH: Final = "its signature does not match any known secret"
UNCHECKED: Final = "signature not checked, no secret given (set HYDRO_APP_SECRET)"


@click.command()
@lookup_options
def why(
    text: str, at: datetime | None, kind: Kind | None, database: URL, *, as_json: bool
) -> None:
    """Say why an installation is as it is: the first line is the answer.

    It tells the state, since when, the action, the reason and the actor; where there
    was none, the place in the program that made the change. Then come the transitions
    before and after. Works on the app's database and on a gateway's.

    \b
    Example:
      hydro-hooks why test-host.jira.com --at 2026-03-05
    \b
    Exit codes: 0 answered, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    with connected(database) as connection:
        answer = journal.why(connection, text, at=at, kind=kind)
        if answer is None:
            _end_with_nothing(connection, text, kind)
        if answer.record is None:
            _end_too_early(connection, text, at, answer.after)
    _say_what_else(text, answer.taken_for, answer.also)
    if as_json:
        write_json(answer_as_json(answer, at))
        return
    for each in answer_lines(answer, answer.record, at):
        write(each)


@click.command()
@lookup_options
@limit_option
def history(
    text: str,
    at: datetime | None,
    kind: Kind | None,
    database: URL,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List what happened to everything that HOST|URL|ID names, the newest last.

    \b
    Example:
      hydro-hooks history https://test-host.jira.com --limit 20
    \b
    Exit codes: 0 listed, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - as above
    with connected(database) as connection:
        found = journal.history(connection, text, at=at, kind=kind, limit=limit)
        if found is None:
            _end_with_nothing(connection, text, kind)
        if not found.records:
            _end_too_early(connection, text, at)
    _say_what_else(text, found.taken_for, found.also)
    left_out = found.total - len(found.records)
    say_left_out(left_out, found.total, "record", "records")
    for record in found.records:
        if as_json:
            write_json(record_as_json(record))
        else:
            write(line(record))


@click.command()
@click.argument("event_id")
@click.option(
    "--raw",
    is_flag=True,
    help="Show the stored bytes of the request, and check its signature with"
    " HYDRO_APP_SECRET.",
)
@database_option
@json_option
def show(event_id: str, database: URL, *, raw: bool, as_json: bool) -> None:
    """Show every field of one event.

    With --raw: the request that brought it, byte for byte, and on stderr whether its
    signature is valid. An app's database keeps no request; there the value is shown as
    it was recorded.

    \b
    Example:
      hydro-hooks show 01937b1c-5d0e-7c3f-9a51-8f0c2f5c7a10 --raw > request.json
    \b
    Exit codes: 0 shown, 1 failed or the signature does not match, 2 wrong usage,
    3 nothing found.
    """  # noqa: D301 - as above
    _check_event_id(event_id)
    with connected(database) as connection:
        record = journal.by_event_id(connection, event_id)
        if record is None:
            _end_with_nothing(connection, event_id, Kind.EVENT)
        request = journal.request_of(connection, record) if raw else None
    if raw:
        _show_raw(record, request, as_json=as_json)
    elif as_json:
        write_json(record_as_json(record))
    else:
        for each in field_lines(record):
            write(each)


def _check_event_id(text: str) -> None:
    try:
        uuid.UUID(text)
    except ValueError:
        message = f"{text!r} is not an event id (a UUID); history lists events"
        raise click.BadParameter(message, param_hint="EVENT_ID") from None


def _show_raw(record: Record, request: StoredRequest | None, *, as_json: bool) -> None:
    verdict = _verdict(request)
    if request is None:
        say("no request is stored here; this is the value as it is held")
    else:
        say(f"received {moment(request.received_at)} from {request.app}: {verdict}")
    body = record.payload.encode() if request is None else request.body
    if as_json:
        write_json(
            {**record_as_json(record), "request": _request_as_json(request, verdict)}
        )
    else:
        write_bytes(body)
    if verdict == MISMATCH:
        raise click.exceptions.Exit(FAILED)


def _verdict(request: StoredRequest | None) -> str | None:
    if request is None:
        return None
    secrets = app_settings().secrets
    if not secrets:
        return UNCHECKED
    is_valid = HydroHmac(secrets).verify(request.body, request.authorization)
    return VALID if is_valid else MISMATCH


def _request_as_json(
    request: StoredRequest | None, verdict: str | None
) -> dict[str, Any] | None:
    if request is None:
        return None
    return {
        "received_at": request.received_at,
        "app": request.app,
        "body": request.body.decode("utf-8", "backslashreplace"),
        "is_signature_valid": None if verdict == UNCHECKED else verdict == VALID,
    }


def _say_what_else(text: str, taken: Kind, also: Sequence[Kind]) -> None:
    for other in also:
        say(
            f"{text} was taken for {KINDS[taken]}; it is {KINDS[other]} too:"
            f" --as {other} asks for that"
        )


def _end_with_nothing(connection: Connection, text: str, kind: Kind | None) -> NoReturn:
    sought = "a host, an id of Jira or GitHub, an event or a transaction"
    say(f"nothing is found of {text!r} as {sought if kind is None else KINDS[kind]}")
    say(coverage_line(journal.coverage(connection)))
    raise click.exceptions.Exit(NOTHING_FOUND)


def _end_too_early(
    connection: Connection,
    text: str,
    at: datetime | None,
    first: Record | None = None,
) -> NoReturn:
    held = journal.coverage(connection)
    when = "now" if at is None else moment(at)
    say(f"nothing is recorded of {text!r} by {when}; {coverage_line(held)}")
    if first is not None:
        say(f"the first record of it:  {line(first)}")
    raise click.exceptions.Exit(NOTHING_FOUND)
