"""The app's models: as deployed, linked by client key and not by foreign key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import BigInteger, CursorResult, String, UniqueConstraint, delete
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

MAX_TEXT = 255
NUMBERED = {"sqlite_autoincrement": True}
"""An id is not given away again, as on a server; an event tells of it for ever."""


class Base(DeclarativeBase):
    """The base of the app's models."""


class Installation(Base):
    """A customer: a Jira site that has installed the app.

    It is born with `enabled` false, and enabled once Jira has accepted a first call.
    """

    __tablename__ = "Installations"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    jira_host: Mapped[str] = mapped_column("jiraHost", String(MAX_TEXT), index=True)
    client_key: Mapped[str] = mapped_column("clientKey", String(MAX_TEXT), unique=True)
    shared_secret: Mapped[str] = mapped_column("sharedSecret", String(MAX_TEXT))
    enabled: Mapped[bool] = mapped_column(default=False)


class Subscription(Base):
    """A GitHub installation that a customer has connected.

    The deployed app has no `active`; here GitHub's suspend takes it away for a while.
    """

    __tablename__ = "Subscriptions"
    __table_args__ = (
        UniqueConstraint("gitHubInstallationId", "jiraClientKey"),
        NUMBERED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    github_installation_id: Mapped[int] = mapped_column(
        "gitHubInstallationId", BigInteger, index=True
    )
    jira_host: Mapped[str] = mapped_column("jiraHost", String(MAX_TEXT))
    jira_client_key: Mapped[str] = mapped_column(
        "jiraClientKey", String(MAX_TEXT), index=True
    )
    active: Mapped[bool] = mapped_column(default=True)

    @staticmethod
    def uninstall(
        session: Session, *, jira_host: str, github_installation_ids: Collection[int]
    ) -> int:
        """Delete what connects a site to GitHub installations, in one statement.

        No object is loaded or deleted: a listener on objects would see nothing of it.

        Returns:
            How many subscriptions there were.
        """
        statement = delete(Subscription).where(
            Subscription.jira_host == jira_host,
            Subscription.github_installation_id.in_(github_installation_ids),
        )
        return cast("CursorResult[Any]", session.execute(statement)).rowcount
