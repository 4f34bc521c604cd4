"""Whether the tracked models can be read, asked before the first change asks it.

An expression that the database refuses would otherwise fail the program's own
statement, at the first change that has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, inspect, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hydro_hooks.detection.rows import columns_of, options
from hydro_hooks.driver_errors import words_of
from hydro_hooks.errors import DatabaseError
from hydro_hooks.models import TrackedModel


def check_readable(bind: Engine | Connection, models: Iterable[TrackedModel]) -> None:
    """Raise `DatabaseError` where a model's rows cannot be read; names its arguments.

    A model whose table is not there is left out: it may be in another database.

    Args:
        bind: On the database.
        models: The tracked models.
    """
    problems = list(_problems(bind, models))
    if problems:
        place = f"the database at {bind.engine.url!r}"
        message = (
            f"{place} refuses to read {'; '.join(problems)}: correct"
            " what register() was told, or run the migration that is missing"
        )
        raise DatabaseError(message)


def _problems(
    bind: Engine | Connection, models: Iterable[TrackedModel]
) -> Iterator[str]:
    there = inspect(bind)
    found = [
        tracked
        for tracked in models
        if all(
            there.has_table(table.name, schema=table.schema)
            for table in tracked.mapper.tables
        )
    ]
    for tracked in found:
        words = _refusal(bind, tracked, columns_of(tracked))
        if words is None:
            continue
        bind = bind.engine  # a failure ends the transaction on PostgreSQL
        refused = {
            name: said
            for name, field in tracked.fields().items()
            if (said := _refusal(bind, tracked, [field.expression])) is not None
        }
        names, said = " and ".join(refused), next(iter(refused.values()), words)
        whose = f"{names} of {tracked.model.__name__}".removeprefix(" of ")
        yield f"{whose} ({said})"


def _refusal(
    bind: Engine | Connection,
    tracked: TrackedModel,
    columns: Sequence[ColumnElement[Any]],
) -> str | None:
    """Return what the database says against reading columns; None: it can be done."""
    statement = select(*columns).select_from(tracked.mapper.persist_selectable)
    try:
        if isinstance(bind, Engine):
            with bind.connect() as connection:
                connection.execute(statement.limit(0), execution_options=options(None))
        else:
            bind.execute(statement.limit(0), execution_options=options(None))
    except DBAPIError as error:
        return words_of(error)
    except SQLAlchemyError as error:  # it cannot even be put into words of SQL
        return str(error).partition("\n")[0]
    return None
