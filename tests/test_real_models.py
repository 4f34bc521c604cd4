"""What the models of real programs have: expressions, enumerations, JSON, odd keys."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from linked_models import happened, kind, stored
from sqlalchemy import (
    DDL,
    JSON,
    Column,
    Engine,
    ForeignKey,
    Numeric,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    relationship,
)

from hydro_hooks import State, because, installation, register, track
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


class Invoice(Base):
    __tablename__ = "invoice"

    number: Mapped[Decimal] = mapped_column(
        Numeric(20, 0), primary_key=True, autoincrement=False
    )
    enabled: Mapped[bool] = mapped_column(default=True)


class Member(Base):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Folded(Base):
    """Its key is BOB as much as bob."""

    __tablename__ = "folded"

    name: Mapped[str] = mapped_column(
        String(20)
        .with_variant(String(20, collation="NOCASE"), "sqlite")
        .with_variant(String(20, collation="folding"), "postgresql"),
        primary_key=True,
    )
    enabled: Mapped[bool] = mapped_column(default=True)


FOLDING = DDL(  # type: ignore[no-untyped-call]
    "CREATE COLLATION IF NOT EXISTS folding"
    " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
)
event.listen(Base.metadata, "before_create", FOLDING.execute_if(dialect="postgresql"))


class Keyless(Base):
    """The mapper alone knows its key."""

    __table__ = Table("keyless", Base.metadata, Column("name", String(20)))
    __mapper_args__ = {"primary_key": [__table__.c.name]}  # noqa: RUF012 - as SQLAlchemy has it

    name: Mapped[str]


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
        track(Link, association="subscription"),
        track(Account, association="account", enabled="enabled"),
        track(
            Settings, association="settings", enabled=Settings.data["on"].as_boolean()
        ),
        track(Invoice, association="invoice", enabled="enabled"),
        track(Member, association="member", enabled="enabled"),
        track(Folded, association="folded", enabled="enabled"),
        track(Keyless, association="keyless"),
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
        assert outcome in {"0 rows", "ProgrammingError"}
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


def test_text_on_a_key_that_is_a_decimal_is_followed(session: Session) -> None:
    stored(session, Invoice(number=Decimal(5)))

    session.execute(text("UPDATE invoice SET enabled = false WHERE number = 5"))
    session.commit()
    session.execute(text("DELETE FROM invoice WHERE number = 5"))
    session.commit()

    assert happened(session) == [
        "invoice.destroy 5: unattributed",
        "invoice.disable 5: unattributed",
    ]


def test_an_insert_into_a_table_without_a_key_is_warned_of_and_runs(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(insert(Keyless).values(name="a"))
    session.execute(text("UPDATE keyless SET name = 'b'"))
    session.commit()

    assert session.scalars(select(Keyless.name)).all() == ["b"]
    assert ["no primary key" in one for one in caplog.messages] == [True, True]


def test_a_drivers_statement_that_has_a_percent_sign_is_followed(
    session: Session,
) -> None:
    stored(session, Site(id=1, host="a"), Site(id=2, host="b"))

    session.connection().exec_driver_sql(
        "DELETE FROM site WHERE host LIKE 'a%'",
        execution_options={"no_parameters": True},
    )
    session.commit()

    assert happened(session) == ["installation.destroy 1: unattributed"]


def test_a_backslash_is_a_character_where_the_database_says_so(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    stored(session, Site(id=1, host="a_"), Site(id=2, host="b"))
    quote = r"'\\'" if kind(session) == "mariadb" else r"'\'"

    session.execute(
        text(f"DELETE FROM site WHERE host LIKE :like ESCAPE {quote} AND host <> 'x'"),  # noqa: S608
        {"like": r"a\_"},
    )
    session.commit()

    assert happened(session) == ["installation.destroy 1: unattributed"]
    assert caplog.messages == []


@pytest.mark.parametrize("is_text", [False, True])
def test_an_upsert_of_a_unique_value_by_expression_is_not_silent(
    session: Session, caplog: pytest.LogCaptureFixture, *, is_text: bool
) -> None:
    stored(session, Member(id=1, name="bob"))
    make: Any = {"sqlite": sqlite, "postgresql": postgresql}.get(kind(session), mysql)
    values = {"name": func.lower("BOB"), "enabled": False}
    statement: Any = make.insert(Member).values(values)
    end = "ON CONFLICT (name) DO UPDATE SET enabled = false"
    if kind(session) == "mariadb":
        end = "ON DUPLICATE KEY UPDATE enabled = false"
        statement = statement.on_duplicate_key_update(enabled=False)
    else:
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"enabled": False}
        )
    if is_text:
        insert_text = "INSERT INTO member (name, enabled) VALUES (lower('BOB'), false)"
        statement = text(f"{insert_text} {end}")

    session.execute(statement)
    session.commit()

    is_told = kind(session) == "postgresql" and not is_text
    assert len(happened(session)) == int(is_told)
    assert len(caplog.messages) == int(not is_told)


def test_a_row_is_destroyed_under_the_key_that_it_has(session: Session) -> None:
    stored(session, Folded(name="bob"))

    session.execute(delete(Folded).where(Folded.name == "BOB"))
    session.commit()

    assert happened(session) == ["folded.destroy bob: unattributed"]


@pytest.mark.parametrize("is_text", [False, True], ids=["statement", "text"])
def test_a_key_spelled_anew_is_another_row(session: Session, *, is_text: bool) -> None:
    stored(session, Folded(name="Bob"), Folded(name="eve"))
    lowered: Any = update(Folded).values(name=func.lower(Folded.name))
    if is_text:
        lowered = text("UPDATE folded SET name = lower(name)")

    session.execute(lowered)
    session.commit()

    assert sorted(happened(session)) == [
        "folded.create bob: unattributed",
        "folded.destroy Bob: unattributed",
    ]


def test_an_upsert_meets_the_row_under_the_key_that_it_has(session: Session) -> None:
    stored(session, Folded(name="Bob"))
    make: Any = {"sqlite": sqlite, "postgresql": postgresql}.get(kind(session), mysql)
    upsert = make.insert(Folded).values(name="bob", enabled=False)
    if kind(session) == "mariadb":
        upsert = upsert.on_duplicate_key_update(enabled=False)
    else:
        upsert = upsert.on_conflict_do_update(
            index_elements=["name"], set_={"enabled": False}
        )

    session.execute(upsert)
    session.commit()

    assert happened(session) == ["folded.disable Bob: unattributed"]


def test_a_driver_that_commits_by_itself_is_believed(
    session: Session, engine: Engine
) -> None:
    stored(session, Site(id=1), Site(id=2))
    session.close()
    given: dict[str, Any] = {"autocommit": True}
    if engine.dialect.name == "sqlite":
        given = {"isolation_level": None}

    other = create_engine(engine.url, connect_args=given)
    with Session(other) as at_once:
        at_once.execute(update(Site).where(Site.id == 1).values(enabled=0))
        at_once.rollback()
    other.dispose()

    assert session.get_one(Site, 1).enabled == 0
    assert happened(session) == ["installation.disable 1: unattributed"]
