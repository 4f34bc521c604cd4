"""Models that the database links by itself, and helpers for tests of statements."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import CursorResult, ForeignKey, Result, String, Table, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
)

from hydro_hooks import Event, TrackedModel, installation, subscription, track
from hydro_hooks.testing import recorded

HOST = "https://test-host.jira.com"


class Base(DeclarativeBase):
    pass


class Account(Base):
    """Not tracked; the database deletes its installations with it."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(50))


class Installation(Base):
    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(50), default=HOST)
    enabled: Mapped[bool] = mapped_column(default=True)
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE")
    )
    subscriptions: Mapped[list[Subscription]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True
    )


class Workspace(Base):
    """Not tracked, between two that are; no relationship says so."""

    __tablename__ = "workspace"

    id: Mapped[int] = mapped_column(primary_key=True)
    installation_id: Mapped[int] = mapped_column(
        ForeignKey("installation.id", ondelete="CASCADE")
    )


class Subscription(Base):
    __tablename__ = "subscription"

    id: Mapped[int] = mapped_column(primary_key=True)
    github_id: Mapped[int] = mapped_column(default=10)
    enabled: Mapped[bool] = mapped_column(default=True)
    installation_id: Mapped[int | None] = mapped_column(
        ForeignKey("installation.id", name="to_installation", ondelete="CASCADE")
    )
    workspace_id: Mapped[int | None] = mapped_column(
        ForeignKey("workspace.id", ondelete="CASCADE")
    )
    repositories: Mapped[list[Repository]] = relationship(passive_deletes="all")


class Repository(Base):
    __tablename__ = "repository"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("subscription.id", ondelete="CASCADE")
    )


class Badge(Base):
    """Outlives its installation."""

    __tablename__ = "badge"

    id: Mapped[int] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    installation_id: Mapped[int | None] = mapped_column(
        ForeignKey("installation.id", ondelete="SET NULL")
    )


class Folder(Base):
    __tablename__ = "folder"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("folder.id", ondelete="CASCADE")
    )


class Customer(Base):
    """Not tracked; knows a site's host."""

    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(50))
    host: Mapped[str] = mapped_column(String(50))


class Site(Base):
    """Linked to `Link` and `Customer` by client key, as in the deployed app."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(50), default="k")
    enabled: Mapped[bool] = mapped_column(default=True)


class Link(Base):
    __tablename__ = "link"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_key: Mapped[str] = mapped_column(String(50), default="k")
    github_id: Mapped[int] = mapped_column(default=77)


class Pair(Base):
    __tablename__ = "pair"

    left: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    right: Mapped[str] = mapped_column(String(20), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Login(Base):
    """Has a second key, on which an upsert may conflict."""

    __tablename__ = "login"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    host: Mapped[str | None] = mapped_column(String(50))
    enabled: Mapped[bool] = mapped_column(default=True)


class Page(Base):
    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True)
    is_deleted: Mapped[bool] = mapped_column(default=False)


class Animal(Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    enabled: Mapped[bool] = mapped_column(default=True)


class Dog(Animal):
    """A subclass with a table of its own."""

    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Cat(Animal):
    """A subclass in its base's table."""

    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012


class Task(Base):
    """Not tracked, but one of its kinds is."""

    __tablename__ = "task"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "task"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    enabled: Mapped[bool] = mapped_column(default=True)


class Job(Task):
    __mapper_args__ = {"polymorphic_identity": "job"}  # noqa: RUF012


def cascading() -> tuple[TrackedModel, ...]:
    """Return the models that the database deletes with one another."""
    return (
        installation(Installation, jira_hostname="host", enabled="enabled"),
        subscription(
            Subscription,
            github_installation_id="github_id",
            jira_integration_id="installation_id",
            enabled="enabled",
        ),
        track(Repository, association="repository"),
        track(
            Badge,
            association="badge",
            jira_integration_id="installation_id",
            enabled="enabled",
        ),
        track(Folder, association="folder"),
    )


def odd() -> tuple[TrackedModel, ...]:
    """Return the models with other keys, other flags and subclasses."""
    return (
        track(Pair, association="pair", enabled="enabled"),
        track(Login, association="login", jira_hostname="host", enabled="enabled"),
        track(Page, association="page", present=~Page.is_deleted),
        track(Animal, association="animal", enabled="enabled"),
        track(Job, association="job", enabled="enabled"),
    )


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def happened(session: Session) -> list[str]:
    """Return what was recorded, sorted, as in `installation.create 7: moved`."""
    return sorted(_told(event) for event in recorded(session))


def only_event(session: Session) -> Event:
    [event] = recorded(session)
    return event


def _told(event: Event) -> str:
    return f"{event.type} {event.subject_id}: {event.reason}"


def rowcount(result: Result[Any]) -> int:
    """Return how many rows a statement says it has matched."""
    assert isinstance(result, CursorResult)
    return result.rowcount


def table(model: type[DeclarativeBase]) -> Table:
    assert isinstance(model.__table__, Table)
    return model.__table__


def kind(session: Session) -> str:
    """Return `sqlite`, `postgresql` or `mariadb`."""
    return session.get_bind().dialect.name
