"""Statements, too, have the cause that is in force where they are made."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from databases import Database, begin_explicitly
from sqlalchemy import Engine, bindparam, delete, insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tracked_models import Base, Installation, Subscription

from hydro_hooks import Reason, because
from hydro_hooks.testing import recorded

TABLE = Base.metadata.tables["installation"]
DISABLE = update(Installation).values(enabled=False)
CORE_DISABLE = update(TABLE).values(is_enabled=False)
RAW_DISABLE = text("UPDATE installation SET is_enabled = false WHERE id = :key")


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def reasons(bind: Engine | Session) -> list[str]:
    """Return what happened, as in `installation.disable 1: jira webhook`."""
    return sorted(
        f"{event.type} {event.subject_id}: {event.reason}" for event in recorded(bind)
    )


Change = Callable[[Session, int], object]


def set_disabled(session: Session, key: int) -> None:
    session.get_one(Installation, key).enabled = False


def bulk_disable(session: Session, key: int) -> None:
    session.execute(DISABLE.where(Installation.id == key))


def core_disable(session: Session, key: int) -> None:
    session.connection().execute(CORE_DISABLE.where(TABLE.c.id == key))


def raw_disable(session: Session, key: int) -> None:
    session.execute(RAW_DISABLE, {"key": key})


by_statement = pytest.mark.parametrize(
    "disable", [bulk_disable, core_disable, raw_disable]
)
by_any_way = pytest.mark.parametrize(
    "disable", [set_disabled, bulk_disable, core_disable, raw_disable]
)


def enable(session: Session, key: int) -> None:
    statement = update(Installation).where(Installation.id == key)
    session.execute(statement.values(enabled=True))


@by_statement
def test_a_statement_counts_where_it_is_executed(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1))

    with because(Reason.STAFFTOOLS_API, github_actor="octocat", note="ticket 4711"):
        disable(session, 1)
    with because("committed"):
        session.commit()

    [event] = recorded(session)
    assert event.type == "installation.disable"
    assert (event.reason, event.github_actor, event.note) == (
        "stafftools-api",
        "octocat",
        "ticket 4711",
    )


def test_rows_of_one_transaction_have_the_causes_of_their_statements(
    session: Session,
) -> None:
    stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    with because("first"):
        bulk_disable(session, 1)
    with because("second"):
        session.connection().execute(delete(TABLE).where(TABLE.c.id == 2))
    with because("third"):
        session.execute(insert(Installation), [{"id": 4}, {"id": 5}])
    session.commit()

    assert reasons(session) == [
        "installation.create 4: third",
        "installation.create 5: third",
        "installation.destroy 2: second",
        "installation.disable 1: first",
    ]
    assert len({event.transaction_id for event in recorded(session)}) == 1


@by_any_way
def test_of_several_statements_the_last_that_counts_gives_the_cause(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1))

    with because("first"):
        bulk_disable(session, 1)
    with because("second"):
        enable(session, 1)
    with because("third"):
        disable(session, 1)
        session.flush()
    with because("changes nothing"):
        bulk_disable(session, 1)
    with because("bystander"):
        session.execute(update(Installation).values(secret="rotated"))
    session.commit()

    assert reasons(session) == ["installation.disable 1: third"]


@by_any_way
def test_created_by_one_and_disabled_by_a_statement_is_a_create_by_the_first(
    session: Session, disable: Change
) -> None:
    with because("creator"):
        session.add(Installation(id=1))
        session.flush()
    with because("disabler"):
        disable(session, 1)
    session.commit()

    assert reasons(session) == ["installation.create 1: creator"]
    assert recorded(session)[0].state == "disabled"


@by_any_way
def test_disabled_by_a_statement_and_deleted_by_another_is_the_others(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1))

    with because("disabler"):
        disable(session, 1)
    with because("remover"):
        session.execute(delete(Installation))
    session.commit()

    assert reasons(session) == ["installation.destroy 1: remover"]


@by_statement
def test_a_flush_forced_by_a_statement_in_another_block_keeps_the_earlier_cause(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1), Installation(id=2))

    with because("set"):
        set_disabled(session, 1)
        session.add(Installation(id=3))
    with because("executed"):
        disable(session, 2)
    session.commit()

    assert reasons(session) == [
        "installation.create 3: set",
        "installation.disable 1: set",
        "installation.disable 2: executed",
    ]


@by_any_way
def test_the_change_made_again_after_a_rolled_back_savepoint_has_its_own_cause(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1))

    with because("first"), session.begin_nested() as savepoint:
        disable(session, 1)
        session.flush()
        savepoint.rollback()
    with because("second"):
        disable(session, 1)
    session.commit()

    assert reasons(session) == ["installation.disable 1: second"]


@by_any_way
def test_the_change_made_again_after_a_rollback_has_its_own_cause(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1))

    with because("first"):
        disable(session, 1)
        session.flush()
    session.rollback()
    with because("second"):
        disable(session, 1)
    session.commit()

    assert reasons(session) == ["installation.disable 1: second"]


def test_a_cause_of_a_released_savepoint_outlives_it(session: Session) -> None:
    stored(session, Installation(id=1), Installation(id=2))

    with because("inside"), session.begin_nested():
        bulk_disable(session, 1)
    with because("outside"):
        bulk_disable(session, 2)
    session.commit()

    assert reasons(session) == [
        "installation.disable 1: inside",
        "installation.disable 2: outside",
    ]


def merge(session: Session, row: Installation) -> None:
    session.merge(Installation(id=row.id, enabled=False))
    session.merge(Installation(id=2))


def append(_session: Session, row: Installation) -> None:
    row.subscriptions.append(Subscription(id=2))


def remove(_session: Session, row: Installation) -> None:
    row.subscriptions.remove(row.subscriptions[0])


def replace(_session: Session, row: Installation) -> None:
    row.subscriptions = [Subscription(id=2)]


def take_along(session: Session, _row: Installation) -> None:
    session.add(Installation(id=2, subscriptions=[Subscription(id=2)]))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (merge, ["installation.create 2: made", "installation.disable 1: made"]),
        (append, ["subscription.create 2: made"]),
        (remove, ["subscription.destroy 1: made"]),
        (replace, ["subscription.create 2: made", "subscription.destroy 1: made"]),
        (take_along, ["installation.create 2: made", "subscription.create 2: made"]),
    ],
    ids=["merge", "append", "remove", "replace", "take along"],
)
def test_a_block_left_before_the_flush_counts(
    session: Session,
    change: Callable[[Session, Installation], None],
    expected: list[str],
) -> None:
    row = Installation(id=1, subscriptions=[Subscription(id=1)])
    stored(session, row)

    with because("made"):
        change(session, row)
    with because("flushed"):
        session.flush()
    session.commit()

    assert reasons(session) == expected


@pytest.mark.parametrize("are_loaded", [True, False], ids=["loaded", "not loaded"])
def test_children_go_by_the_cause_of_their_own_parent(
    session: Session, *, are_loaded: bool
) -> None:
    parents = [Installation(id=key) for key in (1, 2)]
    for parent in parents:
        parent.subscriptions = [
            Subscription(id=parent.id),
            Subscription(id=parent.id + 2),
        ]
    stored(session, *parents)
    if are_loaded:
        assert [len(parent.subscriptions) for parent in parents] == [2, 2]

    for parent, reason in zip(parents, ("first", "second"), strict=True):
        with because(reason):
            session.delete(parent)
    with because("flushed"):
        session.commit()

    assert reasons(session) == [
        "installation.destroy 1: first",
        "installation.destroy 2: second",
        "subscription.destroy 1: first",
        "subscription.destroy 2: second",
        "subscription.destroy 3: first",
        "subscription.destroy 4: second",
    ]


def test_children_of_all_that_is_deleted_at_once_go_by_its_cause(
    session: Session,
) -> None:
    if not hasattr(session, "delete_all"):
        pytest.skip("Session.delete_all() is new in SQLAlchemy 2.1")
    rows = [
        Installation(id=key, subscriptions=[Subscription(id=key)]) for key in (1, 2)
    ]
    stored(session, *rows)

    with because("all gone"):
        session.delete_all(rows)
    with because("flushed"):
        session.commit()

    assert {event.reason for event in recorded(session)} == {"all gone"}
    assert len(recorded(session)) == 4


def set_one(session: Session) -> None:
    session.get_one(Installation, 1).enabled = False


def bulk_one(session: Session) -> None:
    session.execute(DISABLE.where(TABLE.c.id == 2))


def core_one(session: Session) -> None:
    session.connection().execute(CORE_DISABLE.where(TABLE.c.id == 3))


def raw_one(session: Session) -> None:
    session.execute(RAW_DISABLE, {"key": 4})


def add_one(session: Session) -> None:
    session.add(Installation(id=5))


def merge_one(session: Session) -> None:
    session.merge(Installation(id=6))


def delete_one(session: Session) -> None:
    session.delete(session.get_one(Installation, 7))


def append_one(session: Session) -> None:
    session.get_one(Installation, 10).subscriptions.append(Subscription(id=1))


def remove_one(session: Session) -> None:
    session.get_one(Installation, 10).subscriptions.pop(0)


def insert_one(session: Session) -> None:
    session.execute(insert(Installation), [{"id": 8}])


def driver_delete(session: Session) -> None:
    session.connection().exec_driver_sql("DELETE FROM installation WHERE id = 9")


PLACES: dict[str, Callable[[Session], object]] = {
    "installation.disable 1": set_one,
    "installation.disable 2": bulk_one,
    "installation.disable 3": core_one,
    "installation.disable 4": raw_one,
    "installation.create 5": add_one,
    "installation.create 6": merge_one,
    "installation.destroy 7": delete_one,
    "installation.create 8": insert_one,
    "installation.destroy 9": driver_delete,
    "subscription.create 1": append_one,
    "subscription.destroy 2": remove_one,
}


def origin_in(function: Callable[..., object]) -> str:
    """Return the origin of what a function of this file does in its one line."""
    line = function.__code__.co_firstlineno + 1
    return f"{__name__}:{line} in {function.__name__}"


def test_without_a_cause_the_origin_tells_where_each_change_was_made(
    session: Session,
) -> None:
    rows = [Installation(id=key) for key in (1, 2, 3, 4, 7, 9, 10)]
    rows[-1].subscriptions = [Subscription(id=2)]
    stored(session, *rows)

    for change in PLACES.values():
        change(session)
    session.commit()

    events = recorded(session)
    assert {event.reason for event in events} == {"unattributed"}
    assert {f"{one.type} {one.subject_id}": one.origin for one in events} == {
        what: origin_in(function) for what, function in PLACES.items()
    }


# Threads.


@by_statement
def test_a_pool_of_threads_has_no_cause_unless_it_is_carried(
    tracked: Engine, disable: Change
) -> None:
    with Session(tracked) as session:
        stored(session, Installation(id=1), Installation(id=2))

    def work(key: int) -> None:
        with Session(tracked) as session:
            disable(session, key)
            session.commit()

    with ThreadPoolExecutor(1) as pool, because("submitted"):
        pool.submit(work, 1).result()
        pool.submit(contextvars.copy_context().run, work, 2).result()

    assert reasons(tracked) == [
        "installation.disable 1: unattributed",
        "installation.disable 2: submitted",
    ]


@by_any_way
def test_a_change_in_a_thread_with_its_own_block_counts_there(
    session: Session, disable: Change
) -> None:
    stored(session, Installation(id=1), Installation(id=2))

    @because("worker")
    def work() -> None:
        disable(session, 1)
        session.flush()

    with because("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        disable(session, 2)
    session.commit()

    assert reasons(session) == [
        "installation.disable 1: worker",
        "installation.disable 2: main",
    ]


# Tasks, on the asynchronous drivers.

Story = Callable[[AsyncSession], Awaitable[None]]


@pytest.fixture
def play(database: Database, tracked: Engine) -> Callable[[Story], list[str]]:
    """Return what runs a coroutine with rows 1 to 3, and tells what was recorded."""
    with Session(tracked) as session:
        stored(session, *(Installation(id=key) for key in (1, 2, 3)))

    async def run(story: Story) -> None:
        engine: AsyncEngine = create_async_engine(database.async_url)
        if database.kind == "sqlite":
            begin_explicitly(engine.sync_engine)
        async with AsyncSession(engine) as session:
            await story(session)
        await engine.dispose()

    def play(story: Story) -> list[str]:
        asyncio.run(run(story))
        return reasons(tracked)

    return play


Play = Callable[[Story], list[str]]


async def execute(session: AsyncSession, key: int) -> None:
    await session.execute(DISABLE.where(Installation.id == key))


def test_statements_of_an_async_session_are_recorded_with_their_causes(
    play: Play,
) -> None:
    async def story(session: AsyncSession) -> None:
        with because("bulk"):
            await execute(session, 1)
        connection = await session.connection()
        with because("core"):
            by_key = CORE_DISABLE.where(TABLE.c.id == bindparam("key"))
            await connection.execute(by_key, [{"key": 2}, {"key": 99}])
        with because("raw"):
            await connection.exec_driver_sql("DELETE FROM installation WHERE id = 3")
        with because("inserted"):
            await session.execute(insert(Installation), [{"id": 4}, {"id": 5}])
        await session.commit()

    assert play(story) == [
        "installation.create 4: inserted",
        "installation.create 5: inserted",
        "installation.destroy 3: raw",
        "installation.disable 1: bulk",
        "installation.disable 2: core",
    ]


def test_savepoints_of_an_async_session_are_followed(play: Play) -> None:
    async def story(session: AsyncSession) -> None:
        await execute(session, 1)
        async with session.begin_nested() as savepoint:
            await execute(session, 2)
            await savepoint.rollback()
        async with session.begin_nested():
            await execute(session, 3)
        await session.commit()
        await session.execute(delete(Installation))
        await session.rollback()

    assert play(story) == [
        "installation.disable 1: unattributed",
        "installation.disable 3: unattributed",
    ]


def test_a_nested_task_inherits_the_cause_and_keeps_its_own_to_itself(
    play: Play,
) -> None:
    async def story(session: AsyncSession) -> None:
        @because("inner")
        async def inner() -> None:
            await execute(session, 1)

        async def outer() -> None:
            await asyncio.create_task(inner())
            await execute(session, 2)

        with because("outer"):
            await asyncio.create_task(outer())
        await execute(session, 3)
        await session.commit()

    assert play(story) == [
        "installation.disable 1: inner",
        "installation.disable 2: outer",
        "installation.disable 3: unattributed",
    ]


def test_a_task_started_in_a_block_has_its_cause_after_the_block_was_left(
    play: Play,
) -> None:
    async def story(session: AsyncSession) -> None:
        async def later() -> None:
            await asyncio.sleep(0.01)
            await execute(session, 1)

        with because("started"):
            task = asyncio.create_task(later())
        with because("elsewhere"):
            await task
            await execute(session, 2)
        await session.commit()

    assert play(story) == [
        "installation.disable 1: started",
        "installation.disable 2: elsewhere",
    ]
