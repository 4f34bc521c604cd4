"""AsyncSession: `python examples/async_session.py`."""

import asyncio

from customers import Base, Installation
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool

from hydro_hooks import Reason, because, create_tables
from hydro_hooks.testing import recorded


async def main() -> None:
    """Add a customer."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(create_tables)
    async with AsyncSession(engine) as session:
        with because(Reason.STAFFTOOLS_API, github_actor="hubot"):
            session.add(Installation())
            await session.commit()
        for event in await session.run_sync(recorded):
            print(f"{event.type}: {event.reason}, by {event.github_actor}")
    await engine.dispose()


asyncio.run(main())
