"""What a search takes on the command line: words, qualifiers, dates."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from hydro_hooks.cli.parameters import (
    AnyCommand,
    database_option,
    kind_option,
    moment_option,
)
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.journal import Kind, Query, query_of, split
from hydro_hooks.transition import Action

_QUALIFIERS: Final = {
    "since": ("DATE", "What happened from then on: 2026-03-05, yesterday, 90d."),
    "until": ("DATE", "What happened until then."),
    "actor": ("NAME", "By this GitHub login, user id or Jira account id."),
    "action": ("ACTIONS", "Any of these: create,enable,disable,destroy."),
    "reason": ("TEXT", "For this reason."),
    "origin": ("TEXT", "Made at this place in the program."),
}
"""What --NAME of a search takes; the same as the word NAME:VALUE in its text."""

_WHOLE: Final = (
    *(f"action:{action.value}" for action in Action),
    *(f"as:{kind.value}" for kind in Kind),
    *(f"of:{name}" for name in ("installation", "subscription")),
)
_QUALIFIED: Final = re.compile(
    rf"\s(?:{'|'.join([*_QUALIFIERS, 'as', 'of'])}):", re.IGNORECASE
)


def filter_options(command: AnyCommand) -> AnyCommand:
    """Add --since, --until, --actor, --action, --reason and --origin."""
    for name, (metavar, help_text) in reversed(_QUALIFIERS.items()):
        complete = _actions if name == "action" else None
        option = click.option(
            f"--{name}", metavar=metavar, help=help_text, shell_complete=complete
        )
        command = option(command)
    return command


def _actions(_context: object, _parameter: object, incomplete: str) -> list[str]:
    return [action.value for action in Action if action.value.startswith(incomplete)]


def words_argument(*, required: bool) -> Callable[[AnyCommand], AnyCommand]:
    """Return an argument for what is asked for: names, ids and qualifiers."""
    return click.argument(
        "words",
        nargs=-1,
        required=required,
        metavar="WORDS" if required else "[WORDS]",
        shell_complete=_qualifiers,
    )


def _qualifiers(_context: object, _parameter: object, incomplete: str) -> list[str]:
    """Offer whole words alone: a shell puts a blank after what it completes."""
    if os.environ.get("_HYDRO_HOOKS_COMPLETE", "").startswith("bash"):
        return []  # to bash a colon ends a word
    return [word for word in _WHOLE if incomplete and word.startswith(incomplete)]


def lookup_options(command: AnyCommand) -> AnyCommand:
    """Add what a search takes: --as, --at, filters and --database."""
    for add in (
        database_option,
        filter_options,
        moment_option(
            "--at",
            "As it was then: 2026-03-05 (the end of that day) or 2026-03-05T14:30:00Z;"
            " UTC unless it says otherwise.",
        ),
        kind_option,
    ):
        command = add(command)
    return command


def asked(
    words: Sequence[str], kind: Kind | None = None, **qualifiers: str | None
) -> Query:
    """Return the question that a command's words and options ask.

    Raises:
        click.UsageError: A qualifier has a value that it cannot have, or two of them.
    """
    parts: list[str] = []
    for word in words:
        # One argument may be a value with blanks, or a line as a page's address has it.
        is_line = _QUALIFIED.search(word) is not None or '"' in word
        parts += split(word) if is_line else [word]
    given = {"as": kind, **qualifiers}
    parts += [f"{name}:{value}" for name, value in given.items() if value is not None]
    try:
        return query_of(parts, now=datetime.now(UTC))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
