"""Two classes on one table: the one is tracked, the other writes its rows, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from linked_models import happened
from sqlalchemy import Engine, String
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
)

from hydro_hooks import because, installation, register, track
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(50), default="h")
    enabled: Mapped[bool] = mapped_column(default=True)


class Tenant(Base):
    """What another part of the program calls the same rows."""

    __table__ = Customer.__table__

    number: Mapped[int] = column_property(Customer.__table__.c.id)
    is_active: Mapped[bool] = column_property(Customer.__table__.c.enabled)


class Name(Base):
    """Without the flag."""

    __table__ = Customer.__table__
    __mapper_args__ = {"exclude_properties": ["enabled"]}  # noqa: RUF012 - as SQLAlchemy has it


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    meaning = installation(Customer, jira_hostname="host", enabled="enabled")
    with register(meaning), Session(engine) as session:
        yield session


def told(session: Session) -> list[tuple[str, str, str | None]]:
    """Return what happened, why, and on which host."""
    return [
        (f"{event.action} {event.subject_id}", event.reason, event.jira_hostname)
        for event in recorded(session)
    ]


def test_what_a_second_class_changes_counts_where_it_was_made(session: Session) -> None:
    with because("made"):
        tenant = Tenant(number=1, host="mine")
        session.add(tenant)
    session.commit()
    with because("switched off"):
        tenant.is_active = False
    with because("something else"):
        session.commit()
    with because("thrown away"):
        session.delete(tenant)
    with because("something else"):
        session.commit()

    assert told(session) == [
        ("create 1", "made", "mine"),
        ("disable 1", "switched off", "mine"),
        ("destroy 1", "thrown away", "mine"),
    ]


def test_both_classes_may_change_a_row_in_one_transaction(session: Session) -> None:
    session.add(Customer(id=1))
    session.commit()
    with because("by the one"):
        session.get_one(Tenant, 1).is_active = False
        session.flush()
    with because("by the other"):
        session.delete(session.get_one(Customer, 1))
    session.commit()

    assert happened(session) == [
        "installation.create 1: unattributed",
        "installation.destroy 1: by the other",
    ]


def test_a_class_that_lacks_the_flag_is_followed_by_its_statements(
    session: Session,
) -> None:
    session.add(Name(id=1))
    session.flush()
    with because("thrown away"):
        session.delete(session.get_one(Name, 1))
        session.flush()
    session.add(Name(id=2))
    session.commit()

    assert happened(session) == ["installation.create 2: unattributed"]


def test_a_second_class_is_forgotten_with_the_first(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    register(installation(Customer, enabled="enabled")).unregister()
    with (
        register(track(Tenant, association="subscription")),
        Session(engine) as session,
    ):
        session.add(Tenant(number=1))
        session.commit()
        events = recorded(session)

    assert [event.association for event in events] == ["subscription"]


def test_two_classes_on_one_table_may_both_be_tracked(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    meanings = (
        installation(Customer, enabled="enabled"),
        track(Tenant, association="subscription"),
    )
    with register(*meanings), Session(engine) as session:
        session.add(Tenant(number=1))
        session.commit()
        events = recorded(session)

    assert {event.association for event in events} == {"installation", "subscription"}
