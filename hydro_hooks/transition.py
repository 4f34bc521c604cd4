"""The words of the record: subjects, their states, and how these change.

Everything here is a value. Tuples where one transaction may hold 100,000 of them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from hydro_hooks.cause import Cause


class State(StrEnum):
    """What other transactions see of a subject."""

    ABSENT = "absent"
    ENABLED = "enabled"
    DISABLED = "disabled"


class Action(StrEnum):
    """What one committed transaction did to a subject."""

    CREATE = "create"
    ENABLE = "enable"
    DISABLE = "disable"
    DESTROY = "destroy"


Place: TypeAlias = tuple[tuple[str | None, str | None], ...]
"""A `schema_translate_map`, as pairs: the same key elsewhere is another row."""


class Subject(NamedTuple):
    """A row of a tracked model.

    Attributes:
        association: What the model stands for: `installation`, `subscription`, ...
        key: The values of its primary key, in the table's order.
        place: The schema translation under which its table was named, as pairs; None
            for the table's own schema.
    """

    association: str
    key: tuple[Any, ...]
    place: Place | None = None


class Values(NamedTuple):
    """What an event tells of the row; None where the model does not have it."""

    github_installation_id: int | str | None
    jira_hostname: str | None
    jira_integration_id: int | str | None


class Stamp(NamedTuple):
    """Who made a change, when, and where in the program.

    Attributes:
        cause: What was in force when the change was made.
        occurred_at: That moment, UTC.
        origin: `package.module:line in function`; None where no frame of the program
            was on the stack.
    """

    cause: Cause
    occurred_at: datetime
    origin: str | None


class Step(NamedTuple):
    """One change of one subject inside a transaction.

    Attributes:
        subject: The row.
        before: Its state before the step, in this transaction.
        after: Its state after the step.
        old: Its values before the step; None when they are not known.
        new: Its values after the step; None when they are not known, and have to be
            read at the commit.
        stamp: Who, when, where.
    """

    subject: Subject
    before: State
    after: State
    old: Values | None
    new: Values | None
    stamp: Stamp


class Transition(NamedTuple):
    """The net change of one subject over one transaction.

    Attributes:
        subject: The row.
        action: What happened.
        before: The state that other transactions saw before.
        after: The state that they see after the commit.
        values: Of a destroyed row as others last saw it, else as committed; None when
            they have to be read at the commit.
        stamp: Of the last step that made what the action names.
    """

    subject: Subject
    action: Action
    before: State
    after: State
    values: Values | None
    stamp: Stamp
