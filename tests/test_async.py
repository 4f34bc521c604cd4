"""AsyncSession: the same record, on the asynchronous drivers of the three databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from databases import Database, begin_explicitly
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from tracked_models import Installation, Subscription, told

from hydro_hooks import because
from hydro_hooks.testing import recorded

Story = Callable[[AsyncSession], Awaitable[None]]


@pytest.fixture
def play(database: Database, tracked: Engine) -> Callable[[Story], list[str]]:
    """Return what runs a coroutine with a session, and tells what was recorded."""

    async def run(story: Story) -> None:
        engine: AsyncEngine = create_async_engine(database.async_url)
        if database.kind == "sqlite":
            begin_explicitly(engine.sync_engine)
        async with AsyncSession(engine) as session:
            await story(session)
        await engine.dispose()

    def play(story: Story) -> list[str]:
        asyncio.run(run(story))
        return told(recorded(tracked))

    return play


def test_create_disable_enable_destroy(play: Callable[[Story], list[str]]) -> None:
    async def story(session: AsyncSession) -> None:
        row = Installation()
        with because("created"):
            session.add(row)
        await session.commit()
        with because("disabled"):
            row.enabled = False  # expired: nothing may be loaded here
        await session.commit()
        with because("enabled"):
            row.enabled = True
        await session.commit()
        with because("destroyed"):
            await session.delete(row)
        await session.commit()

    assert play(story) == [
        "installation.create: created",
        "installation.disable: disabled",
        "installation.enable: enabled",
        "installation.destroy: destroyed",
    ]


def test_savepoints_and_rollbacks(play: Callable[[Story], list[str]]) -> None:
    async def story(session: AsyncSession) -> None:
        session.add(Installation())
        await session.flush()
        async with session.begin_nested() as savepoint:
            session.add(Subscription())
            await session.flush()
            await savepoint.rollback()
        await session.commit()
        session.add(Subscription())
        await session.flush()
        await session.rollback()

    assert play(story) == ["installation.create: unattributed"]


def test_cascades(play: Callable[[Story], list[str]]) -> None:
    async def story(session: AsyncSession) -> None:
        session.add(Installation(subscriptions=[Subscription()]))
        await session.commit()
        row = (await session.scalars(select(Installation))).one()
        with because("cascaded"):
            await session.delete(row)
        await session.commit()

    assert sorted(play(story))[1::2] == [
        "installation.destroy: cascaded",
        "subscription.destroy: cascaded",
    ]


def test_each_task_has_its_own_cause(
    play: Callable[[Story], list[str]], tracked: Engine
) -> None:
    @because(lambda _session, key: f"task {key}")
    async def create(session: AsyncSession, key: int) -> None:
        session.add(Installation(id=key))
        await asyncio.sleep(0)

    async def story(session: AsyncSession) -> None:
        await asyncio.gather(*(create(session, key) for key in (1, 2)))
        await session.commit()

    assert sorted(play(story)) == [
        "installation.create: task 1",
        "installation.create: task 2",
    ]


def test_the_origin_is_found_through_sqlalchemys_greenlet(
    play: Callable[[Story], list[str]], tracked: Engine
) -> None:
    async def story(session: AsyncSession) -> None:
        row = Installation()
        session.add(row)
        await session.commit()
        await remove(session, row)
        await session.commit()

    async def remove(session: AsyncSession, row: Installation) -> None:
        await session.delete(row)

    play(story)

    origin = recorded(tracked)[-1].origin
    assert origin is not None
    assert origin.startswith("tests.test_async:")
    assert origin.endswith("<locals>.remove")
