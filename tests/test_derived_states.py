"""States that follow from something else: other columns, hooks, two tables at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from linked_models import happened
from sqlalchemy import Boolean, Computed, Engine, ForeignKey, String, event, join
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
)

from hydro_hooks import because, installation, register, track


class Base(DeclarativeBase):
    pass


class Graded(Base):
    """The database derives its flag."""

    __tablename__ = "graded"

    id: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(default=1)
    note: Mapped[str | None] = mapped_column(String(20))
    enabled: Mapped[bool] = mapped_column(
        Boolean(), Computed("level > 0", persisted=True)
    )


class Draft(Base):
    """Any change withdraws it."""

    __tablename__ = "draft"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None] = mapped_column(String(20))
    published: Mapped[bool] = mapped_column(default=True, onupdate=False)


class Kept(Base):
    """A hook of the session keeps what is deleted."""

    __tablename__ = "kept"

    id: Mapped[int] = mapped_column(primary_key=True)
    is_deleted: Mapped[bool] = mapped_column(default=False)


class Head(Base):
    __tablename__ = "head"

    id: Mapped[int] = mapped_column(primary_key=True)


class Body(Base):
    __tablename__ = "body"

    id: Mapped[int] = mapped_column(ForeignKey("head.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


BOTH: Any = join(Head.__table__, Body.__table__)


class Whole(Base):
    """Mapped to two tables, without being a subclass."""

    __table__ = BOTH

    id: Mapped[int] = column_property(Head.__table__.c.id, Body.__table__.c.id)
    enabled: Mapped[bool]


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    hooks = register(
        installation(Graded, enabled="enabled"),
        track(Draft, association="draft", enabled="published"),
        track(Kept, association="kept", present=~Kept.is_deleted),
        track(Whole, association="whole", enabled="enabled"),
    )
    with hooks, Session(engine) as session:
        yield session


def test_a_flag_that_is_computed_changes_where_its_source_was_set(
    session: Session,
) -> None:
    graded = Graded(id=1)
    session.add(graded)
    session.commit()
    with because("downgraded"):
        graded.level = 0
    with because("noted"):
        graded.note = "poor"
    with because("something else"):
        session.commit()

    assert happened(session)[1:] == ["installation.disable 1: downgraded"]


def test_a_flag_that_any_update_clears_is_cleared_where_that_was_made(
    session: Session,
) -> None:
    draft = Draft(id=1)
    session.add(draft)
    session.commit()
    with because("edited"):
        draft.note = "new"
    with because("something else"):
        session.commit()

    assert happened(session)[1:] == ["draft.disable 1: edited"]


def test_a_deletion_that_a_hook_turns_into_a_mark_counts_where_it_was_asked_for(
    session: Session,
) -> None:
    @event.listens_for(session, "before_flush")
    def keep(session: Session, _context: object, _instances: object) -> None:
        for one in list(session.deleted):
            session.add(one)
            one.is_deleted = True

    kept, other = Kept(id=1), Kept(id=2)
    session.add_all([kept, other])
    session.commit()
    with because("thrown away"):
        session.delete(kept)
    with because("marked"):
        other.is_deleted = True
    with because("something else"):
        session.commit()

    assert happened(session)[2:] == [
        "kept.destroy 1: thrown away",
        "kept.destroy 2: marked",
    ]


def test_a_deletion_that_was_taken_back_blames_nobody_for_a_later_mark(
    session: Session,
) -> None:
    kept = Kept(id=1)
    session.add(kept)
    session.commit()
    with because("thrown away"):
        session.delete(kept)
    session.add(kept)
    with because("marked"):
        kept.is_deleted = True
    session.commit()

    assert happened(session)[1:] == ["kept.destroy 1: marked"]


def test_a_class_on_two_tables_is_followed(session: Session) -> None:
    whole = Whole(id=1)
    session.add(whole)
    session.commit()
    with because("switched off"):
        whole.enabled = False
    session.commit()
    with because("thrown away"):
        session.delete(whole)
    session.commit()

    assert happened(session) == [
        "whole.create 1: unattributed",
        "whole.destroy 1: thrown away",
        "whole.disable 1: switched off",
    ]
