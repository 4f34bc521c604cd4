"""What a flush is about to change, as its first statement finds it.

Every hook of the program has had its say by then. The rows are read all at once, under
the lock that the flush is about to take.
"""

from __future__ import annotations

from sqlalchemy import Connection, FromClause, Table
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from hydro_hooks.detection import dependants, rows, stored_keys
from hydro_hooks.detection.rows import Lock
from hydro_hooks.detection.stamps import Stamps
from hydro_hooks.detection.transactions import (
    GONE,
    Candidate,
    TransactionLog,
    written,
)
from hydro_hooks.models import TrackedModel


def look(
    connection: Connection, log: TransactionLog, made: Stamps, table: FromClause
) -> None:
    """Read what the flush is about to change.

    Args:
        connection: Where the statement is about to run.
        log: Of its transaction.
        made: Who made which change.
        table: The statement's. Objects of others are left for their own: a hook in
            the flush may flush another session here.
    """
    changing = []
    for state in [one for one in log.fresh if table in one.mapper.tables]:
        tracked, key, is_delete = log.fresh.pop(state)
        changed = written(tracked, state)
        if not changed and not is_delete:
            continue
        candidate = Candidate(
            tracked=tracked,
            state=state,
            key=tracked.key(tuple(key)),
            place=log.place,
            is_delete=is_delete,
            changed=changed,
        )
        changing.append(candidate)
        log.read[state] = candidate
    _stamp_removed(
        made, [one for one in changing if one.is_delete or one.state.key is None]
    )
    for tracked in dict.fromkeys(candidate.tracked for candidate in changing):
        for is_delete in (False, True):
            group = [
                candidate
                for candidate in changing
                if candidate.tracked is tracked and candidate.is_delete is is_delete
            ]
            if group:
                _name(connection, log, group)
                _read_before(connection, log, group)


def _name(connection: Connection, log: TransactionLog, group: list[Candidate]) -> None:
    """Give candidates of one model the keys that the database has for them."""
    tracked = group[0].tracked
    unsure = [one for one in group if not tracked.gives_back(one.key)]
    if unsure:
        _take_write_lock(connection, log, tracked)
        keys = [candidate.key for candidate in unsure]
        lock = _lock_of(group)
        stored = stored_keys.as_stored(connection, tracked, keys, lock, log.place)
        for candidate in unsure:
            candidate.key = stored.get(candidate.key, candidate.key)
    for candidate in group:
        if not candidate.changed.isdisjoint(tracked.key_attributes):
            log.renumbered[candidate.subject] = candidate


def _read_before(
    connection: Connection, log: TransactionLog, group: list[Candidate]
) -> None:
    """Read the rows of candidates of one model and one kind."""
    tracked, is_delete = group[0].tracked, group[0].is_delete
    unknown = []
    for candidate in group:
        latest = log.netting.latest(candidate.subject)
        if latest is None:
            unknown.append(candidate)
        else:
            candidate.before = (latest.after, latest.new)
    if not unknown:
        return
    _take_write_lock(connection, log, tracked)
    keys = [candidate.key for candidate in unknown]
    found = rows.read(connection, tracked, keys, _lock_of(group), log.place)
    for candidate in unknown:
        row = found.get(candidate.key)
        if row is None:
            candidate.is_missing = True
            log.has_missing = log.has_missing or is_delete
            candidate.before = GONE
        else:
            candidate.before = dependants.as_others_saw(
                connection, log, tracked, candidate.subject, row
            )


def _lock_of(group: list[Candidate]) -> Lock:
    return Lock.DELETE if group[0].is_delete else Lock.UPDATE


def _take_write_lock(
    connection: Connection, log: TransactionLog, tracked: TrackedModel
) -> None:
    if log.is_writing:
        return
    log.is_writing = True
    if connection.dialect.name == "sqlite":
        [table, *_] = tracked.mapper.tables
        assert isinstance(table, Table)  # noqa: S101 - it is flushed to
        rows.take_write_lock(connection, table, log.place)


def _stamp_removed(made: Stamps, removed: list[Candidate]) -> None:
    """Give each the stamp of its removal, or of what that was cascaded from.

    Of a new object it is the removal of the one whose row it takes.
    """
    by_session: dict[Session, list[Candidate]] = {}
    for candidate in removed:
        if candidate.state.session is not None:
            by_session.setdefault(candidate.state.session, []).append(candidate)
    for session, its in by_session.items():
        own, cascaded = made.removals(session)
        for candidate in its:
            state = candidate.state
            if state.key is None:
                key = state.mapper.identity_key_from_primary_key(candidate.key)
                taken = session.identity_map.get(key)
                if taken is None:
                    continue
                state = instance_state(taken)
            candidate.departure = own.get(state) or cascaded.get(state)
