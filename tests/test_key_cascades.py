"""What a changed key of a parent does to its children, and TRUNCATE ... CASCADE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import enforce_foreign_keys
from sqlalchemy import Engine, ForeignKey, String, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hydro_hooks import because, installation, register, subscription
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    pass


class Site(Base):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(50), default="h")


class Link(Base):
    __tablename__ = "link"

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id", onupdate="CASCADE"))


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    enforce_foreign_keys(engine)
    Base.metadata.create_all(engine)
    hooks = register(
        installation(Site, jira_hostname="host"),
        subscription(Link, jira_integration_id="site_id"),
    )
    with hooks, Session(engine) as session:
        session.add(Site(id=1))
        session.flush()
        session.add(Link(id=5, site_id=1))
        session.commit()
        session.execute(text("DELETE FROM hydro_outbox"))
        session.commit()
        yield session


def told(session: Session) -> list[tuple[str, str | None, int | str | None]]:
    return [
        (one.type, one.subject_id, one.jira_integration_id) for one in recorded(session)
    ]


def test_a_child_follows_its_parents_new_key_and_nothing_happened_to_it(
    session: Session,
) -> None:
    session.execute(update(Site).values(id=9))
    session.commit()

    assert told(session) == [
        ("installation.destroy", "1", 1),
        ("installation.create", "9", 9),
    ]


def test_a_child_destroyed_after_that_tells_the_key_that_others_last_saw(
    session: Session,
) -> None:
    session.execute(update(Site).values(id=9))
    session.delete(session.get_one(Link, 5))
    session.commit()

    assert ("subscription.destroy", "5", 1) in told(session)


def test_truncate_cascade_destroys_what_refers_to_the_table(session: Session) -> None:
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has it")

    with because("emptied"):
        session.execute(text("TRUNCATE site CASCADE"))
    session.commit()

    assert told(session) == [
        ("installation.destroy", "1", 1),
        ("subscription.destroy", "5", 1),
    ]
