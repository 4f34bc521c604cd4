"""Rows that come between our read and the program's statement (READ COMMITTED).

The statement meets them, and its row count tells of it. What such a row was is what its
own transaction recorded of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from hydro_hooks import outbox
from hydro_hooks.detection import outcome, rows
from hydro_hooks.detection.following import Following
from hydro_hooks.detection.matching import Matching
from hydro_hooks.detection.parts import Kind
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.text_matching import TextMatching
from hydro_hooks.detection.transactions import GONE, Known
from hydro_hooks.event import key_as_text
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import State, Subject, Values

logger = logging.getLogger("hydro_hooks")


def take(
    connection: Connection,
    following: Following,
    matching: Matching | TextMatching,
    tracked: TrackedModel,
    missing: int,
) -> None:
    """Take the steps of rows that came and were updated or deleted; warn of others.

    Args:
        connection: Where the statement ran.
        following: It.
        matching: Which rows it touches.
        tracked: The model.
        missing: How many rows it met that were not there.
    """
    named = _named(following, matching, tracked)
    several = len(following.parameters) > 1
    if len(tracked.mapper.tables) > 1 or (several and not named):
        # It counts rows that are none of the model's, or one row several times.
        return
    if following.part.kind is Kind.UPDATE:
        for key, row in _met_now(connection, following, matching, tracked, named):
            subject = Subject(tracked.association, key, following.place)
            if subject not in following.before:
                missing -= 1
                step(connection, following, tracked, key, row)
    else:
        unread = [subject for subject in named if subject not in following.before]
        gone = _gone(connection, unread, missing)
        missing -= len(gone)
        for subject, before in gone.items():
            following.log.step(subject, before, GONE, following.stamp)
    _warn(following, tracked.model.__name__, missing)


def warn_of_others(following: Following, count: int) -> None:
    """Warn of rows that a statement touched instead of as many that were read for it.

    They cannot be found: it found them by what others have changed meanwhile.
    """
    names = ", ".join(one.model.__name__ for one in following.part.tracked)
    _warn(following, names, count)


def step(
    connection: Connection,
    following: Following,
    tracked: TrackedModel,
    key: Key,
    row: Found,
) -> None:
    """Take the step of a row that came after our read, and is now as found."""
    subject = Subject(tracked.association, key, following.place)
    before = before_late(connection, subject, row)
    after = outcome.after(tracked, row)
    following.log.step(subject, before, after, following.stamp)


def take_of_flush(
    connection: Connection,
    following: Following,
    matching: Matching | TextMatching,
    tracked: TrackedModel,
    count: int,
) -> None:
    """Find candidates of a flush that came and were deleted; warn of others.

    Args:
        connection: Where the DELETE ran.
        following: It.
        matching: Which rows it touches.
        tracked: The model.
        count: How many rows it met.
    """
    named = set(_named(following, matching, tracked))
    its = {
        candidate.subject: candidate
        for candidate in following.log.read.values()
        if candidate.is_delete and candidate.subject in named
    }
    if not its:
        return
    missing = count - sum(candidate.before != GONE for candidate in its.values())
    unread = [subject for subject in its if its[subject].is_missing]
    gone = _gone(connection, unread, missing)
    for subject, before in gone.items():
        its[subject].before = before
    _warn(following, tracked.model.__name__, missing - len(gone))


def before_late(connection: Connection, subject: Subject, row: Found) -> Known:
    """Return what a row was that came to be changed after our read.

    Another transaction brought it in between (READ COMMITTED). What it was is what was
    recorded of it last; without a record it is taken to have changed.

    Args:
        connection: Where it was changed.
        subject: The row.
        row: As it is now.
    """
    last = outbox.last_event(connection, subject.association, key_as_text(subject.key))
    if last is not None and last.state is not None:
        return last.state, row.values
    is_enabled = row.state is State.ENABLED
    return State.DISABLED if is_enabled else State.ENABLED, row.values


def _before_gone(connection: Connection, subject: Subject) -> Known | None:
    """Return what a row was that came after our read and was deleted at once.

    Another transaction brought it in between (READ COMMITTED). It is as it was recorded
    then; None where that was not recorded.

    Args:
        connection: Where it was deleted.
        subject: The row.
    """
    last = outbox.last_event(connection, subject.association, key_as_text(subject.key))
    if last is None or last.state is None or last.state is State.ABSENT:
        return None
    return last.state, Values(
        github_installation_id=last.github_installation_id,
        jira_hostname=last.jira_hostname,
        jira_integration_id=last.jira_integration_id,
    )


def _gone(
    connection: Connection, missing: list[Subject], count: int
) -> dict[Subject, Known]:
    """Return which rows that were missing were deleted, and what they were.

    All `count` of them; none where it cannot be told which they are.
    """
    gone = {}
    for subject in missing if count > 0 else ():
        before = _before_gone(connection, subject)
        if before is not None:
            gone[subject] = before
    return gone if len(gone) == count else {}


def _named(
    following: Following, matching: Matching | TextMatching, tracked: TrackedModel
) -> list[Subject]:
    """Return the rows that are named by key; none where one is named twice."""
    if not isinstance(matching, Matching) or not matching.is_by_key:
        return []
    keys = [
        tracked.key(key)
        for parameters in following.parameters
        for key in matching.named_keys(parameters)
    ]
    if len(set(keys)) < len(keys):
        return []
    return [Subject(tracked.association, key, following.place) for key in keys]


def _met_now(
    connection: Connection,
    following: Following,
    matching: Matching | TextMatching,
    tracked: TrackedModel,
    named: list[Subject],
) -> Iterable[tuple[Key, Found]]:
    place = following.place
    if named:
        keys = [subject.key for subject in named]
        return rows.read_as_stored(connection, tracked, keys, Lock.OWN, place).items()
    [parameters] = following.parameters
    found = matching.found(connection, tracked, parameters, Lock.NONE, place)
    return ((key, row) for key, row, _ in found)


def _warn(following: Following, models: str, missing: int) -> None:
    if missing > 0:
        logger.warning(
            "%d row(s) of %s that another transaction brought in during the"
            " statement at %s are not recorded",
            missing,
            models,
            following.stamp.origin or "an unknown place",
        )
