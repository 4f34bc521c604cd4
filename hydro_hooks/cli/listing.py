"""Lists of records and of places: a table on a terminal, lines elsewhere, JSON, CSV."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydro_hooks.cli.terminal import printable, write, write_json
from hydro_hooks.exports import (
    PLACE_FIELDS,
    RECORD_FIELDS,
    as_csv,
    fields_of,
    fields_of_place,
)
from hydro_hooks.journal import Record, Unattributed, shown_host
from hydro_hooks.story import counted, line, moment, place_of, subject_of, who_of
from hydro_hooks.transition import Action

WIDE: Final = 140
"""Columns of a terminal from which on a table has the ids of events."""

MOMENT_WIDTH: Final = len("2026-08-12 14:02:33")

_COLOURS: Final = {
    Action.CREATE: "green",
    Action.ENABLE: "green",
    Action.DISABLE: "yellow",
    Action.DESTROY: "red",
}


def write_records(records: Sequence[Record], *, form: str | None) -> None:
    """Write records, the oldest first.

    Args:
        records: Which ones.
        form: `json`, `csv`, or None: for a person.
    """
    if form is not None:
        _write_for_programs(RECORD_FIELDS, map(fields_of, records), form)
    elif sys.stdout.isatty():
        _write_table(_table_of_records(records))
    else:
        names_hosts = _name_several_hosts(records)
        for record in records:
            host = record.event.jira_hostname or "no host told"
            write(line(record, host=host if names_hosts else None))


def write_places(places: Sequence[Unattributed], *, form: str | None) -> None:
    """Write places that gave no reason; as `write_records()`."""
    if form is not None:
        _write_for_programs(PLACE_FIELDS, map(fields_of_place, places), form)
    elif sys.stdout.isatty():
        _write_table(_table_of_places(places))
    else:
        for each in places:
            changes = counted(each.count, "change", "changes")
            span = f"from {moment(each.first_at)} to {moment(each.last_at)}"
            write(f"{each.origin or 'origin not told'}: {changes}, {span}")


def _write_for_programs(
    names: Iterable[str], rows: Iterable[Mapping[str, Any]], form: str
) -> None:
    if form == "json":
        for row in rows:
            write_json(dict(row))
    elif sys.stdout.isatty():
        for text in as_csv(names, rows):
            write(text.removesuffix("\r\n"))
    else:
        for text in as_csv(names, rows):
            click.echo(text, nl=False)


def _write_table(table: Table) -> None:
    # NO_COLOR is heeded by rich.
    Console(file=sys.stdout, highlight=False).print(table)


def _table_of_records(records: Sequence[Record]) -> Table:
    names_hosts = _name_several_hosts(records)
    is_wide = Console(file=sys.stdout).width >= WIDE
    names = ("when (UTC)", "what", "action", "why, and by whom")
    table = _table(*names, *(("event",) if is_wide else ()))
    for record in records:
        event = record.event
        what = f"{subject_of(event)}{place_of(record)}"
        if names_hosts and event.jira_hostname:
            what = f"{shown_host(event.jira_hostname)}\n{what}"
        table.add_row(
            _moment(event.occurred_at),
            _cell(what),
            Text(event.action.value, style=_COLOURS[event.action]),
            _cell(f"{event.reason}\n{who_of(event)}"),
            *((Text(event.id),) if is_wide else ()),
        )
    return table


def _name_several_hosts(records: Iterable[Record]) -> bool:
    return len({record.event.jira_hostname for record in records}) > 1


def _table_of_places(places: Sequence[Unattributed]) -> Table:
    table = _table("made at", "changes", "first (UTC)", "last (UTC)")
    table.columns[1].justify = "right"
    for each in places:
        table.add_row(
            _cell(each.origin or "origin not told"),
            Text(f"{each.count:,}"),
            _moment(each.first_at),
            _moment(each.last_at),
        )
    return table


def _table(*names: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, header_style="", padding=(0, 1, 0, 0)
    )
    for name in names:
        is_moment = name.endswith("(UTC)")
        width = MOMENT_WIDTH if is_moment else None
        table.add_column(name, overflow="fold", min_width=width)
    return table


def _moment(value: datetime) -> Text:
    return Text(moment(value).removesuffix(" UTC"), no_wrap=True)


def _cell(text: str) -> Text:
    """Return lines as they are: their brackets are no markup, and all of it prints."""
    return Text("\n".join(map(printable, text.split("\n"))))
