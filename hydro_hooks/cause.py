"""Why a change is made, and by whom: a context variable and the block that sets it.

    with because(Reason.STAFFTOOLS_API, github_actor="octocat", note="ticket 4711"):
        session.delete(row)
        session.commit()

    @because(Reason.JIRA_WEBHOOK, jira_actor=lambda request: request.jwt.get("sub"))
    def uninstalled(request): ...

An inner block overrides what it names and inherits the rest. What was in force before
the block is in force after it, also when it raises, and also when a generator is
left while the block is open.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from types import TracebackType
from typing import Any, Final, TypeVar, cast

logger = logging.getLogger(__name__)

MAX_REASON: Final = 200
MAX_NOTE: Final = 2000
MAX_ACTOR: Final = 255

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class Reason(StrEnum):
    """The reasons of the decision record; any other short text is accepted too."""

    STAFFTOOLS_API = "stafftools-api"
    JIRA_WEBHOOK = "jira webhook"
    WEB_INTERACTION = "web interaction"
    GITHUB_WEBHOOK = "github webhook"
    UNATTRIBUTED = "unattributed"


class Inherit(Enum):
    """The type of `INHERIT`: take the value of the surrounding block."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return self.name


INHERIT: Final = Inherit.INHERIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a change was made, and by whom.

    Args:
        reason: 1 to 200 characters, such as a `Reason`.
        github_actor: A GitHub login, or a numeric GitHub user id.
        jira_actor: An Atlassian account id.
        note: Up to 2,000 characters of free text, such as a ticket number.
    """

    reason: str = Reason.UNATTRIBUTED.value
    github_actor: int | str | None = None
    jira_actor: str | None = None
    note: str | None = None


UNATTRIBUTED: Final = Cause()


class _Frame:
    """One open block: what is in force in it, and what was before it."""

    __slots__ = ("cause", "outer", "owner", "token")

    def __init__(self, cause: Cause, owner: object, outer: _Frame | None) -> None:
        self.cause = cause
        self.owner = owner
        self.outer = outer
        self.token: Token[_Frame | None] | None = None


_current: ContextVar[_Frame | None] = ContextVar("hydro_hooks_cause", default=None)


def current_cause() -> Cause:
    """Return the cause in force here; `Cause()` (unattributed) when there is none."""
    frame = _current.get()
    return UNATTRIBUTED if frame is None else frame.cause


def _enter(cause: Cause, owner: object) -> None:
    frame = _Frame(cause, owner, _current.get())
    frame.token = _current.set(frame)


def _leave(owner: object) -> None:
    frame = _current.get()
    if frame is not None and frame.owner is owner and frame.token is not None:
        try:
            _current.reset(frame.token)
        except ValueError:
            # Entered in another context, of which this one is a copy: a server that
            # runs the two halves of a generator in two threads does that.
            _current.set(frame.outer)
    else:
        _current.set(_without(frame, owner))


def _without(frame: _Frame | None, owner: object) -> _Frame | None:
    """Return the chain of blocks less `owner`'s innermost one.

    Blocks close out of order when a generator that holds one open is resumed from
    within another block; the others must not notice.
    """
    if frame is None:
        return None
    if frame.owner is owner:
        return frame.outer
    return _Frame(frame.cause, frame.owner, _without(frame.outer, owner))


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
    a warning and the handler runs without that value.

    Raises:
        ValueError: Text that is empty, too long, or has NUL or a lone surrogate.
        TypeError: A value of another type.
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
        _enter(cause, self)
        return cause

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _leave(self)

    def __call__(self, function: AnyFunction) -> AnyFunction:
        """Return `function` with the cause in force whenever its body runs.

        Raises:
            TypeError: A class, or the object that @staticmethod or @classmethod makes.
        """
        if isinstance(function, (type, staticmethod, classmethod)):
            kind = "a class" if isinstance(function, type) else "a method object"
            message = (
                f"@because cannot decorate {kind}: decorate the functions themselves,"
                " below @staticmethod or @classmethod"
            )
            raise TypeError(message)
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

    def _cause_of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Cause:
        if not self._is_dynamic:
            return _merged(self._given)
        return _merged(
            {
                name: _called(name, value, args, kwargs) if callable(value) else value
                for name, value in self._given.items()
            }
        )

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            cause = self._cause_of_call(args, kwargs)
            token = _current.set(_Frame(cause, wrapper, _current.get()))
            try:
                result = function(*args, **kwargs)
            finally:
                _current.reset(token)
            if inspect.iscoroutine(result):
                return _awaited(result, cause)
            return result

        return wrapper

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(
                function(*args, **kwargs), self._cause_of_call(args, kwargs)
            )

        return wrapper

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inside = _Inside(self._cause_of_call(args, kwargs))
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
            inside = _Inside(self._cause_of_call(args, kwargs))
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
    token = _current.set(_Frame(cause, coroutine, _current.get()))
    try:
        return await coroutine
    finally:
        _current.reset(token)


class _Inside:
    """What is in force inside a generator, put aside whenever it yields.

    Blocks that the body itself opened are kept over the yield; the consumer never
    sees them.
    """

    __slots__ = ("_frame", "_token")

    def __init__(self, cause: Cause) -> None:
        self._frame: _Frame | None = _Frame(cause, self, _current.get())

    def __enter__(self) -> None:
        self._token = _current.set(self._frame)

    def __exit__(self, *exc_info: object) -> None:
        self._frame = _current.get()
        try:
            _current.reset(self._token)
        except ValueError:
            # An async generator may be resumed in another context than it yielded in.
            _current.set(None)


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


def _called(
    name: str,
    value: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    try:
        return checked(name, value(*args, **kwargs))
    except Exception as error:
        # The value stays out of the log: it may be a person's, or a token by mistake.
        logger.warning(
            "because(): no %s, its callable failed with %s", name, type(error).__name__
        )
        return None


def checked(name: str, value: Any) -> Any:
    """Return an argument of `because()` as a cause keeps it, or raise.

    Args:
        name: `reason`, `github_actor`, `jira_actor` or `note`.
        value: What was given; None is accepted and returned.

    Raises:
        ValueError: Empty, too long, NUL, a lone surrogate, or an id below 1.
        TypeError: Neither text nor, for `github_actor`, an integer.
    """
    if value is None:
        return None
    if name == "github_actor" and isinstance(value, int) and type(value) is not bool:
        if value < 1:
            message = (
                f"because(): github_actor is {value}; a GitHub user id is positive"
            )
            raise ValueError(message)
        return int(value)
    if not isinstance(value, str):
        wanted = "a login or a numeric id" if name == "github_actor" else "text"
        message = f"because(): {name} is a {type(value).__name__}; give {wanted}"
        raise TypeError(message)
    limit = {"reason": MAX_REASON, "note": MAX_NOTE}.get(name, MAX_ACTOR)
    return _checked_text(name, str(value), limit)


def _checked_text(name: str, text: str, limit: int) -> str:
    problem = None
    if not text.strip():
        problem = "is empty; give some text, or None to clear it"
    elif len(text) > limit:
        problem = f"has {len(text):,} characters; at most {limit:,} are kept"
    elif "\0" in text:
        problem = "holds a NUL character, which databases refuse; take it out"
    elif not _is_unicode(text):
        problem = "holds a lone surrogate, which is not text; decode it properly"
    if problem:
        message = f"because(): {name} {problem}"
        raise ValueError(message)
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def carry() -> dict[str, str]:
    """Return the cause in force as text, to travel with a job; see `carried()`.

    Returns:
        At most the keys `reason`, `github_actor` (a login), `github_actor_id`,
        `jira_actor` and `note`; empty when nothing is in force.
    """
    cause = current_cause()
    if cause == UNATTRIBUTED:
        return {}
    is_id = isinstance(cause.github_actor, int)
    values = {
        "reason": cause.reason,
        "github_actor_id" if is_id else "github_actor": cause.github_actor,
        "jira_actor": cause.jira_actor,
        "note": cause.note,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def carried(mapping: Mapping[str, str]) -> because:
    """Return a block in which the cause that `carry()` gave is in force.

    Nothing is inherited from around it: the job runs for whoever sent it.

    Args:
        mapping: What `carry()` gave; other keys are ignored, missing ones are none.

    Raises:
        ValueError: A value that `because()` would refuse.
    """
    number = mapping.get("github_actor_id")
    return because(
        mapping.get("reason"),
        github_actor=mapping.get("github_actor") if number is None else int(number),
        jira_actor=mapping.get("jira_actor"),
        note=mapping.get("note"),
    )
