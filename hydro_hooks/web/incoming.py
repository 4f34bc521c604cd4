"""What came in, read: which events of a request are good, and what ails the others.

Pure: no socket, no clock, no database. A request that cannot be read at all is refused
with one of werkzeug's exceptions, whose status is that of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from werkzeug.exceptions import NotFound, UnprocessableEntity

from hydro_hooks import schema
from hydro_hooks.errors import ConfigurationError, InvalidEventError
from hydro_hooks.event import Event, storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An event that is accepted.

    Args:
        event: What its value tells of.
        schema: The name of its schema.
        payload: Its value, the JSON text that came in.
    """

    event: Event
    schema: str
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An event that is refused for good.

    Args:
        index: Its place in the request, from 0.
        error: What is wrong with it.
    """

    index: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The events of a request: each has arrived or failed."""

    arrivals: tuple[Arrival, ...]
    failures: tuple[Failure, ...]


def accepted_schemas(own: Iterable[str | Path] = ()) -> dict[str, schema.Schema]:
    """Return the packaged schemas and a user's own, by name.

    Args:
        own: Paths of JSON Schema files; a packaged name changes nothing.

    Raises:
        ConfigurationError: One is not a JSON Schema, or has a name that is taken.
    """
    schemas = {name: schema.load(name) for name in schema.packaged_names()}
    for place in own:
        loaded = schema.load(str(place))
        if schemas.setdefault(loaded.name, loaded) is not loaded:
            message = (
                f"HYDRO_SCHEMA {place} has the title {loaded.name!r}, which another"
                " schema has; give it a title of its own"
            )
            raise ConfigurationError(message)
    return schemas


def read(
    body: bytes, schemas: Mapping[str, schema.Schema], *, received_at: datetime
) -> Incoming:
    """Return the events of a request's body, good and bad.

    Args:
        body: `{"events": [{"schema": NAME, "value": JSON TEXT, "cluster": TEXT}, ...]}`
            in UTF-8; `cluster` may be absent.
        schemas: The accepted ones, by name.
        received_at: UTC.

    Raises:
        UnprocessableEntity: The body is not UTF-8, not JSON, or not of that shape.
        NotFound: An event names a schema that is not accepted.
    """
    entries = _entries(body)
    for entry in entries:
        _refuse_unknown_schema(entry, schemas)
    arrivals, failures = [], []
    for index, entry in enumerate(entries):
        try:
            arrivals.append(_arrival(entry, schemas, received_at))
        except (InvalidEventError, ValueError) as error:
            failures.append(Failure(index=index, error=str(error)))
    return Incoming(arrivals=tuple(arrivals), failures=tuple(failures))


def _entries(body: bytes) -> list[Any]:
    try:
        # Decoded here: json.loads() guesses UTF-16 and UTF-32 from bytes.
        document = schema.parse(body.decode())
    except UnicodeDecodeError:
        problem = "the body is not UTF-8"
        raise UnprocessableEntity(problem) from None
    except ValueError as error:
        problem = f"the body is not JSON: {error}"
        raise UnprocessableEntity(problem) from None
    entries = document.get("events") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        problem = 'the body is not {"events": [...]} with at least one event'
        raise UnprocessableEntity(problem)
    return entries


def _refuse_unknown_schema(entry: Any, schemas: Mapping[str, schema.Schema]) -> None:
    name = entry.get("schema") if isinstance(entry, dict) else None
    if isinstance(name, str) and name not in schemas:
        known = ", ".join(sorted(schemas))
        problem = f"unknown schema {storable(name)!r}; known are {known}"
        raise NotFound(problem)


def _arrival(
    entry: Any, schemas: Mapping[str, schema.Schema], received_at: datetime
) -> Arrival:
    """Return the event of an entry; raise `InvalidEventError` or `ValueError`."""
    name = entry.get("schema") if isinstance(entry, dict) else None
    text = entry.get("value") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not isinstance(text, str):
        message = "the event is not an object with the texts schema and value"
        raise ValueError(message)  # noqa: TRY004 - data, not an argument
    try:
        value = schema.parse(text)
    except ValueError as error:
        raise InvalidEventError(
            name, field="", problem=f"value is not JSON: {error}"
        ) from None
    _check(schemas[name], value)
    event = event_of(value, received_at=received_at)
    if event is None:
        problem = "value names no action that the journal knows"
        raise InvalidEventError(name, field="", problem=problem)
    return Arrival(event=event, schema=name, payload=text)


def _check(accepted: schema.Schema, value: Any) -> None:
    try:
        accepted.check(value)
    except RecursionError:
        # It was parsed, but is nested too deeply to be quoted in an error.
        problem = "value is nested too deeply"
        raise InvalidEventError(accepted.name, field="", problem=problem) from None


def event_of(value: Any, *, received_at: datetime) -> Event | None:
    """Return the event that a value tells of; None where it tells of none.

    Args:
        value: One that fits its schema, which may be a user's.
        received_at: UTC; taken where the value has no time of its own.
    """
    if not isinstance(value, dict):
        return None
    # JSON Schema takes 19.0 for an integer; it is to be found as 19.
    whole = {
        name: int(part) if isinstance(part, float) and part.is_integer() else part
        for name, part in value.items()
        if part is not None  # no schema of ours takes null, a user's may
    }
    try:
        return schema.event_from(whole, received_at=received_at)
    except (TypeError, AttributeError, OverflowError):
        # A user's schema may give our names to values of any type.
        return None
