"""A cause is in force in its block and nowhere else, whatever happens in it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import logging
import threading
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hydro_hooks import (
    INHERIT,
    Cause,
    Reason,
    because,
    carried,
    carry,
    current_cause,
)


def reason() -> str:
    return current_cause().reason


def test_without_a_block_nothing_is_attributed() -> None:
    assert current_cause() == Cause(reason="unattributed")


def test_the_block_gives_the_cause_and_takes_it_back() -> None:
    with because(Reason.STAFFTOOLS_API, github_actor="octocat", note="4711") as cause:
        inside = current_cause()

    assert inside == cause
    assert inside == Cause(reason="stafftools-api", github_actor="octocat", note="4711")
    assert reason() == "unattributed"


def test_an_inner_block_inherits_what_it_does_not_name() -> None:
    with because("outer", github_actor=583231, jira_actor="557058:x"):
        with because(jira_actor="other"):
            inside = current_cause()

    assert inside == Cause(reason="outer", github_actor=583231, jira_actor="other")


def test_a_note_does_not_pass_to_a_different_reason() -> None:
    with because("outer", note="about outer"):
        with because("inner"):
            inner = current_cause()
        with because("outer"):
            same = current_cause()
        with because(github_actor="octocat"):
            actor_only = current_cause()

    assert inner.note is None
    assert same.note == "about outer"
    assert actor_only.note == "about outer"


def test_none_clears() -> None:
    with because("outer", github_actor="octocat", note="n"):
        with because(None, github_actor=None):
            inside = current_cause()

    assert inside == Cause()


def test_inherit_is_the_default() -> None:
    with because("outer", github_actor="octocat"):
        with because(INHERIT, github_actor=INHERIT):
            inside = current_cause()

    assert inside.github_actor == "octocat"


def test_the_outer_actor_is_back_after_an_inner_block() -> None:
    with because("outer", github_actor="outer-actor"):
        with because("inner", github_actor="inner-actor"):
            assert current_cause().github_actor == "inner-actor"
        after = current_cause()

    assert after.github_actor == "outer-actor"


def test_the_actor_is_gone_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), because("failing", github_actor="octocat"):
        raise ZeroDivisionError

    assert current_cause() == Cause()


def test_one_instance_may_be_entered_again_inside_itself() -> None:
    block = because("again")
    with block, because("between"), block:
        assert reason() == "again"

    assert reason() == "unattributed"


def test_one_instance_may_be_used_by_many_threads() -> None:
    block = because("shared")
    barrier = threading.Barrier(8)

    def use() -> tuple[str, str]:
        with block:
            barrier.wait()
            inside = reason()
        barrier.wait()
        return inside, reason()

    with ThreadPoolExecutor(8) as pool:
        seen = [future.result() for future in [pool.submit(use) for _ in range(8)]]

    assert seen == [("shared", "unattributed")] * 8


def test_a_function_runs_with_the_cause() -> None:
    @because("decorated")
    def handler(x: int) -> tuple[int, str]:
        """Say it."""
        return x, reason()

    assert handler(3) == (3, "decorated")
    assert (handler.__name__, handler.__doc__) == ("handler", "Say it.")
    assert reason() == "unattributed"


def test_a_function_that_raises_leaves_nothing_behind() -> None:
    @because("decorated")
    def handler() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handler()

    assert reason() == "unattributed"


def test_a_decorated_function_may_call_itself() -> None:
    @because("recursive")
    def count_down(n: int) -> list[str]:
        return [reason(), *(count_down(n - 1) if n else [])]

    assert count_down(2) == ["recursive"] * 3


def test_methods_are_decorated_below_staticmethod_and_classmethod() -> None:
    class Handler:
        @because("method")
        def method(self) -> str:
            return reason()

        @classmethod
        @because("class method")
        def of_class(cls) -> str:
            return reason()

        @staticmethod
        @because("static method")
        def static() -> str:
            return reason()

    assert (Handler().method(), Handler.of_class(), Handler.static()) == (
        "method",
        "class method",
        "static method",
    )


def test_a_class_or_a_method_object_is_refused() -> None:
    with pytest.raises(TypeError, match="a class"):
        because("x")(type("Handler", (), {}))
    with pytest.raises(TypeError, match="below @staticmethod"):
        because("x")(staticmethod(len))


def test_arguments_may_be_callables_of_the_handlers_arguments() -> None:
    @because(
        lambda request: request["reason"],
        github_actor=lambda request: request["sender"],
        jira_actor=lambda request: None,
    )
    def handler(request: dict[str, str]) -> Cause:
        return current_cause()

    assert handler({"reason": "from request", "sender": "octocat"}) == Cause(
        reason="from request", github_actor="octocat"
    )


def test_a_callable_that_raises_leaves_its_value_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(request: object) -> str:
        message = "the token was s3cr3t"
        raise KeyError(message)

    @because(Reason.JIRA_WEBHOOK, jira_actor=failing, github_actor=lambda request: "")
    def handler(request: object) -> Cause:
        return current_cause()

    assert handler(object()) == Cause(reason="jira webhook")
    assert "without jira_actor, as its callable failed with KeyError" in caplog.text
    assert (
        "without github_actor, as its callable gave a value that is empty; give some"
        " text, or None to clear it"
    ) in caplog.text
    assert "<locals>.handler" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_callable_that_raises_does_not_blame_the_outer_actor() -> None:
    def failing() -> str:
        raise KeyError

    @because(github_actor=failing)
    def handler() -> Cause:
        return current_cause()

    with because("outer", github_actor="somebody-else"):
        assert handler() == Cause(reason="outer")


def test_a_callable_is_refused_in_a_with_block() -> None:
    with pytest.raises(TypeError, match="jira_actor is a callable"):
        with because("x", jira_actor=lambda: "a"):
            pass


def test_a_coroutine_function_runs_with_the_cause() -> None:
    @because(lambda x: f"for {x}")
    async def handler(x: int) -> list[str]:
        seen = [reason()]
        await asyncio.sleep(0)
        return [*seen, reason()]

    assert inspect.iscoroutinefunction(handler)
    assert asyncio.run(handler(3)) == ["for 3", "for 3"]


def test_a_function_that_returns_a_coroutine_runs_it_with_the_cause() -> None:
    async def body() -> str:
        await asyncio.sleep(0)
        return reason()

    handler = because("returned")(functools.partial(body))

    assert asyncio.run(handler()) == "returned"


def test_tasks_do_not_see_each_others_causes() -> None:
    @because(lambda name: name)
    async def handler(name: str) -> str:
        await asyncio.sleep(0)
        return reason()

    async def both() -> tuple[str, str]:
        first, second = await asyncio.gather(handler("a"), handler("b"))
        return first, second

    assert asyncio.run(both()) == ("a", "b")


def test_a_task_started_in_a_block_keeps_its_cause_after_it() -> None:
    async def work(gate: asyncio.Event) -> str:
        await gate.wait()
        return reason()

    async def main() -> tuple[str, str]:
        gate = asyncio.Event()
        with because("spawned"):
            task = asyncio.create_task(work(gate))
        gate.set()
        return reason(), await task

    assert asyncio.run(main()) == ("unattributed", "spawned")


def test_a_generator_runs_with_the_cause_and_its_consumer_without() -> None:
    @because("generator")
    def rows() -> Iterator[str]:
        for _ in range(2):
            yield reason()

    assert inspect.isgeneratorfunction(rows)
    seen = [(inside, reason()) for inside in rows()]
    assert seen == [("generator", "unattributed")] * 2


def test_a_block_open_in_a_generator_is_kept_over_its_yields() -> None:
    @because("generator")
    def rows() -> Iterator[str]:
        with because("inner"):
            yield reason()
            yield reason()
        yield reason()

    seen = []
    with because("consumer"):
        for inside in rows():
            assert reason() == "consumer"
            with because("consumer's own"):
                seen.append(inside)

    assert seen == ["inner", "inner", "generator"]


def test_a_generator_takes_values_errors_and_close() -> None:
    seen: list[str] = []

    @because("generator")
    def body() -> Generator[str, str, str]:
        try:
            got = yield reason()
            seen.append(f"{got} {reason()}")
            try:
                yield "waiting"
            except ZeroDivisionError:
                seen.append(f"caught {reason()}")
            return "result"
        finally:
            seen.append(f"finally {reason()}")

    generator = body()
    next(generator)
    generator.send("sent")
    with pytest.raises(StopIteration) as stop:
        generator.throw(ZeroDivisionError())
    closed = body()
    next(closed)
    closed.close()

    assert stop.value.value == "result"
    assert seen == [
        "sent generator",
        "caught generator",
        "finally generator",
        "finally generator",
    ]
    assert reason() == "unattributed"


def test_an_async_generator_runs_with_the_cause_and_its_consumer_without() -> None:
    @because("async generator")
    async def rows() -> AsyncIterator[str]:
        with because(note="kept"):
            yield reason()
            await asyncio.sleep(0)
            yield str(current_cause().note)

    async def consume() -> list[tuple[str, str]]:
        return [(inside, reason()) async for inside in rows()]

    assert inspect.isasyncgenfunction(rows)
    assert asyncio.run(consume()) == [
        ("async generator", "unattributed"),
        ("kept", "unattributed"),
    ]


def test_an_async_generator_takes_values_errors_and_close() -> None:
    seen: list[str] = []

    @because("async generator")
    async def body() -> AsyncIterator[str]:
        try:
            try:
                yield "first"
            except ZeroDivisionError:
                seen.append(f"caught {reason()}")
            yield "second"
        finally:
            seen.append(f"finally {reason()}")

    async def consume() -> None:
        generator = body()
        await anext(generator)
        assert await generator.athrow(ZeroDivisionError()) == "second"  # type: ignore[attr-defined]
        await generator.aclose()  # type: ignore[attr-defined]

    asyncio.run(consume())

    assert seen == ["caught async generator", "finally async generator"]


def test_blocks_that_close_out_of_order_do_not_disturb_each_other() -> None:
    def holding() -> Iterator[None]:
        with because("held by a generator"):
            yield

    generator = holding()
    next(generator)
    with because("consumer"):
        next(generator, None)
        assert reason() == "consumer"

    assert reason() == "unattributed"


def test_a_block_entered_in_one_context_and_left_in_a_copy_is_left() -> None:
    block = because("halves")
    first = contextvars.copy_context()
    first.run(block.__enter__)
    second = first.run(contextvars.copy_context)

    second.run(block.__exit__, None, None, None)

    assert second.run(reason) == "unattributed"
    assert first.run(reason) == "halves"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"reason": ""}, ValueError, "reason is empty"),
        ({"reason": "   "}, ValueError, "reason is empty"),
        ({"reason": "x" * 5000}, ValueError, "5,000 characters; at most 200"),
        ({"reason": 5}, TypeError, "reason is an int; give text"),
        ({"reason": b"x"}, TypeError, "reason is a bytes"),
        ({"note": "x" * 2001}, ValueError, "note has 2,001 characters"),
        ({"note": "a\0b"}, ValueError, "note holds a NUL"),
        ({"note": "a\ud800b"}, ValueError, "note holds a lone surrogate"),
        ({"github_actor": True}, TypeError, "github_actor is a bool"),
        ({"github_actor": 1.5}, TypeError, "a login or a numeric id"),
        ({"github_actor": 0}, ValueError, "github_actor is 0"),
        ({"github_actor": ""}, ValueError, "github_actor is empty"),
        ({"jira_actor": 5}, TypeError, "jira_actor is an int"),
        ({"jira_actor": "x" * 256}, ValueError, "jira_actor has 256"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(
    arguments: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        because(**arguments)  # type: ignore[arg-type]


def test_the_longest_values_are_accepted() -> None:
    with because("x" * 200, note="n" * 2000, jira_actor="j" * 255, github_actor="g"):
        assert len(reason()) == 200


@pytest.mark.parametrize("actor", ["octocat", 583231, None])
def test_carry_and_carried_bring_the_cause_across(actor: int | str | None) -> None:
    with because("job", github_actor=actor, jira_actor="557058:x", note="n"):
        sent, cause = carry(), current_cause()

    with because("worker", note="the worker's own"), carried(sent):
        received = current_cause()

    assert all(isinstance(value, str) for value in sent.values())
    assert received == cause


def test_nothing_in_force_carries_nothing_and_inherits_nothing() -> None:
    assert carry() == {}
    with because("worker", github_actor="worker"), carried({}):
        assert current_cause() == Cause()


def test_because_shows_what_it_was_given() -> None:
    with (block := because("x", note=None)):
        assert repr(block) == "because(reason='x', note=None)"
    assert repr(INHERIT) == "INHERIT"


def test_the_warning_comes_from_the_librarys_logger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @because(note=lambda: 5)
    def handler() -> None:
        return None

    with caplog.at_level(logging.WARNING, logger="hydro_hooks"):
        handler()

    assert [record.name for record in caplog.records] == ["hydro_hooks.cause.given"]


def test_a_decorated_function_stays_what_it_is_to_its_callers() -> None:
    @because("inside")
    @contextlib.contextmanager
    def manager() -> Iterator[str]:
        yield current_cause().reason

    @because("inside")
    @run_at_once
    async def ran() -> str:
        return current_cause().reason

    @because("inside")
    @listed
    def items() -> Iterator[str]:
        yield current_cause().reason

    class Handler:
        async def __call__(self) -> str:
            return current_cause().reason

    handler = because("inside")(Handler())

    with manager() as reason:
        assert reason == "unattributed"  # entered later, by whoever calls it
    assert ran() == "inside"
    assert items() == ["inside"]
    assert inspect.iscoroutinefunction(handler)
    assert asyncio.run(handler()) == "inside"


def test_a_generators_arguments_may_have_any_names() -> None:
    @because("inside")
    def items(self: int, function: int) -> Iterator[int]:
        yield self + function

    assert list(items(self=1, function=2)) == [3]


def run_at_once(function: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(function)
    def wrapper() -> Any:
        return asyncio.run(function())

    return wrapper


def listed(function: Callable[[], Iterator[str]]) -> Callable[[], list[str]]:
    @functools.wraps(function)
    def wrapper() -> list[str]:
        return list(function())

    return wrapper


def handed_on(function: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(function)
    def wrapper() -> Any:
        return function()

    return wrapper


def test_what_a_wrapper_hands_on_runs_with_the_cause() -> None:
    @because("inside")
    @handed_on
    def items() -> Iterator[str]:
        yield current_cause().reason
        yield current_cause().reason

    @because("inside")
    @handed_on
    async def more() -> AsyncIterator[str]:
        yield current_cause().reason

    async def collected() -> list[str]:
        return [one async for one in more()]

    told = []
    for one in items():
        told += [one, current_cause().reason]
    assert told == ["inside", "unattributed"] * 2
    assert asyncio.run(collected()) == ["inside"]


@types.coroutine
def suspended() -> Iterator[None]:
    yield


def test_a_coroutine_may_end_in_another_context_than_it_began_in() -> None:
    @because("inside")
    async def work() -> str:
        await suspended()
        return current_cause().reason

    coroutine = work()
    contextvars.copy_context().run(coroutine.send, None)
    with because("outer"), pytest.raises(StopIteration):
        coroutine.send(None)
    with because("outer"):
        assert current_cause().reason == "outer"


def test_a_generator_that_is_closed_elsewhere_leaves_that_place_its_cause() -> None:
    @because("inside")
    async def items() -> AsyncIterator[int]:
        await suspended()
        yield 1

    async def consumed() -> None:
        async for _ in items():
            return

    coroutine = consumed()
    contextvars.copy_context().run(coroutine.send, None)
    with because("outer"):
        coroutine.close()
        del coroutine
        gc.collect()
        assert current_cause().reason == "outer"
