"""Values that a row takes from other tables, as they were before the transaction.

A field may be a subquery: an installation's GitHub id by way of its subscriptions. Of a
destroyed row the record tells what others last saw, so what such a subquery gave is
kept before the rows that it reads go or change; rows that came with the transaction, or
changed in it, are left out when it is asked later.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.expression import ScalarSelect
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from hydro_hooks.detection import rows
from hydro_hooks.detection.rows import Found, Key
from hydro_hooks.detection.transactions import TransactionLog
from hydro_hooks.fields import Field
from hydro_hooks.models import TrackedModel
from hydro_hooks.transition import Place, Subject, Values

MAX_LEFT_OUT: Final = 10_000
"""Rows of one table that a later subquery can leave out."""


def keep(
    connection: Connection,
    log: TransactionLog,
    readers: Iterable[TrackedModel],
    table: Table,
    keys: Sequence[Key],
    place: Place | None,
) -> None:
    """Keep the values that depend on rows which are about to change or go.

    Args:
        connection: Where the statement is about to run.
        log: Of its transaction.
        readers: The models with a field that reads the table.
        table: The table of the rows.
        keys: Their primary keys.
        place: The schema translation in force.
    """
    for tracked in readers:
        statement = _select_dependants(tracked, table)
        if statement is None:
            continue
        for chunk in rows.chunks(keys):
            result = connection.execute(
                statement, {"keys": chunk}, execution_options=rows.options(place)
            )
            for key, row in rows.found_in(tracked, result.fetchall()):
                subject = Subject(tracked.association, key, place)
                if log.netting.latest(subject) is None and subject not in log.before:
                    log.before[subject] = _without_touched(
                        connection, log, tracked, subject, row.values
                    )


def touch(
    log: TransactionLog, table: Table, keys: Iterable[Key], place: Place | None
) -> None:
    """Note rows of a table that is read by subqueries: they are new, or changed."""
    log.touched.setdefault((table, place), set()).update(keys)


def as_others_saw(
    connection: Connection,
    log: TransactionLog,
    tracked: TrackedModel,
    subject: Subject,
    row: Found,
) -> Found:
    """Return a row as it was before the transaction touched anything it tells of."""
    if not tracked.reads_tables:
        return row
    values = log.before.get(subject)
    if values is None:
        values = _without_touched(connection, log, tracked, subject, row.values)
    merged: list[Any] = [
        old if field is not None and field.tables else here
        for field, here, old in zip(tracked.values, row.values, values, strict=True)
    ]
    return Found(row.state, Values(*merged))


def _without_touched(
    connection: Connection,
    log: TransactionLog,
    tracked: TrackedModel,
    subject: Subject,
    values: Values,
) -> Values:
    """Return values whose subqueries leave out what the transaction brought in."""
    touched = {
        table: keys
        for (table, place), keys in log.touched.items()
        if place == subject.place and len(keys) <= MAX_LEFT_OUT
    }
    old: list[Any] = list(values)
    for number, field in enumerate(tracked.values):
        if field is not None and not field.tables.isdisjoint(touched):
            expression = _leaving_out(field, touched)
            statement = select(expression).select_from(
                tracked.mapper.persist_selectable
            )
            for column, value in zip(
                tracked.mapper.primary_key, subject.key, strict=True
            ):
                statement = statement.where(column == value)
            old[number] = connection.scalar(
                statement, execution_options=rows.options(subject.place)
            )
    return Values(*old)


def _leaving_out(field: Field, touched: dict[Table, set[Key]]) -> ColumnElement[Any]:
    def replace(element: Any, **_: Any) -> Any:
        if not isinstance(element, ScalarSelect):
            return None
        inner = element.element
        if not isinstance(inner, Select):
            return None
        for table, columns in _sources(inner, touched):
            keys = list(touched[table])
            if len(columns) == 1:
                inner = inner.where(columns[0].not_in([key[0] for key in keys]))
            else:
                inner = inner.where(tuple_(*columns).not_in(keys))
        return inner.scalar_subquery()

    changed: ColumnElement[Any] = replacement_traverse(field.expression, {}, replace)
    return changed


def _sources(
    inner: Select[Any], tables: Iterable[Table]
) -> Iterator[tuple[Table, list[ColumnElement[Any]]]]:
    """Yield the tables that a subquery reads, with the columns of their keys in it."""
    for source in inner.get_final_froms():
        for table in tables:
            sought = [source.corresponding_column(key) for key in table.primary_key]
            columns: list[Any] = [column for column in sought if column is not None]
            if columns and len(columns) == len(sought):
                yield table, columns


@functools.lru_cache(maxsize=256)
def _select_dependants(tracked: TrackedModel, table: Table) -> Select[Any] | None:
    readers = [
        condition
        for field in tracked.values
        if field is not None and table in field.tables
        for condition in _conditions(field, table)
    ]
    if not readers:
        return None
    return (
        select(*rows.columns_of(tracked))
        .select_from(tracked.mapper.persist_selectable)
        .where(or_(*readers))
    )


def _conditions(field: Field, table: Table) -> Iterator[ColumnElement[bool]]:
    """Yield, for each subquery of a field, whether it reads one of the rows."""
    for element in iterate(field.expression):
        if not isinstance(element, ScalarSelect) or not isinstance(
            element.element, Select
        ):
            continue
        inner = element.element
        for _, columns in _sources(inner, [table]):
            yield (
                inner.with_only_columns(literal(1), maintain_column_froms=True)
                .order_by(None)
                .group_by(None)
                .limit(None)
                .where(rows.is_one_of(columns))
                .exists()
            )


def forget() -> None:
    """Forget the statements: the models have changed."""
    _select_dependants.cache_clear()
