"""Two small projects of a user: one that mypy accepts, and one with mistakes."""

from __future__ import annotations

from typing import Final

MODELS: Final = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Installation(Base):
    __tablename__ = "installation"
    id: Mapped[int] = mapped_column(primary_key=True)
    jira_host: Mapped[str]
    enabled: Mapped[bool]
"""

RIGHT: Final = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from models import Base, Installation
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from hydro_hooks import (
    Cause,
    Event,
    Hooks,
    Reason,
    because,
    create_tables,
    current_cause,
    installation,
    register,
)
from hydro_hooks.testing import capture_events


def start(url: str) -> Engine:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    create_tables(engine)
    hooks = register(
        installation(
            Installation,
            jira_hostname=Installation.jira_host,
            enabled="enabled",
            present=Installation.id > 0,
        )
    )
    assert_type(hooks, Hooks)
    return engine


@because(Reason.JIRA_WEBHOOK, jira_actor=lambda request, **_: request["sub"])
def enabled(request: dict[str, str], *, retries: int = 0) -> int:
    return retries + len(request)


@because("nightly clean-up", github_actor=None)
async def tidied(days: int) -> str:
    return current_cause().reason


@because("nightly clean-up")
def each(count: int) -> Iterator[int]:
    yield from range(count)


@because("nightly clean-up")
async def each_later(count: int) -> AsyncIterator[int]:
    yield count


class Shop:
    @because("web interaction")
    def open(self, host: str) -> bool:
        return bool(host)


async def main(engine: Engine) -> None:
    assert_type(enabled({"sub": "557058:0f9b"}, retries=2), int)
    assert_type(await tidied(3), str)
    assert_type(each(3), Iterator[int])
    assert_type(each_later(3), AsyncIterator[int])
    assert_type(Shop().open("acme"), bool)
    with capture_events(engine) as events, Session(engine) as session:
        with because("web interaction", github_actor="octocat", note=None) as cause:
            assert_type(cause, Cause)
            session.add(Installation(jira_host="https://acme.test", enabled=True))
            session.commit()
    assert_type(events, list[Event])
    assert_type(events[0].jira_hostname, str | None)
    assert_type(events[0].github_actor, int | str | None)
"""

WRONG: Final = """
from models import Installation
from sqlalchemy import create_engine

from hydro_hooks import Reason, because, create_tables, installation, register
from hydro_hooks.testing import capture_events

engine = create_engine("sqlite://")
create_tables("sqlite://")  # arg-type
register(Installation)  # arg-type
register(installation(Installation, jira_hostname=7))  # arg-type
register(installation(Installation, jira_host="jira_host"))  # call-arg
register(installation(Installation), on_failure="ignore")  # arg-type


@because(Reason.JIRA_WEBHOOK)
def enabled(request: dict[str, str]) -> int:
    return len(request)


enabled("request")  # arg-type
enabled()  # call-arg
host: str = enabled({})  # assignment
because(7)  # arg-type
because(Reason.JIRA_HOOK)  # attr-defined
because("web interaction", github_actor=1.5)  # arg-type
because("web interaction", actor="octocat")  # call-arg
with because("web interaction", jira_actor=583231):  # arg-type
    pass
with capture_events("sqlite://") as events:  # arg-type
    pass
events[0].reason = "other"  # misc
events[0].host  # attr-defined
"""
"""Each mistake says which of mypy's errors it is."""
