"""Words of the state machine: what its examples share, and what a rule draws."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm.exc import StaleDataError
from state_machine_causes import UNATTRIBUTED
from state_machine_oracle import Oracle

from hydro_hooks import because

Reason: TypeAlias = str | None
Owner: TypeAlias = Literal["session", "connection", "hand"]
Mode: TypeAlias = Literal["session", "connection", "autocommit"]
JoinMode: TypeAlias = Literal["create_savepoint", "rollback_only", "control_fully"]

REASONS: st.SearchStrategy[Reason] = st.sampled_from((None, "r1", "r2", "r3", "r4"))


class Warned(logging.Handler):
    """Keeps the warnings that are logged while it is open."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._logger = logging.getLogger("hydro_hooks")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def close(self) -> None:
        self._logger.removeHandler(self)
        super().close()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the examples of one test share.

    Args:
        kind: `sqlite`, `postgresql` or `mariadb`.
        has_two_phases: Whether it prepares transactions.
        engine: Of the program.
        autocommit: Another, in AUTOCOMMIT.
        oracle: Its own connection.
        warned: What hydro_hooks has warned of. No other program is at work here, so
            that each warning would be a false one.
    """

    kind: str
    has_two_phases: bool
    engine: Engine
    autocommit: Engine
    oracle: Oracle
    warned: Warned


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A savepoint that is set.

    Args:
        mark: How many changes there were before it.
        owner: Who set it: a session's API, a connection's, or the program by hand.
        handle: What ends it; by hand, its name.
    """

    mark: int
    owner: Owner
    handle: Any


@contextlib.contextmanager
def block(reason: Reason) -> Iterator[None]:
    """Enter a block with this reason, or none."""
    if reason is None:
        yield
    else:
        with because(reason):
            yield


class By(NamedTuple):
    """By whom a rule's work is done, and what becomes of it.

    Attributes:
        reason: Of the block that it is done in; None: in no block.
        fate: Whether it is done in a savepoint of its own, that is released or rolled
            back. There are rules for savepoints; this makes them common.
    """

    reason: Reason
    fate: Literal["kept", "released", "undone"] = "kept"

    @property
    def told(self) -> str:
        """The reason as an event tells it."""
        return self.reason or UNATTRIBUTED


MAKERS: st.SearchStrategy[By] = st.builds(
    By,
    REASONS,
    st.sampled_from(("kept", "kept", "kept", "kept", "released", "undone")),
)


def is_expected(error: BaseException) -> bool:
    """Return whether colliding rows explain an error, so that the program goes on."""
    if isinstance(error, ProgrammingError):
        # PostgreSQL: one upsert would change a row twice.
        return type(error.orig).__name__ == "CardinalityViolation"
    return isinstance(error, (IntegrityError, StaleDataError))
