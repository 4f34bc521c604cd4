"""What the models of real programs have: expressions, enumerations, JSON, odd keys."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from linked_models import happened, stored
from sqlalchemy import JSON, Engine, ForeignKey, String, delete, event, update
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    relationship,
)

from hydro_hooks import State, because, installation, register, subscription, track
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    pass


class Provider(enum.Enum):
    GITHUB = "github"
    GITLAB = "gitlab"


class Site(Base):
    """An expression that nobody asked for, and numbers that forms give as text."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(50), default="h")
    github_id: Mapped[int] = mapped_column(default=1)
    enabled: Mapped[int] = mapped_column(default=1)
    links: Mapped[list[Link]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True
    )
    label: Mapped[str] = column_property(host + "!")


class Link(Base):
    __tablename__ = "link"

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    notes: Mapped[list[Note]] = relationship(cascade="all, delete-orphan")


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    link_id: Mapped[int] = mapped_column(ForeignKey("link.id"))


class Account(Base):
    __tablename__ = "account"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    provider: Mapped[Provider] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Settings(Base):
    __tablename__ = "settings"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON))


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    hooks = register(
        installation(
            Site,
            github_installation_id="github_id",
            jira_hostname="host",
            enabled="enabled",
        ),
        subscription(Link),
        track(Account, association="account", enabled="enabled"),
        track(
            Settings, association="settings", enabled=Settings.data["on"].as_boolean()
        ),
    )
    with hooks, Session(engine) as session:
        yield session


def test_a_number_given_as_text_is_what_the_database_makes_of_it(
    session: Session,
) -> None:
    site: Any = Site(id=1, enabled="0", github_id="77")
    session.add(site)
    session.commit()
    site.enabled = "1"
    session.commit()
    site.enabled = "0"
    session.commit()

    assert happened(session) == [
        "installation.create 1: unattributed",
        "installation.disable 1: unattributed",
        "installation.enable 1: unattributed",
    ]
    created = recorded(session)[0]
    assert (created.state, created.github_installation_id) == (State.DISABLED, 77)


def test_a_number_given_to_a_statement_as_text_is_what_the_database_makes_of_it(
    session: Session,
) -> None:
    stored(session, Site(id=1), Site(id=2))

    session.execute(update(Site).where(Site.id == 1).values(enabled="0"))
    session.execute(update(Site).values(github_id="77"))
    session.commit()

    [disabled] = recorded(session)
    assert (disabled.type, disabled.subject_id) == ("installation.disable", "1")
    assert disabled.github_installation_id == 77


def test_a_key_that_is_no_number_matches_nothing_or_is_refused_by_the_database(
    session: Session,
) -> None:
    stored(session, Site(id=1))

    for statement in (delete(Site), update(Site).values(enabled=0)):
        outcome = _outcome(session, statement.where(Site.id == "abc"))
        assert outcome in {"0 rows", "DataError"}
        session.rollback()

    assert happened(session) == []


def _outcome(session: Session, statement: Any) -> str:
    options = {"synchronize_session": False}
    try:
        result: Any = session.execute(statement, execution_options=options)
    except Exception as error:
        return type(error).__name__
    return f"{result.rowcount} rows"


def test_an_enumeration_in_the_key_is_followed(session: Session) -> None:
    account = Account(tenant=1, provider=Provider.GITHUB)
    other = Account(tenant=1, provider=Provider.GITLAB)
    stored(session, account, other)

    account.enabled = False
    session.commit()
    session.execute(delete(Account).where(Account.provider == Provider.GITHUB))
    session.delete(other)
    session.commit()

    assert sorted((one.action, one.subject_id) for one in recorded(session)) == [
        ("destroy", '[1,"Provider.GITHUB"]'),
        ("destroy", '[1,"Provider.GITLAB"]'),
        ("disable", '[1,"Provider.GITHUB"]'),
    ]


def test_a_value_changed_in_place_counts_where_it_was_changed(session: Session) -> None:
    settings = Settings(id=1, data={"on": True})
    stored(session, settings)

    with because("asked"):
        settings.data["on"] = False
    session.commit()

    assert happened(session) == ["settings.disable 1: asked"]


def test_a_delete_touches_no_session_of_another_thread(session: Session) -> None:
    stored(session, Site(id=1, links=[Link(id=1, notes=[Note(id=1)])]), Site(id=2))
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    first = session.get_one(Site, 1)
    first.links.clear()  # an orphan, whose notes are not loaded, and not flushed
    mine = session.connection()
    used = []

    def before(connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if connection is mine:
            used.append(sql)

    def delete_second() -> None:
        with Session(engine) as other:
            other.delete(other.get_one(Site, 2))
            other.flush()  # SQLite: no commit beside a reader

    event.listen(engine, "before_cursor_execute", before)
    thread = threading.Thread(target=delete_second)
    thread.start()
    thread.join()
    event.remove(engine, "before_cursor_execute", before)

    assert used == []


def test_children_have_the_cause_of_their_own_session(session: Session) -> None:
    stored(session, Site(id=1, links=[Link(id=1)]))
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    with Session(engine, expire_on_commit=False) as waiting:
        site = waiting.get_one(Site, 1)
        waiting.commit()
        with because("still to come"):
            waiting.delete(site)
        with because("now"):
            session.delete(session.get_one(Site, 1))
            session.commit()
        waiting.rollback()

    assert {one.reason for one in recorded(session)} == {"now"}
