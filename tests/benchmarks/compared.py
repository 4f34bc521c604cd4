"""What is compared: one small program, and what a contender has to tell of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import orm

INSTALLATION: Final = "installation"
SUBSCRIPTION: Final = "subscription"
CREATED, UPDATED, DESTROYED = "create", "update", "destroy"

Subject: TypeAlias = tuple[str, int]
"""Table and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is durably recorded of one change.

    Args:
        serial: Which of the subject's records.
        subject: Of which row.
        action: CREATED, UPDATED or DESTROYED.
        is_transition: Whether `enabled` changed; None: it does not say.
        reason: Why, where that is recorded.
        actor: Who, where that is recorded.
    """

    serial: str
    subject: Subject
    action: str
    is_transition: bool | None = None
    reason: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The program's models. Any: each process has its own."""

    base: Any
    installation: Any
    subscription: Any

    def of(self, table: str) -> Any:
        return {INSTALLATION: self.installation, SUBSCRIPTION: self.subscription}[table]


def declare(attach: Callable[[type[orm.DeclarativeBase]], None]) -> Models:
    """Declare the models, after what has to stand before them."""

    class Base(orm.DeclarativeBase):
        pass

    attach(Base)

    class Installation(Base):
        __tablename__ = INSTALLATION
        __versioned__: ClassVar[dict[str, Any]] = {}
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        jira_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
        enabled: orm.Mapped[bool]
        visits: orm.Mapped[int]

    class Subscription(Base):
        __tablename__ = SUBSCRIPTION
        __versioned__: ClassVar[dict[str, Any]] = {}
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        installation_id: orm.Mapped[int] = orm.mapped_column(
            sa.ForeignKey("installation.id", ondelete="CASCADE")
        )
        github_installation_id: orm.Mapped[int]
        enabled: orm.Mapped[bool]

    return Models(base=Base, installation=Installation, subscription=Subscription)


cause: ContextVar[tuple[str | None, str | None]] = ContextVar(
    "cause", default=(None, None)
)


@contextmanager
def _because(reason: str, actor: str) -> Iterator[None]:
    token = cause.set((reason, actor))
    try:
        yield
    finally:
        cause.reset(token)


class Contender:
    """Nobody: the program without any record; what others cannot do is left as here."""

    package: str | None = None
    """Its distribution, and module, where it is one."""

    def attach(self, _base: type[orm.DeclarativeBase]) -> None:
        """Do what stands before the models."""

    def start(self, _models: Models) -> None:
        """Do what stands after the models."""

    def create(self, engine: sa.Engine, models: Models) -> None:
        models.base.metadata.create_all(engine)

    def because(self, reason: str, actor: str) -> AbstractContextManager[object]:
        return _because(reason, actor)

    def begin(self, _session: orm.Session) -> None:
        """Do what is advised before a session executes statements."""

    def records(self, _engine: sa.Engine, _models: Models) -> list[Record]:
        return []

    def old_visits(
        self, _engine: sa.Engine, _models: Models, _key: int
    ) -> set[int | None]:
        """Return which values an untracked column had, by the record."""
        return set()

    def revert(self, _row: Any) -> None:
        """Put the first recorded version back."""
        raise NotImplementedError

    def deliver(self, _engine: sa.Engine) -> list[str]:
        """Return where the records have arrived elsewhere."""
        return []

    def find_unseen(self, _engine: sa.Engine) -> set[Subject]:
        """Return which rows are not as they are recorded."""
        return set()
