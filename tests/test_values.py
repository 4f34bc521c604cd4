"""Values by expression, soft deletes, odd keys and inheritance."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import CHAR, Engine, ForeignKey, String, false, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hydro_hooks import (
    Action,
    State,
    because,
    installation,
    register,
    subscription,
    track,
)
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    pass


class Site(Base):
    """Linked to `Link` by client key, as in the deployed app."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(50))
    host: Mapped[str] = mapped_column(String(50), default="h")
    disabled_at: Mapped[datetime | None]
    is_deleted: Mapped[bool] = mapped_column(default=False)


class Link(Base):
    __tablename__ = "link"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(50))
    github_id: Mapped[int]


class Pair(Base):
    __tablename__ = "pair"

    left: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    right: Mapped[str] = mapped_column(String(20), primary_key=True)
    enabled: Mapped[bool] = mapped_column(server_default=false())


class Padded(Base):
    __tablename__ = "padded"

    code: Mapped[str] = mapped_column(CHAR(8), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Animal(Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    enabled: Mapped[bool] = mapped_column(default=True)


class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Cat(Animal):
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    hooks = register(
        installation(
            Site,
            jira_hostname=Site.host,
            github_installation_id=select(func.min(Link.github_id))
            .where(Link.client_key == Site.client_key)
            .scalar_subquery(),
            enabled=Site.disabled_at.is_(None),
            present=~Site.is_deleted,
        ),
        subscription(
            Link,
            github_installation_id="github_id",
            jira_integration_id=select(Site.id).where(
                Site.client_key == Link.client_key
            ),
        ),
        track(Pair, association="pair", enabled="enabled"),
        track(Animal, association="animal", enabled="enabled"),
        track(Padded, association="padded", enabled="enabled"),
    )
    with hooks, Session(engine) as session:
        yield session


def stored(session: Session, *objects: object) -> None:
    session.add_all(objects)
    session.commit()


def test_an_expression_is_evaluated_as_committed(session: Session) -> None:
    session.add(Site(id=1, client_key="k"))
    session.flush()
    session.add(Link(id=1, client_key="k", github_id=77))
    session.commit()

    by_type = {event.type: event for event in recorded(session)}
    assert by_type["installation.create"].github_installation_id == 77
    assert by_type["subscription.create"].jira_integration_id == 1


def test_a_destroyed_rows_expressions_are_right_when_all_go_in_one_flush(
    session: Session,
) -> None:
    site, link = Site(id=1, client_key="k"), Link(id=1, client_key="k", github_id=77)
    stored(session, site, link)

    session.delete(site)
    session.delete(link)
    session.commit()

    by_type = {event.type: event for event in recorded(session)}
    assert by_type["installation.destroy"].github_installation_id == 77
    assert by_type["subscription.destroy"].jira_integration_id == 1


@pytest.mark.parametrize("first", ["site", "link"])
def test_a_destroyed_rows_expressions_are_right_when_the_other_went_before(
    session: Session, first: str
) -> None:
    site, link = Site(id=1, client_key="k"), Link(id=1, client_key="k", github_id=77)
    stored(session, site, link)

    for row in (site, link) if first == "site" else (link, site):
        session.delete(row)
        session.flush()
    session.commit()

    by_type = {event.type: event for event in recorded(session)}
    assert by_type["installation.destroy"].github_installation_id == 77
    assert by_type["subscription.destroy"].jira_integration_id == 1


def test_a_flag_by_expression_is_followed(session: Session) -> None:
    site = Site(id=1, client_key="k")
    stored(session, site)

    with because("suspended"):
        site.disabled_at = datetime(2026, 8, 12)  # noqa: DTZ001 - a column without zone
    session.commit()
    site.disabled_at = None
    session.commit()

    assert [(one.action, one.reason) for one in recorded(session)] == [
        (Action.CREATE, "unattributed"),
        (Action.DISABLE, "suspended"),
        (Action.ENABLE, "unattributed"),
    ]


def test_a_soft_delete_is_a_destroy_and_undone_a_create(session: Session) -> None:
    site = Site(id=1, client_key="k")
    stored(session, site)

    with because("hidden"):
        site.is_deleted = True
    session.commit()
    with because("restored"):
        site.is_deleted = False
    session.commit()
    site.is_deleted = True
    session.commit()
    session.delete(site)
    session.commit()

    assert [(one.action, one.reason) for one in recorded(session)][1:] == [
        (Action.DESTROY, "hidden"),
        (Action.CREATE, "restored"),
        (Action.DESTROY, "unattributed"),
    ]


def test_a_row_born_hidden_is_created_when_it_is_shown(session: Session) -> None:
    site = Site(id=1, client_key="k", is_deleted=True)
    stored(session, site)
    assert recorded(session) == []

    site.is_deleted = False
    session.commit()

    [event] = recorded(session)
    assert event.action is Action.CREATE


def test_composite_and_uuid_keys(session: Session) -> None:
    pair = Pair(left=uuid.UUID(int=1), right="r", enabled=True)
    stored(session, pair)
    pair.enabled = False
    session.commit()
    session.delete(pair)
    session.commit()

    events = recorded(session)
    assert [one.action for one in events] == [
        Action.CREATE,
        Action.DISABLE,
        Action.DESTROY,
    ]
    assert {one.subject_id for one in events} == {
        '["00000000-0000-0000-0000-000000000001","r"]'
    }


def test_keys_that_the_database_gives_back_otherwise(session: Session) -> None:
    """PostgreSQL pads CHAR; MariaDB finds a key whatever its case."""
    rows = [Padded(code="a"), Padded(code="b")]
    stored(session, *rows)
    for row in rows:
        row.enabled = False
    session.commit()

    assert [one.type for one in recorded(session)] == [
        "padded.create",
        "padded.create",
        "padded.disable",
        "padded.disable",
    ]


def test_a_flag_that_the_database_fills_in_is_read_back(session: Session) -> None:
    stored(session, Pair(left=uuid.UUID(int=1), right="r"))

    [event] = recorded(session)
    assert event.state is State.DISABLED


def test_subclasses_are_tracked_with_their_base(session: Session) -> None:
    dog, cat = Dog(id=1, name="Rex"), Cat(id=2)
    stored(session, dog, cat)
    dog.enabled = False
    dog.name = "Max"
    session.commit()
    session.delete(dog)
    session.delete(cat)
    session.commit()

    assert sorted((one.subject_id or "", one.type) for one in recorded(session)) == [
        ("1", "animal.create"),
        ("1", "animal.destroy"),
        ("1", "animal.disable"),
        ("2", "animal.create"),
        ("2", "animal.destroy"),
    ]


def test_a_renumbered_row_of_a_joined_subclass_keeps_its_cause(
    session: Session,
) -> None:
    dog = Dog(id=1)
    stored(session, dog)

    with because("disabled"):
        dog.enabled = False
    with because("flushed"):
        session.commit()

    assert recorded(session)[-1].reason == "disabled"
