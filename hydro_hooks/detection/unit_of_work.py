"""What a flush does to tracked rows, as steps of the connection's transaction.

The order of a flush: before_* of all objects of a mapper, its statements, after_* of
the same objects. before_* makes candidates; the first statement looks at them, when
every hook of the program has had its say, and reads the rows that may change, all at
once; after_* knows what became of each. Nothing is read for a row that is inserted, or
whose last step in this transaction is known.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, FromClause
from sqlalchemy.orm import InstanceState

from hydro_hooks.detection import candidates, late, outcome, rows, stamps, stored_keys
from hydro_hooks.detection.rows import Lock
from hydro_hooks.detection.stamps import Kind, Stamps
from hydro_hooks.detection.transactions import (
    GONE,
    Candidate,
    Known,
    TransactionLog,
    TransactionLogs,
)
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Stamp, State, Subject


class UnitOfWork:
    """The flushes of all sessions.

    Args:
        logs: Where the steps go.
        made: Who made which change.
    """

    def __init__(self, logs: TransactionLogs, made: Stamps) -> None:
        self._logs = logs
        self._stamps = made

    def begin(self, connection: Connection) -> TransactionLog:
        """Note that the flush has taken up an object of a tracked table."""
        log = self._logs.of(connection)
        if not log.in_flight:
            its = connection.get_execution_options().get("schema_translate_map")
            log.place = tuple(its.items()) if its else None
        log.in_flight += 1
        return log

    def end(self, connection: Connection) -> TransactionLog:
        """Note that the flush is done with an object of a tracked table."""
        log = self._logs.of(connection)
        log.in_flight -= 1
        return log

    def before_insert(
        self,
        tracked: TrackedModel,
        log: TransactionLog,
        _connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Note an object that takes the row of a deleted one: that is an UPDATE."""
        values = state.dict
        for name in tracked.key_attributes:
            if values.get(name) is None:
                return
        key = tuple([values[name] for name in tracked.key_attributes])
        session = state.session
        if session is None:
            return
        if state.mapper.identity_key_from_primary_key(key) in session.identity_map:
            log.consider(tracked, state, key)

    def before_update(
        self,
        tracked: TrackedModel,
        log: TransactionLog,
        _connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Note an object that may be updated."""
        log.consider(tracked, state, state.identity)

    def before_delete(
        self,
        tracked: TrackedModel,
        log: TransactionLog,
        _connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Note an object whose row goes."""
        log.consider(tracked, state, state.identity, is_delete=True)

    def before_statement(
        self, connection: Connection, log: TransactionLog, table: FromClause
    ) -> None:
        """Look at what the flush is about to change; see `candidates.look()`."""
        candidates.look(connection, log, self._stamps, table)

    def after_insert(
        self,
        tracked: TrackedModel,
        log: TransactionLog,
        connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Take the step of a row that is new."""
        key = _key_of(connection, log, tracked, state)
        subject = Subject(tracked.association, key, log.place)
        if subject in log.renumbered:  # the statement that left the key ran before
            self._leave(log, log.renumbered[subject])
        stamp = self._taken(state, Kind.PRESENCE)
        after = outcome.inserted(tracked, state) or outcome.read(
            connection, tracked, key, log.place
        )
        log.step(subject, GONE, after, stamp)

    def _leave(self, log: TransactionLog, candidate: Candidate) -> None:
        """Take the step of a row that gets another key, or whose object is another."""
        del log.renumbered[candidate.subject]
        candidate.arrival = self._taken(candidate.state, Kind.PRESENCE)
        if candidate.before is not None:
            departure = candidate.departure or candidate.arrival
            log.step(candidate.subject, candidate.before, GONE, departure)

    def after_update(
        self,
        tracked: TrackedModel,
        log: TransactionLog,
        connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Take the step of a row that was updated, if it matters."""
        candidate = log.read.pop(state, None)
        if candidate is None or candidate.before is None:
            log.fresh.pop(state, None)
            return
        if candidate.is_missing:
            self._take_late(connection, log, candidate)
            return
        before = candidate.before
        is_renumbered = not candidate.changed.isdisjoint(tracked.key_attributes)
        key = candidate.key
        if is_renumbered:
            key = _key_of(connection, log, tracked, state)
        after = outcome.updated(candidate, before) or outcome.read(
            connection, tracked, key, log.place
        )
        subject = Subject(tracked.association, key, log.place)
        if is_renumbered:
            if candidate.subject in log.renumbered:
                self._leave(log, candidate)
            stamp = candidate.arrival or stamps.now()
            log.step(subject, GONE, after, stamp)
        else:
            kind = _kind_of_update(state, before, after)
            log.step(subject, before, after, self._taken(state, kind))

    def _take_late(
        self, connection: Connection, log: TransactionLog, candidate: Candidate
    ) -> None:
        """Take the step of a row that came back between our read and its UPDATE."""
        tracked, subject = candidate.tracked, candidate.subject
        found = rows.read(
            connection, tracked, [candidate.key], Lock.OWN, log.place
        ).get(candidate.key)
        if found is None:
            return
        before = late.before_late(connection, subject, found)
        after = outcome.after(tracked, found)
        kind = _kind_of_update(candidate.state, before, after)
        log.step(subject, before, after, self._taken(candidate.state, kind))

    def after_delete(
        self,
        _tracked: TrackedModel,
        log: TransactionLog,
        _connection: Connection,
        state: InstanceState[Any],
    ) -> None:
        """Take the step of a row that is gone."""
        candidate = log.read.pop(state, None)
        if candidate is not None and candidate.before is not None:
            stamp = candidate.departure or stamps.now()
            log.step(candidate.subject, candidate.before, GONE, stamp)

    def _taken(self, state: InstanceState[Any], kind: Kind) -> Stamp:
        return self._stamps.take(state, kind) or stamps.now()


def _kind_of_update(state: InstanceState[Any], before: Known, after: Known) -> Kind:
    is_new = state.key is None
    is_presence = (before[0] is State.ABSENT) is not (after[0] is State.ABSENT)
    return Kind.PRESENCE if is_new or is_presence else Kind.FLAG


def _key_of(
    connection: Connection,
    log: TransactionLog,
    tracked: TrackedModel,
    state: InstanceState[Any],
) -> tuple[Any, ...]:
    """Return the key of an object's row, which is there, as the database has it."""
    values = state.dict
    key = tracked.key(tuple([values[name] for name in tracked.key_attributes]))
    if tracked.gives_back(key):
        return key
    stored = stored_keys.as_stored(connection, tracked, [key], Lock.OWN, log.place)
    return stored.get(key, key)
