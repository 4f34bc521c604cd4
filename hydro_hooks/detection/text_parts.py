"""What a statement written as text does to tables that matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table

from hydro_hooks.detection.parts import Part, delete_part, insert_part, update_part
from hydro_hooks.detection.raw_sql import Form, Raw, Target
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.text_matching import TextMatching
from hydro_hooks.detection.text_rows import TextRows
from hydro_hooks.transition import Place


def named_in(
    connection: Connection, raw: Raw, reach: Reach
) -> list[tuple[Target, Table]]:
    """Return the tables that matter which a statement writes to, and their names in it.

    Args:
        connection: Where it is about to run.
        raw: What was understood of it.
        reach: Which tables matter.
    """
    named = [
        (target, table) for target in raw.targets for table in reach.named(target.name)
    ]
    if raw.cascades:
        quote = connection.dialect.identifier_preparer.format_table
        for table in reach.referring([table for _, table in named]):
            text = quote(table)
            named.append((Target(table.schema, table.name, text, text), table))
    return named


def text_parts(
    connection: Connection,
    sql: str,
    raw: Raw,
    named: Sequence[tuple[Target, Table]],
    reach: Reach,
) -> Iterator[tuple[Part, Place | None]]:
    """Yield what a statement does to each of its tables, and where that is.

    Args:
        connection: Where it is about to run.
        sql: The statement.
        raw: What was understood of it.
        named: Its tables, by `named_in()`.
        reach: Which tables matter.
    """
    for target, table in named:
        part = _part(sql, raw, table, reach)
        if part is not None:
            if part.inserting is not None:
                rows = TextRows(table, sql, raw)
                computed = frozenset(rows.computed(table))
                part = replace(part, selected=rows, computed=computed)
            else:
                matching = TextMatching(table, sql, raw, target)
                part = replace(part, matching=matching, constants={})
            yield part, _place_of(connection, target, table)


def _part(sql: str, raw: Raw, table: Table, reach: Reach) -> Part | None:
    if raw.form is Form.INSERT:
        return insert_part(table, sql, reach, whole=True)
    if raw.form is Form.UPDATE:
        return update_part(table, _values_set(table, raw), {}, reach, whole=True)
    part = delete_part(table, reach, whole=raw.form is Form.DELETE)
    # A TRUNCATE names all that it empties; no row of it cascades.
    is_truncate = part is not None and raw.form is Form.TRUNCATE
    return replace(part, edges={}) if part is not None and is_truncate else part


def _place_of(connection: Connection, target: Target, table: Table) -> Place | None:
    default = connection.dialect.default_schema_name
    if target.schema is None or target.schema in {table.schema, default}:
        return None
    return ((table.schema, target.schema),)


def _values_set(table: Table, raw: Raw) -> Mapping[Any, Any]:
    if raw.columns is None:
        return dict.fromkeys(table.columns)
    return {one: None for one in table.columns if one.name.lower() in raw.columns}
