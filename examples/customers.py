"""The one model of the short examples, tracked, and what is recorded of it."""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from hydro_hooks import create_tables, installation, register
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    """The base of the models."""


class Installation(Base):
    """A customer."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    jira_host: Mapped[str] = mapped_column(default="https://acme.atlassian.net")
    enabled: Mapped[bool] = mapped_column(default=True)


hooks = register(
    installation(Installation, jira_hostname="jira_host", enabled="enabled")
)


# In memory, and one for all threads.
engine = create_engine(
    "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
)
Base.metadata.create_all(engine)
create_tables(engine)


def add() -> None:
    """Add a customer."""
    with Session(engine) as session:
        session.add(Installation())
        session.commit()


def tell() -> None:
    """Print what is recorded."""
    for event in recorded(engine):
        who = event.github_actor or event.jira_actor or "nobody known"
        print(f"{event.type}: {event.reason}, by {who}, at {event.origin}")
