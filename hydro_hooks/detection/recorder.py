"""At the commit: the net of the transaction, written in it; and what if that fails.

This is the one place that decides what happens when our own code fails. By default the
change is not committed either, since a change without its record is what this library
is there to prevent.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hydro_hooks import outbox, signals
from hydro_hooks.adoption import is_before_tables
from hydro_hooks.binds import shown
from hydro_hooks.cause import note_transaction
from hydro_hooks.creation import MAKE_TABLES
from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Found, Lock
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.driver_errors import (
    is_conflict,
    is_given_up,
    misses_table,
    words_of,
)
from hydro_hooks.errors import RecordingError
from hydro_hooks.event import event_of, key_as_text, new_id
from hydro_hooks.models import TrackedModel
from hydro_hooks.netting import action_between
from hydro_hooks.tables import outbox as outbox_table
from hydro_hooks.transition import Action, Place, State, Transition

logger = logging.getLogger("hydro_hooks")

OnFailure: TypeAlias = Literal["raise", "log"]

NAMED: Final = 3
"""Events that an error names; of thousands the rest is counted."""

ASK_THE_DOCTOR: Final = "hooks.check(engine) and hydro-hooks doctor tell more"

_SAVEPOINT: Final = "hydro_hooks_recording"
_IN_ERROR: Final = 3
"""libpq's PQTRANS_INERROR, as psycopg tells it."""


class Recorder:
    """Writes the events of a transaction that is about to be committed.

    Args:
        models: The tracked models, by association; the caller may change it.
        logs: The steps of each transaction.
    """

    def __init__(
        self, models: Mapping[str, TrackedModel], logs: TransactionLogs
    ) -> None:
        self._models = models
        self._logs = logs
        self.on_failure: OnFailure = "raise"

    def commit(self, connection: Connection) -> None:
        """Write what the connection's transaction did; called before its COMMIT.

        Raises:
            RecordingError: It could not be written, and everything is rolled back.
        """
        self.write(connection)
        self._logs.committing(connection)

    def write(self, connection: Connection) -> None:
        """Write what the connection's transaction did so far.

        Raises:
            RecordingError: As for `commit()`.
        """
        # Left open, the transaction would go back to the pool and be committed by its
        # next user.
        self._conclude(connection, roll_back=_roll_back)

    def prepare(self, connection: Connection, _xid: object) -> None:
        """Write what a two-phase transaction did; called before its PREPARE.

        Raises:
            RecordingError: It could not be written; SQLAlchemy rolls back.
        """
        self._conclude(connection, roll_back=None)
        self._logs.committing(connection)

    def _conclude(
        self, connection: Connection, *, roll_back: Callable[[Connection], None] | None
    ) -> None:
        log = self._logs.take(connection)
        if log is None:
            return
        # Found out only when it is written: a transaction that changed nothing pays
        # nothing.
        transitions = self._transitions(log)
        first = next(transitions, None)
        if first is None or _is_given_up(connection) or is_before_tables(connection):
            return
        transitions = itertools.chain((first,), transitions)
        if self.on_failure == "log":
            self._write_or_log(connection, log, transitions)
        else:
            self._write_or_refuse(connection, log, transitions, roll_back)

    def _transitions(self, log: TransactionLog) -> Iterator[Transition]:
        transitions = log.netting.transitions()
        return self._doubting(log, transitions) if log.doubted else transitions

    def _doubting(
        self, log: TransactionLog, transitions: Iterator[Transition]
    ) -> Iterator[Transition]:
        for transition in transitions:
            is_doubted = (
                transition.subject.association in log.doubted
                and transition.action is not Action.DESTROY
            )
            yield transition._replace(values=None) if is_doubted else transition

    def _write_or_refuse(
        self,
        connection: Connection,
        log: TransactionLog,
        transitions: Iterator[Transition],
        roll_back: Callable[[Connection], None] | None,
    ) -> None:
        try:
            self._write(connection, transitions)
        except Exception as error:
            if is_given_up(error):
                return
            if roll_back is not None:
                roll_back(connection)
            if isinstance(error, DBAPIError) and is_conflict(error):
                # The program knows this error of its own COMMIT, and tries again.
                error.hide_parameters = True
                raise
            raise self._refusal(connection, log, error) from _cause_of(error)

    def _refusal(
        self, connection: Connection, log: TransactionLog, error: Exception
    ) -> RecordingError:
        count, named = _named(self._transitions(log), limit=NAMED)
        outcome = "nothing was committed"
        remedy = "Call rollback() before the session or connection is used again"
        if log.is_autocommit:
            outcome = "the change is committed without them (AUTOCOMMIT)"
            remedy = "What is missing has to be found in the tables"
        message = (
            f"{count} event(s) ({named}) could not be written, so {outcome}:"
            f" {_explain(error, connection)}. {remedy}"
        )
        return RecordingError(message)

    def _write_or_log(
        self,
        connection: Connection,
        log: TransactionLog,
        transitions: Iterator[Transition],
    ) -> None:
        dialect = connection.dialect
        try:
            dialect.do_savepoint(connection, _SAVEPOINT)
            try:
                self._write(connection, transitions)
            except BaseException:
                dialect.do_rollback_to_savepoint(connection, _SAVEPOINT)
                raise
            dialect.do_release_savepoint(connection, _SAVEPOINT)
        except Exception as error:
            if not is_given_up(error):
                count, named = _named(self._transitions(log))
                logger.error(  # noqa: TRY400 - a traceback would hold the parameters
                    "%d event(s) (%s) are LOST, their change is committed without them:"
                    " %s",
                    count,
                    named,
                    _explain(error, connection),
                )

    def _write(self, connection: Connection, transitions: Iterator[Transition]) -> None:
        transaction_id = new_id()
        recording = outbox.Recording(connection, transaction_id)
        while chunk := list(itertools.islice(transitions, outbox.CHUNK)):
            settled = list(self._settled(connection, chunk))
            if not settled:
                continue
            ids = new_id.many(len(settled))
            recording.write(settled, ids)
            note_transaction(transaction_id)
            if signals.recorded.receivers:
                self._tell(settled, ids, transaction_id)

    def _tell(
        self, settled: list[Transition], ids: list[str], transaction_id: str
    ) -> None:
        for transition, event_id in zip(settled, ids, strict=True):
            event = event_of(transition, id=event_id, transaction_id=transaction_id)
            model = self._models[event.association].model
            signals.send(signals.recorded, model, event)

    def _settled(
        self, connection: Connection, transitions: list[Transition]
    ) -> Iterable[Transition]:
        """Return the transitions, with the values that only the database knows."""
        open_keys: dict[tuple[str, Place | None], list[tuple[object, ...]]] = {}
        for transition in transitions:
            if transition.values is None:
                association, key, place = transition.subject
                open_keys.setdefault((association, place), []).append(key)
        if not open_keys:
            return transitions
        found = {
            (association, place): rows.read(
                connection, self._models[association], keys, Lock.OWN, place
            )
            for (association, place), keys in open_keys.items()
        }
        return _completed(transitions, found)


def _completed(
    transitions: Iterable[Transition],
    found: Mapping[tuple[str, Place | None], Mapping[tuple[object, ...], Found]],
) -> Iterator[Transition]:
    for transition in transitions:
        if transition.values is not None:
            yield transition
            continue
        association, key, place = transition.subject
        row = found[association, place].get(key)
        # What the database did counts: raw SQL may have changed the row since.
        state = State.ABSENT if row is None else row.state
        action = action_between(transition.before, state)
        if action is not None:
            yield transition._replace(
                action=action, after=state, values=row.values if row else None
            )


def _cause_of(error: Exception) -> BaseException | None:
    # Of a database's error only the driver's: SQLAlchemy's own text holds the
    # statement's parameters, and so what the event tells.
    return error.orig if isinstance(error, DBAPIError) else error


def _roll_back(connection: Connection) -> None:
    connection.connection.rollback()


def _is_given_up(connection: Connection) -> bool:
    """Return whether PostgreSQL has given the transaction up, where its driver knows.

    Asked first: psycopg takes a statement that failed in a pipeline for prepared.
    """
    if connection.dialect.name != "postgresql":
        return False
    info = getattr(connection.connection.dbapi_connection, "info", None)
    return getattr(info, "transaction_status", None) == _IN_ERROR


def _named(
    transitions: Iterable[Transition], limit: int | None = None
) -> tuple[int, str]:
    """Return how many they are, and the first of them, with where they were made."""
    count, rows, places = 0, [], dict[str, None]()
    for one in transitions:
        count += 1
        if limit is None or count <= limit:
            key = key_as_text(one.subject.key)
            rows.append(f"{one.subject.association} {key} {one.action}")
            if one.stamp.origin is not None:
                places[one.stamp.origin] = None
    text = ", ".join(rows)
    if count > len(rows):
        text += f" and {count - len(rows):,} more"
    return count, f"{text}, at {' and '.join(places)}" if places else text


def _explain(error: Exception, connection: Connection) -> str:
    place = f"in {shown(connection.engine.url)}"
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {error}, {place}; {ASK_THE_DOCTOR}"
    is_missing = misses_table(error, [outbox_table.name])
    remedy = MAKE_TABLES if is_missing else ASK_THE_DOCTOR
    return f"{words_of(error)}, {place}; {remedy}"
