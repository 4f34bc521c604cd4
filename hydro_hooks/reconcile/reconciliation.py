"""The run: page by page, and what is missing is written under the lock of its row.

Each page is read in a snapshot of its own. A change and its event are committed
together, so one in flight is no difference. (In AUTOCOMMIT they are not: compare such
an app while it is quiet.) An event is written after a second look, with the row locked;
a row that another transaction holds is left to the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine

from hydro_hooks import claims, creation
from hydro_hooks.detection.rows import Key
from hydro_hooks.errors import DatabaseError
from hydro_hooks.event import key_as_text
from hydro_hooks.journal import search_by_index, subjects
from hydro_hooks.models import TrackedModel
from hydro_hooks.reconcile.comparison import Comparison, Look
from hydro_hooks.reconcile.differences import Difference

LOCKED: Final = 250
"""Rows whose events are written in one transaction, which holds them meanwhile."""

_DONE: Final = "reconciled."
"""Begins the name of the entry of `hydro_meta` that says until when nothing is missing;
the association ends it."""


@dataclass(slots=True, kw_only=True)
class Reconciliation:
    """One comparison of models' tables with what is recorded of them.

    Args:
        engine: On the app's database.
        models: What is compared, such as `hooks.models`.
        is_recording: Whether to write the missing events.
        progress: Called after each page.

    Attributes:
        compared: Rows, and recorded subjects, that were looked at so far.
        differing: Differences so far.
        held: Differing rows that are left to the next run: another transaction held
            them.
        unreadable: Subjects whose row cannot be looked up: there is no way back from
            an event's text to their key, or the database does not find it by that.
    """

    engine: Engine
    models: Sequence[TrackedModel]
    is_recording: bool = False
    progress: Callable[[Reconciliation], None] | None = None
    compared: int = 0
    differing: int = 0
    held: int = 0
    unreadable: int = 0

    def run(self) -> Iterator[Difference]:
        """Compare, and yield each difference once.

        Raises:
            DatabaseError: Our tables are not in the database, or rows cannot be read in
                the order of their keys.
            sqlalchemy.exc.DBAPIError: What the database says; a model's table is not
                there, for one.
        """
        creation.check_tables(self.engine)
        for tracked in self.models:
            began_at = datetime.now(UTC)
            left_out = self.held + self.unreadable
            since = self._reconciled_at(tracked)
            comparison = Comparison(tracked, since, self.engine.dialect)
            for looks in self._pages(comparison):
                yield from self._settled(comparison, looks)
                if self.progress is not None:
                    self.progress(self)
            if self.is_recording and self.held + self.unreadable == left_out:
                self._note(tracked, began_at)

    def _pages(self, comparison: Comparison) -> Iterator[dict[Key, Look]]:
        """Yield what differs, page by page: first of the rows, then of those gone."""
        like: Key | None = None
        last: Key | None = None
        while True:
            with _snapshot(self.engine) as connection:
                page = comparison.page_after(connection, last)
                looks = comparison.differing(connection, page.rows)
            if not page.rows:
                break
            newest = next(reversed(page.rows))
            if page.last == last:
                raise DatabaseError(_stands_still(comparison.tracked, newest))
            like, last = newest, page.last
            self.compared += len(page.rows)
            yield looks
        told: set[Key] = set()
        for subject_ids in subjects(self.engine, comparison.tracked.association):
            keys = [
                key
                for text in subject_ids
                if text not in comparison.not_found
                and (key := comparison.key_in(text, like))
            ]
            self.unreadable += len(subject_ids) - len(keys)
            self.compared += len(keys)
            with _snapshot(self.engine) as connection:
                looks = comparison.missing(connection, keys)
            yield {key: look for key, look in looks.items() if key not in told}
            told.update(looks)

    def _settled(
        self, comparison: Comparison, looks: dict[Key, Look]
    ) -> Iterator[Difference]:
        if not self.is_recording:
            self.differing += len(looks)
            yield from comparison.differences(looks).values()
            return
        # One that is not found by its key cannot be locked: it is told, no more.
        lost = {
            key: look
            for key, look in looks.items()
            if look.row is not None and key_as_text(key) in comparison.not_found
        }
        self.differing += len(lost)
        # The others are counted among what is recorded.
        self.unreadable += sum(look.standing is None for look in lost.values())
        yield from comparison.differences(lost).values()
        keys = [key for key in looks if key not in lost]
        for start in range(0, len(keys), LOCKED):
            part = {key: looks[key] for key in keys[start : start + LOCKED]}
            found = self._recorded(comparison, part)
            self.differing += len(found)
            yield from found

    def _recorded(
        self, comparison: Comparison, looks: dict[Key, Look]
    ) -> list[Difference]:
        """Write the missing events of what still differs under its lock."""
        with claims.transaction(self.engine) as connection:
            creation.lock(connection)  # Another run may have come to the same rows.
            search_by_index(connection)
            locked = comparison.locked(connection, list(looks))
            others = looks.keys() - locked.keys()
            # What is gone has no lock: a row that comes back with its key meanwhile
            # tells of itself, and the next run of both.
            gone = [key for key in others if looks[key].row is None]
            self.held += len(others) - len(gone)
            again = comparison.differing(connection, locked)
            again |= comparison.missing(connection, gone)
            differences = comparison.differences(again)
            events = comparison.events(connection, again, differences)
            comparison.write(connection, list(events.values()))
        return [
            replace(difference, event_id=events[key].id)
            for key, difference in differences.items()
        ]

    def _reconciled_at(self, tracked: TrackedModel) -> datetime | None:
        with self.engine.connect() as connection:
            text = creation.stored(connection, _DONE + tracked.association)
        return None if text is None else datetime.fromisoformat(text)

    def _note(self, tracked: TrackedModel, moment: datetime) -> None:
        with claims.transaction(self.engine) as connection:
            creation.lock(connection)
            name = _DONE + tracked.association
            creation.store(connection, name, moment.isoformat())


def _stands_still(tracked: TrackedModel, key: Key) -> str:
    return (
        f"the rows of {tracked.model.__name__} have no order to be read in: those after"
        f" key {key_as_text(key)} begin with itself, so the database holds it otherwise"
        " than it gives it back (a float); what comes after it was not compared"
    )


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose statements all see one and the same moment."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            driver: Any = connection.connection.driver_connection
            if engine.dialect.name == "sqlite" and not driver.in_transaction:
                connection.exec_driver_sql("BEGIN")
            search_by_index(connection)
            yield connection
