"""`why`, `history` and `show`: what the records say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click
from sqlalchemy import URL

from hydro_hooks import journal
from hydro_hooks.cli.database import connected
from hydro_hooks.cli.listing import write_places, write_records
from hydro_hooks.cli.nothing import end_with_none_of_it, end_with_nothing
from hydro_hooks.cli.parameters import (
    app_settings,
    database_option,
    form_options,
    json_option,
    limit_option,
)
from hydro_hooks.cli.searching import (
    asked,
    filter_options,
    lookup_options,
    words_argument,
)
from hydro_hooks.cli.terminal import (
    FAILED,
    NOTHING_FOUND,
    say,
    say_left_out,
    write,
    write_bytes,
    write_json,
)
from hydro_hooks.exports import fields_of, fields_of_answer
from hydro_hooks.journal import Kind, Query, Record, StoredRequest
from hydro_hooks.signing import HydroHmac
from hydro_hooks.story import (
    KINDS,
    answer_lines,
    coverage_line,
    field_lines,
    group_of,
    moment,
)

VALID: Final = "signature valid"
MISMATCH: Final = "its signature does not match any known secret"
UNCHECKED: Final = "signature not checked, no secret given (set HYDRO_APP_SECRET)"


@click.command()
@words_argument(required=True)
@lookup_options
@json_option
def why(
    words: tuple[str, ...],
    at: datetime | None,
    database: URL,
    *,
    as_json: bool,
    **qualifiers: Any,
) -> None:
    """Say why an installation is as it is: the first line is the answer.

    It tells the state, since when, the action, the reason and the actor; where there
    was none, the place in the program that made the change. Then come the transitions
    before and after. With qualifiers it is the newest transition that they describe.
    Works on the app's database and on a gateway's.

    \b
    Example:
      hydro-hooks why test-host.jira.com --at 2026-03-05
    \b
    Exit codes: 0 answered, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    query = asked(words, **qualifiers)
    _check_named(query)
    with connected(database) as connection:
        answer = journal.why(connection, query, at=at)
        if answer is None:
            end_with_nothing(connection, query)
        if answer.record is None:
            end_with_none_of_it(connection, query, at, answer.after)
    _say_what_else(query.text, answer.taken_for, answer.also)
    if as_json:
        write_json(fields_of_answer(answer, at))
        return
    for each in answer_lines(answer, answer.record, at):
        write(each)


@click.command()
@words_argument(required=False)
@lookup_options
@form_options
@limit_option
def history(
    words: tuple[str, ...],
    at: datetime | None,
    database: URL,
    limit: int,
    form: str | None,
    **qualifiers: Any,
) -> None:
    """List what happened to everything that the words name, the newest last.

    They name a host, an id, or an actor, who stands for all that he or she did; without
    any it is what happened at all. Qualifiers narrow it down, as options or among the
    words: actor:octocat action:disable,destroy reason:"jira webhook" since:90d.

    \b
    Example:
      hydro-hooks history test-host.jira.com action:disable --since 90d
    \b
    Exit codes: 0 listed, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - as above
    query = asked(words, **qualifiers)
    with connected(database) as connection:
        found = journal.history(connection, query, at=at, limit=limit)
        if found is None:
            end_with_nothing(connection, query)
        if not found.records:
            end_with_none_of_it(connection, query, at)
    if found.taken_for is not None:
        _say_what_else(query.text, found.taken_for, found.also)
    if found.older is None:
        say(f"older records are left out; a --limit above {limit} shows more")
    else:
        total = found.older + len(found.records)
        say_left_out(found.older, total, "record", "records")
    write_records(found.records, form=form)


@click.command()
@words_argument(required=False)
@filter_options
@database_option
@form_options
def unattributed(
    words: tuple[str, ...], database: URL, form: str | None, **qualifiers: Any
) -> None:
    """List the places in the program that changed rows without a reason.

    How often each did, when first and when last; the most frequent comes first. A
    `with because(...)` around them, or a decorator, gives their changes one.

    \b
    Example:
      hydro-hooks unattributed --since 30d
    \b
    Exit codes: 0 listed, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - as above
    query = asked(words, **qualifiers)
    if query.text:
        message = f"{query.text!r} is no qualifier; only these narrow it down"
        raise click.BadParameter(message, param_hint="WORDS")
    with connected(database) as connection:
        places = journal.unattributed(connection, query.filters)
        if not places:
            what = "asked for" if query.filters else "recorded"
            say(f"every change that is {what} has a reason")
            say(coverage_line(journal.coverage(connection)))
            raise click.exceptions.Exit(NOTHING_FOUND)
    write_places(places, form=form)


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
            end_with_nothing(connection, Query(text=event_id, kind=Kind.EVENT))
        request = journal.request_of(connection, record) if raw else None
        is_for_people = not (raw or as_json)
        company = journal.companions(connection, record) if is_for_people else ()
    if raw:
        _show_raw(record, request, as_json=as_json)
    elif as_json:
        write_json(fields_of(record))
    else:
        for each in field_lines(record):
            write(each)
        if company:
            others = " and ".join(group_of(each) for each in company)
            write(f"with it: {others}, in the same transaction")


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
        write_json({**fields_of(record), "request": _request_as_json(request, verdict)})
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


def _check_named(query: Query) -> None:
    if not query.text:
        message = "it is empty; give a host, a URL or an id"
        raise click.BadParameter(message, param_hint="WORDS")
