"""`because`: the block and the decorator that say why."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import replace
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn, TypeVar, cast

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
    given alone is taken for one that was decorated without parentheses. A line that
    only says `because(...)`, which does nothing, is told by a RuntimeWarning.

    Raises:
        ValueError: Text that is empty, too long, or has NUL or a lone surrogate.
        TypeError: A value of another type; `@because` without parentheses.
    """

    __slots__ = ("_given", "_is_dynamic", "_made_at")

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
        made_at = _line(sys._getframe(1))  # noqa: SLF001 - the documented way
        self._made_at: tuple[CodeType, int | None] | None = made_at

    def __del__(self) -> None:
        made_at = getattr(self, "_made_at", None)  # none, if __init__() refused it
        if made_at is None or made_at != _line(sys._getframe(1)):  # noqa: SLF001 - as above
            return
        message = (
            "because(...) on a line of its own gives no reason to anything: write"
            " `with because(...):` around the changes, or @because(...) on a function"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"because({given})"

    def __enter__(self) -> Cause:
        self._made_at = None
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

    async def __aenter__(self) -> NoReturn:
        """Raise `TypeError`: nothing here is awaited."""
        self._made_at = None
        message = "write `with because(...):`, without async, in a coroutine too"
        raise TypeError(message)

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: such a block is never entered."""

    def __call__(self, function: AnyFunction) -> AnyFunction:
        """Return `function` with the cause in force whenever its body runs.

        Raises:
            TypeError: Not a function: a class, a property, or the object that
                @staticmethod or @classmethod makes.
        """
        self._made_at = None
        refuse_undecorable(function)
        # What it is to its callers counts, not what it wraps: asyncio.run(), or a
        # context manager, may be around that.
        called: Any = function if _is_function(function) else type(function).__call__
        if inspect.isasyncgenfunction(called):
            wrapper = _generating_async(functools.partial(self._begin, function))
        elif inspect.isgeneratorfunction(called):
            wrapper = _generating(functools.partial(self._begin, function))
        elif inspect.iscoroutinefunction(called):
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
        body = inspect.unwrap(function)
        wraps_generator = inspect.isgeneratorfunction(body)
        wraps_async_generator = inspect.isasyncgenfunction(body)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            cause = self._cause_of_call(function, args, kwargs)
            token = current_frame.set(Frame(cause, wrapper, current_frame.get()))
            try:
                result = function(*args, **kwargs)
            finally:
                current_frame.reset(token)
            if inspect.iscoroutine(result):
                return _awaited(result, cause)
            if wraps_generator and inspect.isgenerator(result):
                return _generating(lambda: (result, Inside(cause)))()
            if wraps_async_generator and inspect.isasyncgen(result):
                return _generating_async(lambda: (result, Inside(cause)))()
            return result

        return wrapper

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(
                function(*args, **kwargs), self._cause_of_call(function, args, kwargs)
            )

        return wrapper

    def _begin(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> tuple[Any, Inside]:
        inside = Inside(self._cause_of_call(function, args, kwargs))
        with inside:
            return function(*args, **kwargs), inside


def _line(frame: FrameType) -> tuple[CodeType, int | None]:
    return frame.f_code, frame.f_lineno


def _is_function(function: Any) -> bool:
    return inspect.isroutine(function) or isinstance(function, functools.partial)


async def _awaited(coroutine: Any, cause: Cause) -> Any:
    enter(cause, coroutine)
    try:
        return await coroutine
    finally:
        leave(coroutine)


def _generating(begin: Callable[..., tuple[Any, Inside]]) -> Callable[..., Any]:
    """Return a generator function that runs a generator inside of a cause.

    Args:
        begin: Makes the generator, and what is in force in it, of the arguments.
    """

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator, inside = begin(*args, **kwargs)
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


def _generating_async(begin: Callable[..., tuple[Any, Inside]]) -> Callable[..., Any]:
    """Return an async generator function, as `_generating()` does a plain one."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator, inside = begin(*args, **kwargs)
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
