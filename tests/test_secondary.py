"""Rows of a relationship's `secondary` table that are subjects, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from linked_models import happened
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
)

from hydro_hooks import because, register, subscription


class Base(DeclarativeBase):
    pass


class Link(Base):
    __tablename__ = "link"

    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), primary_key=True)
    org_id: Mapped[int] = mapped_column(ForeignKey("org.id"), primary_key=True)


class Site(Base):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    orgs: Mapped[list[Org]] = relationship(
        secondary=Link.__table__, back_populates="sites"
    )


class Org(Base):
    __tablename__ = "org"

    id: Mapped[int] = mapped_column(primary_key=True)
    sites: Mapped[set[Site]] = relationship(
        secondary=Link.__table__, back_populates="orgs"
    )


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    meaning = subscription(Link, github_installation_id="org_id")
    with register(meaning), Session(engine) as session:
        yield session


def test_objects_are_linked_where_the_one_is_put_to_the_other(session: Session) -> None:
    site = Site(id=1)
    session.add(site)
    with because("linked"):
        site.orgs.append(Org(id=7))
    with because("linked from there"):
        site.orgs[0].sites.add(Site(id=2))
    with because("something else"):
        session.commit()

    assert happened(session) == [
        "subscription.create [1,7]: linked",
        "subscription.create [2,7]: linked from there",
    ]


def test_they_are_parted_where_the_one_is_taken_from_the_other(
    session: Session,
) -> None:
    first, second, third = (Org(id=number) for number in (7, 8, 9))
    site = Site(id=1, orgs=[first, second, third])
    session.add(site)
    session.commit()
    with because("parted"):
        site.orgs.remove(first)
    with because("replaced"):
        site.orgs = [third, Org(id=10)]
    with because("something else"):
        session.commit()

    made = [f"subscription.create [1,{number}]: unattributed" for number in (7, 8, 9)]
    assert sorted(set(happened(session)).difference(made)) == [
        "subscription.create [1,10]: replaced",
        "subscription.destroy [1,7]: parted",
        "subscription.destroy [1,8]: replaced",
    ]


@pytest.mark.parametrize("deleted", [Site, Org])
def test_they_are_parted_where_the_one_is_deleted(
    session: Session, deleted: type[Base]
) -> None:
    session.add(Site(id=1, orgs=[Org(id=1)]))
    session.commit()
    with because("deleted"):
        session.delete(session.get_one(deleted, 1))
    with because("something else"):
        session.commit()

    assert happened(session)[1:] == ["subscription.destroy [1,1]: deleted"]


def test_a_link_that_was_flushed_blames_nobody_for_a_later_one(
    session: Session,
) -> None:
    site, org = Site(id=1), Org(id=7)
    session.add_all([site, org])
    with because("linked"):
        site.orgs.append(org)
    session.commit()
    with because("deleted by a statement"):
        session.query(Link).delete()
        session.commit()
    session.expire_all()
    with because("linked again"):
        site.orgs.append(org)
    session.commit()

    assert happened(session) == [
        "subscription.create [1,7]: linked",
        "subscription.create [1,7]: linked again",
        "subscription.destroy [1,7]: deleted by a statement",
    ]
