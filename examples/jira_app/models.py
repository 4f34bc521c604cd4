"""The app's models: as deployed, linked by client key and not by foreign key."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
