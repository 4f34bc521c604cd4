"""What an app records while its test watches, also where nothing is ever committed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, overload
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction

from hydro_hooks.event import Event
from hydro_hooks.registration import record_now
from hydro_hooks.signals import recorded

_SHOWN: Final = ("reason", "github_actor", "jira_actor", "note", "origin")


class RecordedEvents(Sequence[Event]):
    """The events that were recorded so far, the first first."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self._events[index]

    def __repr__(self) -> str:
        return f"<RecordedEvents {self.types}>"

    @property
    def types(self) -> list[str]:
        """What happened, such as `["subscription.destroy", "installation.destroy"]`."""
        return [one.type for one in self._events]

    def one(self, type: str, **fields: object) -> Event:  # noqa: A002 - the event's word
        """Return the one event of a type that has these values.

        Args:
            type: Such as `installation.destroy`.
            fields: Of `Event`, such as `reason="jira webhook"`.

        Raises:
            AssertionError: There is none, or several; tells what was recorded.
            TypeError: An event has no such field.
        """
        __tracebackhide__ = True  # pytest shows the test's line, not ours
        for name in fields:
            if name not in Event.__dataclass_fields__:
                known = ", ".join(Event.__dataclass_fields__)
                message = f"an event has no field {name!r}; it has {known}"
                raise TypeError(message)
        found = [
            event
            for event in self._events
            if event.type == type
            and all(getattr(event, name) == value for name, value in fields.items())
        ]
        if len(found) == 1:
            return found[0]
        wanted = ", ".join([type, *(f"{name}={fields[name]!r}" for name in fields)])
        message = (
            f"one event was to be recorded, {wanted}, not {len(found)}\n"
            f"{self.told(*fields)}"
        )
        raise AssertionError(message)

    def told(self, *fields: str) -> str:
        """Return what was recorded, an event a line.

        Args:
            fields: Of `Event`, that are to be shown beside the usual ones.
        """
        if not self._events:
            return (
                "recorded: nothing (is it committed, and the model registered? is"
                " hydro_off or hooks_off() in force?)"
            )
        shown = list(dict.fromkeys((*_SHOWN, *fields)))
        return "\n".join(
            ["recorded:", *(f"  {_line(one, shown)}" for one in self._events)]
        )

    def clear(self) -> None:
        """Forget those so far, such as what a test's own preparations made."""
        self._events.clear()

    def take(self, _model: object, event: Event) -> None:
        """Take one more; a receiver of the signal `recorded`."""
        self._events.append(event)


def _line(one: Event, shown: Sequence[str]) -> str:
    values = {name: getattr(one, name) for name in shown}
    said = " ".join(
        f"{name}={value!r}"
        for name, value in values.items()
        if value is not None or name not in _SHOWN
    )
    return f"{one.type} {one.subject_id}: {said}"


@contextlib.contextmanager
def watch_events() -> Iterator[RecordedEvents]:
    """Give the events that this process records while the block runs, as they come.

    Where a test joins its sessions into an outer transaction that it rolls back in the
    end (`join_transaction_mode="create_savepoint"`), what a session has committed
    counts as recorded; of a session, that is, which begins its work in the block. An
    event whose transaction fails in its COMMIT is among them; `capture_events()` asks
    the database.
    """
    events = RecordedEvents()
    joined = _Joined()
    with recorded.connected_to(events.take), joined.followed():
        yield events


class _Joined:
    """Sessions, and the connections that they work on."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[Session, list[Connection]] = (
            WeakKeyDictionary()
        )

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        listeners: list[tuple[str, Any]] = [
            ("after_begin", self._begun),
            ("after_commit", self._committed),
        ]
        for name, function in listeners:
            event.listen(Session, name, function)
        try:
            yield
        finally:
            for name, function in listeners:
                event.remove(Session, name, function)

    def _begun(
        self, session: Session, _: SessionTransaction, connection: Connection
    ) -> None:
        its = self._connections.setdefault(session, [])
        if connection not in its:
            its.append(connection)

    def _committed(self, session: Session) -> None:
        if session.in_nested_transaction():
            return
        for connection in self._connections.pop(session, ()):
            # Still in one, it is not the session's: whoever began it will end it.
            if not connection.closed and connection.in_transaction():
                record_now(connection)
