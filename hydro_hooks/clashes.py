"""Tracked models that cannot be tracked together, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Column

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel


def refuse_clashes(
    models: Sequence[TrackedModel], registered: Iterable[TrackedModel]
) -> None:
    """Raise `ConfigurationError` where models cannot be told apart, or are the same.

    Args:
        models: To be registered, in one call.
        registered: What is registered already, by others.
    """
    for at, tracked in enumerate(models):
        for other in models[:at]:
            _refuse(tracked, other, _given_twice(tracked, other))
        for other in registered:
            _refuse(tracked, other, _known_already(tracked, other))


def _refuse(tracked: TrackedModel, other: TrackedModel, of_the_same: str) -> None:
    mine, theirs = tracked.model, other.model
    names = f"{mine.__name__} and {theirs.__name__}"
    if mine is theirs:
        message = of_the_same
    elif _is_defined_anew(tracked, other):
        message = (
            f"{mine.__name__} was defined anew, as by importlib.reload(), while the"
            " class that it was before is tracked; call hooks.unregister() before the"
            " reload"
        )
    elif issubclass(mine, theirs) or issubclass(theirs, mine):
        message = f"{names} inherit from each other; track the base class alone"
    elif tracked.association == other.association:
        message = (
            f"{names} are both called {tracked.association!r}; give one a name of its"
            " own with track(Model, association=...)"
        )
    else:
        return
    raise ConfigurationError(message)


def _given_twice(tracked: TrackedModel, other: TrackedModel) -> str:
    name = tracked.model.__name__
    differing = "; ".join(_differences(other, tracked, "first", "then"))
    ends = f", and {differing}" if differing else ""
    return f"register(): {name} is given twice{ends}; give it once"


def _known_already(tracked: TrackedModel, other: TrackedModel) -> str:
    name = tracked.model.__name__
    differing = "; ".join(_differences(other, tracked, "was", "is now"))
    if differing:
        return (
            f"{name} is tracked already with another meaning: {differing}; unregister()"
            " it first, or give register() all at once"
        )
    return (
        f"{name} is registered already, by a register() of other models; leave it out"
        " here, or unregister() what that gave"
    )


def _differences(
    before: TrackedModel, after: TrackedModel, was: str, is_now: str
) -> Iterator[str]:
    first, then = before.association, after.association
    if first != then:
        yield f"association {was} {first!r}, {is_now} {then!r}"
    mine, theirs = before.fields(), after.fields()
    for name in {**mine, **theirs}:
        one, other = mine.get(name), theirs.get(name)
        if one is None or other is None or not one.expression.compare(other.expression):
            yield f"{name} {was} {_written(one)}, {is_now} {_written(other)}"


def _written(field: Field | None) -> str:
    """Return a field as the program may have written it, on one line."""
    if field is None:
        return "not given"
    if isinstance(field.expression, Column):
        return repr(next(iter(field.watched)))
    return " ".join(str(field.expression).split())


def _is_defined_anew(tracked: TrackedModel, other: TrackedModel) -> bool:
    """Return whether two classes are one, run twice: a factory's have other tables."""
    mine, theirs = (
        (each.model.__module__, each.model.__qualname__, str(each.mapper.local_table))
        for each in (tracked, other)
    )
    return mine == theirs
