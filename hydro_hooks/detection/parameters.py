"""The parameters of a program's statement, in a SELECT that is made of its clauses.

A compiled statement is used again with other values; the SELECT is made once, and takes
those of the execution at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import BindParameter, Column, bindparam
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from hydro_hooks.detection.sql_tokens import VOLATILE

Parameters = Mapping[str, Any]
"""Of one execution: the values of a statement's parameters, by name."""


PREFIX: Final = "program_"
"""Keeps the program's parameters apart from those of a model's own expressions."""


UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What a type raises of a value that it does not know. What else is raised meanwhile,
such as a job's time limit, is the program's."""


class NotFollowedError(Exception):
    """A statement cannot be asked which rows it touches; the text says why."""


def values_of(names: Mapping[str, bool], parameters: Parameters) -> dict[str, Any]:
    """Return the values of named parameters; of those that are true, as lists."""
    return {
        PREFIX + name: list(expanded(parameters, name)) if is_list else parameters[name]
        for name, is_list in names.items()
    }


def name_of_value(
    column: Column[Any], value: BindParameter[Any], names: Mapping[Any, str]
) -> str:
    """Return the name under which a SET's or VALUES' parameter was compiled.

    What the program gave as a plain value gets the column's key, but not in a CTE; the
    compiler has a copy of it then.
    """
    copies = (name for one, name in names.items() if one.key == value.key)
    name = names.get(value) or next(copies, None)
    return name or (column.key if value.unique else value.key)


def parameters_in(
    where: ClauseElement, names: Mapping[Any, str]
) -> Iterator[tuple[str, bool]]:
    """Yield the names of the parameters in a clause, and whether each is a list."""
    for element in iterate(where):
        if isinstance(element, BindParameter) and element in names:
            yield names[element], element.expanding


def named(where: Any, names: Mapping[Any, str]) -> Any:
    """Return a clause whose parameters wait for values, under compiled names.

    Raises:
        NotFollowedError: It would run another statement that changes some.
    """
    for element in iterate(where):
        if getattr(element, "is_dml", False):
            message = "it finds its rows by another statement that changes some"
            raise NotFollowedError(message)
        name = getattr(element, "name", "")
        if isinstance(element, FunctionElement) and name.lower() in VOLATILE:
            message = f"asked twice, {name}() gives something else"
            raise NotFollowedError(message)

    def replace(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter):
            return None
        name = names.get(element)
        if name is None:
            message = "it has a parameter without a name"
            raise NotFollowedError(message)
        return bindparam(
            PREFIX + name,
            type_=element.type,
            expanding=element.expanding,
            literal_execute=element.literal_execute,
        )

    return replacement_traverse(where, {}, replace)


def expanded(parameters: Parameters, name: str) -> Iterator[Any]:
    """Yield the values of a list, which an execution holds one by one."""
    if name in parameters:
        yield from parameters[name]
        return
    number = 1
    while f"{name}_{number}" in parameters:
        yield parameters[f"{name}_{number}"]
        number += 1
    while f"{name}_{number}_1" in parameters:
        width = 1
        while f"{name}_{number}_{width + 1}" in parameters:
            width += 1
        yield tuple(parameters[f"{name}_{number}_{at + 1}"] for at in range(width))
        number += 1
