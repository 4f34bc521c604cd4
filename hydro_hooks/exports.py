"""Records for programs: as fields, JSON and CSV, in the terminal and on a page."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from hydro_hooks.event import Event
from hydro_hooks.journal import Answer, Record, Unattributed

RECORD_FIELDS: Final = (
    *(each.name for each in fields(Event)),
    *(each.name for each in fields(Record) if each.name not in {"event", "payload"}),
    "payload",
)
"""Names of a record's fields: the event's, then what became of it."""

PLACE_FIELDS: Final = tuple(each.name for each in fields(Unattributed))
"""Names of the fields of a place that gave no reason."""

_FORMULAS: Final = ("=", "+", "-", "@")
"""How a text begins that a spreadsheet takes for a formula, be it in wide letters."""


def fields_of(record: Record) -> dict[str, Any]:
    """Return a record's `RECORD_FIELDS`; Any: texts, numbers, moments, None."""
    told = asdict(record)
    event = told.pop("event")
    payload = told.pop("payload")
    return {**event, **told, "payload": payload}


def fields_of_answer(answer: Answer, at: datetime | None) -> dict[str, Any]:
    """Return an answer as a JSON object has it."""
    records = {
        "answer": answer.record,
        "before": answer.before,
        "after": answer.after,
    }
    return {
        "taken_for": answer.taken_for,
        "also": list(answer.also),
        "at": at,
        **{
            name: None if record is None else fields_of(record)
            for name, record in records.items()
        },
        "is_present": answer.is_present,
        "in_same_transaction": [asdict(group) for group in answer.companions],
        "others": [fields_of(record) for record in answer.others],
    }


def fields_of_place(place: Unattributed) -> dict[str, Any]:
    """Return the `PLACE_FIELDS` of a place."""
    return asdict(place)


def as_json(value: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON, in ASCII."""
    return json.dumps(value, default=_plain)


def as_csv(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table as RFC 4180 has them, the names first.

    A text that a spreadsheet would take for a formula gets an apostrophe before it:
    host names and notes are other people's. JSON tells it as it is.
    """
    columns = tuple(names)
    yield _line(columns)
    for row in rows:
        yield _line(_cell(row[name]) for name in columns)


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _plain(value)
    text = str(value)
    start = unicodedata.normalize("NFKC", text.lstrip()[:1])
    is_formula = isinstance(value, str) and start in _FORMULAS
    return f"'{text}" if is_formula else text


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    message = f"{type(value).__name__} has no plain form"
    raise TypeError(message)
