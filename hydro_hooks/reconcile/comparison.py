"""One model: its rows, how they stand, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Dialect, select

from hydro_hooks import outbox, signals
from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.event import Event, key_as_text
from hydro_hooks.journal import PAGE, Standing, last_events, standings
from hydro_hooks.models import TrackedModel
from hydro_hooks.netting import action_between
from hydro_hooks.reconcile.differences import Difference, missing_event
from hydro_hooks.reconcile.keys import binders, bound_key, in_order, is_after, key_in
from hydro_hooks.transition import Action, State, Subject, Values


@dataclass(frozen=True, slots=True)
class Look:
    """A subject at one moment.

    Args:
        row: In the table, if it is there.
        standing: By what is recorded, if anything is.
    """

    row: Found | None
    standing: Standing | None

    @property
    def found(self) -> State:
        """Its state in the table."""
        return State.ABSENT if self.row is None else self.row.state

    @property
    def recorded(self) -> State:
        """Its state by what is recorded."""
        return State.ABSENT if self.standing is None else self.standing.state


class Page(NamedTuple):
    """Some of a table's rows, in their order.

    Args:
        rows: What they are.
        last: Where the last one stands; None: there is none.
    """

    rows: dict[Key, Found]
    last: Key | None


class Comparison:
    """The comparison of one model's table with what is recorded.

    Args:
        tracked: The model.
        since: When nothing was missing, UTC, if that is known.
        dialect: Of the database.

    Attributes:
        not_found: Rows, by key as text, that are not found by that key: they are stored
            otherwise than their type writes it. They cannot be locked, and nobody can
            tell when they are gone.
    """

    def __init__(
        self, tracked: TrackedModel, since: datetime | None, dialect: Dialect
    ) -> None:
        self.tracked = tracked
        self._since = since
        self._columns = tracked.mapper.primary_key
        self.not_found: set[str] = set()
        self._bound = binders(self._columns, dialect)
        self._order = in_order(self._columns, dialect)
        self._select = (
            select(*rows.columns_of(tracked))
            .select_from(tracked.mapper.persist_selectable)
            .order_by(*self._order)
        )

    def page_after(self, connection: Connection, last: Key | None) -> Page:
        """Return the next page of the table's rows, in the order of their keys."""
        statement = self._select.add_columns(*self._order).limit(PAGE)
        if last is not None:
            statement = statement.where(is_after(self._order, last))
        result = connection.execute(statement, execution_options=rows.options(None))
        found = result.fetchall()
        page = list(rows.found_in(self.tracked, found))
        stored = [tuple(row[-len(self._order) :]) for row in found]
        self._note_not_found(connection, [key for key, _ in page], stored)
        return Page(dict(page), stored[-1] if stored else None)

    def _note_not_found(
        self, connection: Connection, keys: list[Key], stored: list[Key]
    ) -> None:
        doubted = []
        for key, its in zip(keys, stored, strict=True):
            bound = bound_key(self._bound, key)
            if bound is None:
                self.not_found.add(key_as_text(key))
            elif bound != its:
                doubted.append(key)
        if doubted:
            there = self._found_by_key(connection, doubted)
            self.not_found.update({key_as_text(key) for key in doubted} - there.keys())

    def _found_by_key(
        self, connection: Connection, keys: list[Key]
    ) -> dict[str, Found]:
        """Return the rows that these keys lead to, by key as text.

        Keys may be objects that are equal to nothing but themselves.
        """
        found = rows.read_as_stored(connection, self.tracked, keys, Lock.NONE, None)
        return {key_as_text(key): row for key, row in found.items()}

    def locked(self, connection: Connection, keys: list[Key]) -> dict[Key, Found]:
        """Return the rows of these keys that nobody else holds, and hold them."""
        statement = self._select.where(rows.is_one_of(self._columns))
        statement = statement.with_for_update(skip_locked=True, key_share=True)
        [chunk] = rows.chunks(keys)
        found = connection.execute(
            statement, {"keys": chunk}, execution_options=rows.options(None)
        )
        asked = {key_as_text(key): key for key in keys}
        return {
            asked.get(key_as_text(key), key): row
            for key, row in rows.found_in(self.tracked, found)
        }

    def differing(
        self, connection: Connection, found: dict[Key, Found]
    ) -> dict[Key, Look]:
        """Return those of the rows that are not as they are recorded."""
        known = self._standings(connection, found)
        looks = {key: Look(row, known.get(key)) for key, row in found.items()}
        return {key: look for key, look in looks.items() if look.found != look.recorded}

    def missing(self, connection: Connection, keys: list[Key]) -> dict[Key, Look]:
        """Return those of the keys that have no row, though they are recorded."""
        known = self._standings(connection, keys)
        alive = [key for key, one in known.items() if one.state is not State.ABSENT]
        there = self._found_by_key(connection, alive)
        return {
            key: Look(None, known[key])
            for key in alive
            if key_as_text(key) not in there
        }

    def differences(self, looks: dict[Key, Look]) -> dict[Key, Difference]:
        """Return what is told of subjects that differ."""
        now = datetime.now(UTC)
        return {
            key: Difference(
                association=self.tracked.association,
                subject_id=key_as_text(key),
                recorded=look.recorded,
                found=look.found,
                action=_action(look),
                after=self._after(look),
                before=now,
            )
            for key, look in looks.items()
        }

    def events(
        self,
        connection: Connection,
        looks: dict[Key, Look],
        differences: dict[Key, Difference],
    ) -> dict[Key, Event]:
        """Return the events that are missing."""
        gone = [
            look.standing
            for look in looks.values()
            if look.row is None and look.standing is not None
        ]
        last = last_events(connection, gone) if gone else {}
        return {
            key: missing_event(
                difference,
                Subject(self.tracked.association, key),
                _values(looks[key], last.get(difference.subject_id)),
            )
            for key, difference in differences.items()
        }

    def write(self, connection: Connection, events: list[Event]) -> None:
        """Write events of this comparison."""
        if not events:
            return
        outbox.record(connection, events)
        for event in events:
            signals.send(signals.recorded, self.tracked.model, event)

    def key_in(self, subject_id: str, like: Key | None) -> Key | None:
        """Return the key that an event's text stands for; None where it is lost.

        Args:
            subject_id: The text.
            like: Another key of the model.
        """
        return key_in(subject_id, self._columns, self._bound, like)

    def _standings(
        self, connection: Connection, keys: Iterable[Key]
    ) -> dict[Key, Standing]:
        texts = {key_as_text(key): key for key in keys}
        if not texts:
            return {}
        found = standings(connection, self.tracked.association, list(texts))
        # MariaDB finds others, too: it takes no notice of blanks at the end.
        return {
            texts[text]: standing for text, standing in found.items() if text in texts
        }

    def _after(self, look: Look) -> datetime | None:
        times = [self._since, look.standing and look.standing.occurred_at]
        return max((time for time in times if time is not None), default=None)


def _action(look: Look) -> Action:
    action = action_between(look.recorded, look.found)
    assert action is not None  # noqa: S101 - only what differs is looked at
    return action


def _values(look: Look, last: Event | None) -> Values | None:
    if look.row is not None:
        return look.row.values
    if last is None:
        return None
    return Values(
        last.github_installation_id, last.jira_hostname, last.jira_integration_id
    )
