"""What `because()` is given: functions that are none of its arguments, and callables.

A callable is asked on each call of the handler that is decorated. What it does wrong is
never the handler's: the change is recorded without its value, and a warning says why.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from hydro_hooks.cause.values import checked
from hydro_hooks.errors import with_article

# Any, in all of this file: what the program gives, and what its functions take.

logger = logging.getLogger(__name__)

REMEDY: Final = "@because(Reason.JIRA_WEBHOOK), or @because() to inherit everything"
_MAKERS: Final = {"celery": "@app.task", "click": "@click.command()"}
"""What makes more than a function of one, by package."""

_METHODS: Final = (staticmethod, classmethod, property)


def refuse_decorated(reason: Any) -> None:
    """Raise where the sole argument of `because()` is what it should have decorated.

    A lambda or another callable that has no name is a reason to be asked for.

    Raises:
        TypeError: It is a function, a method object or a class; names it.
    """
    if isinstance(reason, type) and issubclass(reason, Enum):
        [member, *_] = reason.__members__ or ["MEMBER"]
        message = (
            f"because(): reason is the class {reason.__name__}; give one of its"
            f" members, such as {reason.__name__}.{member}"
        )
        raise TypeError(message)
    if isinstance(reason, type):
        message = (
            f"@because is written without parentheses on the class {name_of(reason)},"
            f" and decorates no class: write {REMEDY}, on its functions"
        )
        raise TypeError(message)
    body = reason.fget if isinstance(reason, property) else reason
    body = getattr(body, "__func__", body) if isinstance(reason, _METHODS) else body
    if inspect.isfunction(body) and body.__name__ != "<lambda>":
        message = (
            f"@because is written without parentheses on {name_of(body)}: write"
            f" {REMEDY}; if {body.__name__}() is to give the reason, write"
            f" @because(lambda *args, **kwargs: {body.__name__}(*args, **kwargs))"
        )
        raise TypeError(message)


def refuse_undecorable(function: Any) -> None:
    """Raise unless `because(...)` can decorate it.

    Raises:
        TypeError: It is a class, a method object, a property, a task, a command or no
            function at all.
    """
    kind = None
    if isinstance(function, type):
        kind = "a class"
    elif isinstance(function, (staticmethod, classmethod)):
        kind = "a method object"
    if kind is not None:
        message = (
            f"@because cannot decorate {kind}: decorate the functions themselves,"
            " below @staticmethod or @classmethod"
        )
        raise TypeError(message)
    if isinstance(function, property):
        message = (
            f"@because cannot decorate a property ({name_of(function.fget)}): decorate"
            " its function, below @property"
        )
        raise TypeError(message)
    # By name: not every program has these.
    made_by = {kind.__module__.partition(".")[0] for kind in type(function).__mro__}
    for package in made_by & _MAKERS.keys():
        message = (
            f"@because cannot decorate {with_article(type(function).__name__)}, which"
            f" would be one no longer: put it below {_MAKERS[package]}"
        )
        raise TypeError(message)
    if not callable(function):
        message = (
            f"because() was called with {type(function).__name__}, which is no"
            f" function: was @because written without parentheses? Write {REMEDY}"
        )
        raise TypeError(message)


def asked(
    name: str,
    ask: Callable[..., Any],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Return what a callable gives for an argument, or None, which is logged.

    Args:
        name: Of the argument of `because()`.
        ask: The callable.
        function: The handler.
        args: What the handler is called with.
        kwargs: The same, by name.
    """
    try:
        value = ask(*args, **kwargs)
    except Exception as error:
        # What it says stays out of the log: it may hold a token, or a person.
        problem = f"failed with {type(error).__name__}{_place_of(error)}"
        if isinstance(error, TypeError) and not _takes(ask, args, kwargs):
            problem = "could not be called with the handler's arguments"
    else:
        if not inspect.iscoroutine(value):
            try:
                return checked(name, value)
            except (TypeError, ValueError) as error:
                problem = _told(name, error)
        else:
            value.close()
            problem = "is a coroutine function; give a plain one"
    logger.warning(
        "%s: recorded without %s, as its callable %s",
        _asker(function),
        name,
        problem,
    )
    return None


def _asker(function: Any) -> str:
    """Return what the program has written that asks."""
    owner = type(getattr(function, "__self__", None))
    if owner.__module__.startswith("hydro_hooks.integrations."):
        return f"{owner.__name__}(...)"
    return f"@because on {name_of(function)}"


def _place_of(error: Exception) -> str:
    """Return where in the callable it was raised; nothing where it was not reached."""
    frame = error.__traceback__ and error.__traceback__.tb_next
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return ""
    return f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"


def _takes(
    ask: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    try:
        inspect.signature(ask).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say
        return True
    return True


def _told(name: str, error: Exception) -> str:
    """Return what was given, of what `because()` itself says, which quotes no text."""
    problem = str(error).partition(f"{name} ")[2]
    if isinstance(error, TypeError):
        return f"gave {problem.removeprefix('is ')}"
    return f"gave a value that {problem}"


def name_of(function: Any) -> str:
    """Return a function's name as the program knows it."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{getattr(function, '__module__', '?')}.{name}"
