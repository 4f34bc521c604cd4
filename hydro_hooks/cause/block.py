"""`because`: the block and the decorator that say why."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar, cast

from hydro_hooks.cause.context import (
    Frame,
    Inside,
    current_cause,
    current_frame,
    enter,
    leave,
)
from hydro_hooks.cause.given import asked, refuse_decorated, refuse_undecorable
from hydro_hooks.cause.values import INHERIT, Cause, Inherit, Reason, checked

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class because:  # noqa: N801 - it reads as the word it is, like contextlib.suppress
    """Say why the changes made in a block are made, and by whom.

    A context manager and a decorator; as a decorator on functions, coroutine
    functions, generators and async generators, where each argument may be a callable
    of the handler's own arguments.

    Args:
        reason: A `Reason` or other text of 1 to 200 characters.
        github_actor: A GitHub login, or a numeric GitHub user id.
        jira_actor: An Atlassian account id.
        note: Free text of up to 2,000 characters. It is inherited only by blocks of
            the same reason.

    An argument left out is inherited from the surrounding block; `None` clears it.
    A callable that raises, or gives a value that would be refused here, is logged as
    a warning and the handler runs without that value. A function with a name that is
    given alone is taken for one that was decorated without parentheses.

    Raises:
        ValueError: Text that is empty, too long, or has NUL or a lone surrogate.
        TypeError: A value of another type; `@because` without parentheses.
    """

    __slots__ = ("_given", "_is_dynamic")

    def __init__(
        self,
        reason: str | Inherit | Callable[..., str | None] | None = INHERIT,
        *,
        github_actor: int | str | Inherit | Callable[..., Any] | None = INHERIT,
        jira_actor: str | Inherit | Callable[..., Any] | None = INHERIT,
        note: str | Inherit | Callable[..., Any] | None = INHERIT,
    ) -> None:
        if not isinstance(reason, str) and (
            github_actor is jira_actor is note is INHERIT
        ):
            refuse_decorated(reason)
        given: dict[str, Any] = {
            "reason": reason,
            "github_actor": github_actor,
            "jira_actor": jira_actor,
            "note": note,
        }
        self._given = {
            name: value if callable(value) else checked(name, value)
            for name, value in given.items()
            if value is not INHERIT
        }
        self._is_dynamic = any(callable(value) for value in self._given.values())

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"because({given})"

    def __enter__(self) -> Cause:
        if self._is_dynamic:
            dynamic = [name for name, value in self._given.items() if callable(value)]
            message = (
                f"because(): {dynamic[0]} is a callable, which has no arguments in a"
                " with block; give the value itself, or use because() as a decorator"
            )
            raise TypeError(message)
        cause = _merged(self._given)
        enter(cause, self)
        return cause

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave(self)

    def __call__(self, function: AnyFunction) -> AnyFunction:
        """Return `function` with the cause in force whenever its body runs.

        Raises:
            TypeError: Not a function: a class, a property, or the object that
                @staticmethod or @classmethod makes.
        """
        refuse_undecorable(function)
        body = inspect.unwrap(function)
        if inspect.isasyncgenfunction(body):
            wrapper = self._around_async_generator(function)
        elif inspect.isgeneratorfunction(body):
            wrapper = self._around_generator(function)
        elif inspect.iscoroutinefunction(body):
            wrapper = self._around_coroutine(function)
        else:
            wrapper = self._around_function(function)
        return cast("AnyFunction", functools.wraps(function)(wrapper))

    def _cause_of_call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Cause:
        if not self._is_dynamic:
            return _merged(self._given)
        values = dict(self._given)
        for name, value in self._given.items():
            if callable(value):
                values[name] = asked(name, value, function, args, kwargs)
        return _merged(values)

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            cause = self._cause_of_call(function, args, kwargs)
            token = current_frame.set(Frame(cause, wrapper, current_frame.get()))
            try:
                result = function(*args, **kwargs)
            finally:
                current_frame.reset(token)
            if inspect.iscoroutine(result):
                return _awaited(result, cause)
            return result

        return wrapper

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(
                function(*args, **kwargs), self._cause_of_call(function, args, kwargs)
            )

        return wrapper

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inside = Inside(self._cause_of_call(function, args, kwargs))
            with inside:
                generator = function(*args, **kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    with inside:
                        item = resume(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    resume, value = generator.send, (yield item)
                except GeneratorExit:
                    with inside:
                        generator.close()
                    raise
                except BaseException as error:
                    resume, value = generator.throw, error

        return wrapper

    def _around_async_generator(
        self, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inside = Inside(self._cause_of_call(function, args, kwargs))
            with inside:
                generator = function(*args, **kwargs)
            resume, value = generator.asend, None
            while True:
                try:
                    with inside:
                        item = await resume(value)
                except StopAsyncIteration:
                    return
                try:
                    resume, value = generator.asend, (yield item)
                except GeneratorExit:
                    with inside:
                        await generator.aclose()
                    raise
                except BaseException as error:
                    resume, value = generator.athrow, error

        return wrapper


async def _awaited(coroutine: Any, cause: Cause) -> Any:
    token = current_frame.set(Frame(cause, coroutine, current_frame.get()))
    try:
        return await coroutine
    finally:
        current_frame.reset(token)


def _merged(given: Mapping[str, Any]) -> Cause:
    outer = current_cause()
    if not given:
        return outer
    changes = dict(given)
    if "reason" in changes:
        changes["reason"] = changes["reason"] or Reason.UNATTRIBUTED.value
        if changes["reason"] != outer.reason:
            changes.setdefault("note", None)
    return replace(outer, **changes)
