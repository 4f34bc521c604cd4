"""The models that most database tests use, and what was recorded of them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hydro_hooks import Event, TrackedModel, installation, subscription

HOST = "https://test-host.jira.com"


class Base(DeclarativeBase):
    pass


class Account(Base):
    """Not tracked; deleting one deletes its installations."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    installations: Mapped[list[Installation]] = relationship(
        back_populates="account", cascade="all, delete-orphan"
    )


class Installation(Base):
    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    jira_host: Mapped[str] = mapped_column("host", String(255), default=HOST)
    enabled: Mapped[bool | None] = mapped_column("is_enabled", default=True)
    secret: Mapped[str | None] = mapped_column(String(255))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    account: Mapped[Account | None] = relationship(back_populates="installations")
    subscriptions: Mapped[list[Subscription]] = relationship(
        back_populates="installation", cascade="all, delete-orphan"
    )


class Subscription(Base):
    __tablename__ = "subscription"

    id: Mapped[int] = mapped_column(primary_key=True)
    github_installation_id: Mapped[int] = mapped_column(default=10)
    jira_host: Mapped[str] = mapped_column(String(255), default=HOST)
    installation_id: Mapped[int | None] = mapped_column(ForeignKey("installation.id"))
    installation: Mapped[Installation | None] = relationship(
        back_populates="subscriptions"
    )


class Untracked(Base):
    __tablename__ = "untracked"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(String(255))


def mappings() -> tuple[TrackedModel, TrackedModel]:
    return (
        installation(Installation, jira_hostname="jira_host", enabled="enabled"),
        subscription(
            Subscription,
            github_installation_id="github_installation_id",
            jira_hostname="jira_host",
            jira_integration_id="installation_id",
        ),
    )


def told(events: list[Event]) -> list[str]:
    """Return what happened, as in `installation.create: jira webhook`."""
    return [f"{event.type}: {event.reason}" for event in events]
