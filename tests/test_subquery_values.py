"""Values that an event reads from other tables, by subquery over the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import linked_models
import pytest
from linked_models import (
    Customer,
    Link,
    Site,
    happened,
    only_event,
    stored,
    table,
)
from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hydro_hooks import because, installation, register, subscription
from hydro_hooks.testing import recorded


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    linked_models.Base.metadata.create_all(engine)
    hooks = register(
        installation(
            Site,
            github_installation_id=select(func.min(Link.github_id))
            .where(Link.client_key == Site.client_key)
            .scalar_subquery(),
            jira_hostname=select(Customer.host)
            .where(Customer.client_key == Site.client_key)
            .scalar_subquery(),
            enabled="enabled",
        ),
        subscription(
            Link,
            github_installation_id="github_id",
            jira_integration_id=select(Site.id)
            .where(Site.client_key == Link.client_key)
            .scalar_subquery(),
        ),
    )
    with hooks, Session(engine) as session:
        yield session


class Orm:
    """Changes a row by its object, and flushes."""

    def delete(self, session: Session, model: Any, key: int) -> None:
        session.delete(session.get_one(model, key))
        session.flush()

    def update(
        self, session: Session, model: Any, key: int, name: str, value: Any
    ) -> None:
        setattr(session.get_one(model, key), name, value)
        session.flush()

    def insert(self, session: Session, row: Any) -> None:
        session.add(row)
        session.flush()


class Bulk:
    """Changes a row by an ORM bulk statement."""

    def delete(self, session: Session, model: Any, key: int) -> None:
        session.execute(delete(model).where(model.id == key))

    def update(
        self, session: Session, model: Any, key: int, name: str, value: Any
    ) -> None:
        session.execute(update(model).where(model.id == key).values({name: value}))

    def insert(self, session: Session, row: Any) -> None:
        session.execute(insert(type(row)), [given(row)])


class Core:
    """Changes a row by a statement on its table, past the session."""

    def delete(self, session: Session, model: Any, key: int) -> None:
        rows = table(model)
        session.connection().execute(rows.delete().where(rows.c.id == key))

    def update(
        self, session: Session, model: Any, key: int, name: str, value: Any
    ) -> None:
        rows = table(model)
        statement = rows.update().where(rows.c.id == key).values({name: value})
        session.connection().execute(statement)

    def insert(self, session: Session, row: Any) -> None:
        session.connection().execute(table(type(row)).insert().values(given(row)))


class Raw:
    """Changes a row by SQL text."""

    def delete(self, session: Session, model: Any, key: int) -> None:
        sql = f"DELETE FROM {model.__tablename__} WHERE id = :key"  # noqa: S608 - the tests' own names
        session.execute(text(sql), {"key": key})

    def update(
        self, session: Session, model: Any, key: int, name: str, value: Any
    ) -> None:
        sql = f"UPDATE {model.__tablename__} SET {name} = :value WHERE id = :key"  # noqa: S608 - the tests' own names
        session.execute(text(sql), {"key": key, "value": value})

    def insert(self, session: Session, row: Any) -> None:
        names = given(row)
        columns, values = ", ".join(names), ", :".join(names)
        sql = f"INSERT INTO {row.__tablename__} ({columns}) VALUES (:{values})"  # noqa: S608 - the tests' own names
        session.execute(text(sql), names)


def given(row: Any) -> dict[str, Any]:
    """Return the attributes that an object was made with."""
    return {
        name: vars(row)[name]
        for name in table(type(row)).columns.keys()  # noqa: SIM118 - not a dictionary
        if name in vars(row)
    }


Way = Orm | Bulk | Core | Raw
WAYS = pytest.mark.parametrize(
    "way", [Orm(), Bulk(), Core(), Raw()], ids=["orm", "bulk", "core", "raw"]
)


def linked(session: Session) -> None:
    """Store site 1 with links 7 (github 77) and 8 (github 88), and its customer."""
    stored(
        session,
        Site(id=1),
        Link(id=7),
        Link(id=8, github_id=88),
        Customer(id=1, client_key="k", host="https://old.net"),
    )


def test_all_that_goes_in_one_flush_is_told_as_others_last_saw_it(
    session: Session,
) -> None:
    linked(session)

    for row in (session.get_one(Link, 7), session.get_one(Link, 8)):
        session.delete(row)
    session.delete(session.get_one(Site, 1))
    session.commit()

    told = {
        (one.association, one.github_installation_id, one.jira_integration_id)
        for one in recorded(session)
    }
    assert told == {
        ("installation", 77, 1),
        ("subscription", 77, 1),
        ("subscription", 88, 1),
    }


@WAYS
@pytest.mark.parametrize("first", ["site", "link"])
def test_a_destroyed_row_is_told_as_before_though_the_other_went_first(
    session: Session, way: Way, first: str
) -> None:
    stored(session, Site(id=1), Link(id=7))
    rows: list[tuple[Any, int]] = [(Site, 1), (Link, 7)]

    for model, key in rows if first == "site" else reversed(rows):
        way.delete(session, model, key)
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 77
    assert told["subscription.destroy"].jira_integration_id == 1
    assert len(told) == 2


def delete_link(way: Way, session: Session) -> None:
    way.delete(session, Link, 7)


def change_link(way: Way, session: Session) -> None:
    way.update(session, Link, 7, "github_id", 99)


def move_link(way: Way, session: Session) -> None:
    way.update(session, Link, 7, "client_key", "other")


def insert_link(way: Way, session: Session) -> None:
    way.insert(session, Link(id=9, client_key="k", github_id=5))


def move_site(way: Way, session: Session) -> None:
    way.update(session, Site, 1, "client_key", "other")


TOUCHES = [delete_link, change_link, move_link, insert_link, move_site]
TOUCHED = pytest.mark.parametrize(
    "touch", TOUCHES, ids=[one.__name__ for one in TOUCHES]
)


@WAYS
@TOUCHED
def test_a_destroyed_row_is_told_as_before_its_links_were_touched(
    session: Session, way: Way, touch: Callable[[Way, Session], None]
) -> None:
    linked(session)

    touch(way, session)
    session.delete(session.get_one(Site, 1))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 77


@TOUCHED
def test_a_row_destroyed_in_bulk_is_told_as_before_its_links_were_touched(
    session: Session, touch: Callable[[Way, Session], None]
) -> None:
    linked(session)

    touch(Bulk(), session)
    session.execute(delete(Site))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 77


@WAYS
def test_a_destroyed_link_is_told_as_before_its_site_was_touched(
    session: Session, way: Way
) -> None:
    linked(session)

    move_site(way, session)
    way.delete(session, Link, 7)
    session.commit()

    event = only_event(session)
    assert (event.type, event.jira_integration_id) == ("subscription.destroy", 1)


@WAYS
def test_a_link_that_was_moved_and_destroyed_is_told_as_before(
    session: Session, way: Way
) -> None:
    linked(session)
    stored(session, Site(id=2, client_key="other"))

    move_link(way, session)
    way.delete(session, Link, 7)
    session.commit()

    assert only_event(session).jira_integration_id == 1


def test_all_links_deleted_by_one_statement_before_their_site(
    session: Session,
) -> None:
    linked(session)

    with because("uninstalled"):
        session.execute(delete(Link).where(Link.client_key == "k"))
        session.execute(delete(Site).where(Site.client_key == "k"))
    session.commit()

    assert happened(session) == [
        "installation.destroy 1: uninstalled",
        "subscription.destroy 7: uninstalled",
        "subscription.destroy 8: uninstalled",
    ]
    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 77


@WAYS
def test_a_destroyed_row_is_told_as_before_an_untracked_table_was_touched(
    session: Session, way: Way
) -> None:
    linked(session)

    way.update(session, Customer, 1, "host", "https://new.net")
    way.delete(session, Customer, 1)
    way.delete(session, Site, 1)
    session.commit()

    assert only_event(session).jira_hostname == "https://old.net"


@WAYS
def test_a_disabled_row_is_told_as_committed_by_an_untracked_table(
    session: Session, way: Way
) -> None:
    linked(session)

    way.update(session, Site, 1, "enabled", value=False)
    way.update(session, Customer, 1, "host", "https://new.net")
    session.commit()

    event = only_event(session)
    assert (event.type, event.jira_hostname) == (
        "installation.disable",
        "https://new.net",
    )


@WAYS
def test_a_created_row_is_told_with_links_that_come_later(
    session: Session, way: Way
) -> None:
    way.insert(session, Site(id=1, client_key="k", enabled=True))
    way.insert(session, Link(id=7, client_key="k", github_id=77))
    way.insert(session, Customer(id=1, client_key="k", host="https://new.net"))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    created = told["installation.create"]
    assert created.github_installation_id == 77
    assert created.jira_hostname == "https://new.net"
    assert told["subscription.create"].jira_integration_id == 1


@WAYS
def test_an_enabled_row_is_told_with_links_that_come_later(
    session: Session, way: Way
) -> None:
    stored(session, Site(id=1, enabled=False))

    way.update(session, Site, 1, "enabled", value=True)
    way.insert(session, Link(id=7, client_key="k", github_id=77))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.enable"].github_installation_id == 77


@WAYS
def test_a_disabled_row_is_told_without_links_that_go_later(
    session: Session, way: Way
) -> None:
    linked(session)

    way.update(session, Site, 1, "enabled", value=False)
    way.delete(session, Link, 7)
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.disable"].github_installation_id == 88


@TOUCHED
def test_links_touched_alone_say_nothing_of_their_site(
    session: Session, touch: Callable[[Way, Session], None]
) -> None:
    linked(session)

    touch(Bulk(), session)
    session.commit()

    assert "installation" not in {one.association for one in recorded(session)}


@WAYS
def test_links_touched_in_a_rolled_back_savepoint_do_not_count(
    session: Session, way: Way
) -> None:
    linked(session)

    savepoint = session.begin_nested()
    way.delete(session, Link, 7)
    way.update(session, Link, 8, "github_id", 5)
    savepoint.rollback()
    way.update(session, Site, 1, "enabled", value=False)
    session.commit()

    event = only_event(session)
    assert (event.type, event.github_installation_id) == ("installation.disable", 77)


def test_links_touched_in_an_earlier_transaction_do_count(session: Session) -> None:
    linked(session)

    session.execute(delete(Link).where(Link.id == 7))
    session.commit()
    session.execute(delete(Site))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 88


def renumber_by_flush(session: Session, to: int) -> None:
    link = session.get_one(Link, 7)
    link.id, link.client_key = to, "k2"
    session.flush()


def renumber_by_statement(session: Session, to: int) -> None:
    session.execute(table(Link).update().values(id=to, client_key="k2").where(IS_7))


def renumber_by_text(session: Session, to: int) -> None:
    sql = "UPDATE link SET id = :to, client_key = 'k2' WHERE id = 7"
    session.execute(text(sql), {"to": to})


IS_7 = table(Link).c.id == 7


@pytest.mark.parametrize(
    "renumber", [renumber_by_flush, renumber_by_statement, renumber_by_text]
)
def test_a_link_that_came_under_another_key_is_not_one_that_others_see(
    session: Session, renumber: Callable[[Session, int], None]
) -> None:
    linked(session)
    stored(
        session, Site(id=2, client_key="k2"), Link(id=1, client_key="k2", github_id=99)
    )

    renumber(session, 30)
    session.execute(delete(Site).where(Site.id == 2))
    session.commit()

    told = {one.type: one for one in recorded(session) if one.subject_id == "2"}
    assert told["installation.destroy"].github_installation_id == 99


def test_a_renumbered_row_of_an_untracked_table_is_not_one_that_others_see(
    session: Session,
) -> None:
    linked(session)
    stored(session, Site(id=2, client_key="k2"))

    changed = table(Customer).update().values(id=30, client_key="k2")
    session.execute(changed)
    session.execute(delete(Site).where(Site.id == 2))
    session.commit()

    [destroyed] = [one for one in recorded(session) if one.action == "destroy"]
    assert destroyed.jira_hostname is None


@pytest.mark.parametrize("how", ["do update", "replace"])
def test_a_met_row_that_an_upsert_linked_anew_is_not_one_that_others_see(
    session: Session, how: str
) -> None:
    linked(session)
    stored(session, Site(id=2, client_key="k2"), Link(id=9, client_key="k9"))

    link_site(session, how, "k9")
    session.execute(delete(Link))
    session.commit()

    told = {one.subject_id: one for one in recorded(session)}
    assert told["9"].jira_integration_id is None
    assert told["7"].jira_integration_id == 1


def test_a_new_link_that_got_another_key_is_still_not_one_that_others_see(
    session: Session,
) -> None:
    linked(session)
    stored(session, Site(id=2, client_key="k2"))

    session.execute(insert(Link), [{"id": 20, "client_key": "k2", "github_id": 5}])
    session.execute(update(Link).where(Link.id == 20).values(id=30))
    session.execute(delete(Site).where(Site.id == 2))
    session.commit()

    told = {one.type: one for one in recorded(session) if one.subject_id == "2"}
    assert told["installation.destroy"].github_installation_id is None


def test_a_row_that_is_not_there_is_not_left_out_when_another_gets_its_key(
    session: Session,
) -> None:
    linked(session)

    session.execute(update(Link).where(Link.id == 30).values(client_key="k2"))
    session.execute(text("UPDATE link SET id = 30 WHERE id = 7"))
    session.execute(delete(Site))
    session.commit()

    told = {one.type: one for one in recorded(session)}
    assert told["installation.destroy"].github_installation_id == 77


def test_a_link_that_failed_to_be_made_twice_is_one_that_others_see(
    session: Session,
) -> None:
    linked(session)

    with pytest.raises(IntegrityError), session.begin_nested():
        twice = [{"id": 7, "client_key": "k", "github_id": 5}] * 2
        session.execute(insert(Link), twice)
    session.execute(delete(Site))
    session.commit()

    assert only_event(session).github_installation_id == 77


def link_site(session: Session, how: str, key: str) -> None:
    """Upsert site 2 under another client key."""
    kind, values = session.get_bind().dialect.name, {"id": 2, "client_key": key}
    if how == "do update":
        made: Any = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mysql}[kind]
        upsert = made.insert(table(Site)).values(**values, enabled=True)
        if kind == "mariadb":
            upsert = upsert.on_duplicate_key_update(client_key=key)
        else:
            upsert = upsert.on_conflict_do_update(
                index_elements=["id"], set_={"client_key": key}
            )
        session.execute(upsert)
        return
    if kind == "postgresql":
        pytest.skip("PostgreSQL has no REPLACE")
    sql = "REPLACE INTO site (id, client_key, enabled) VALUES (:id, :client_key, true)"
    session.execute(text(sql), values)


@pytest.mark.parametrize("way", [Orm(), Bulk(), Raw()])
def test_of_several_rows_that_a_subquery_finds_one_is_told(
    session: Session, way: Any
) -> None:
    """PostgreSQL and MariaDB refuse a second row, and so what the program does."""
    hosts = {"https://one.example", "https://two.example"}
    customers = [Customer(host=host, client_key="k") for host in hosts]
    stored(session, *customers, Site(id=1, client_key="k"))

    way.delete(session, Site, 1)
    session.commit()

    *_, event = recorded(session)
    assert event.action == "destroy"
    assert event.jira_hostname in hosts
