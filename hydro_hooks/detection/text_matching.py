"""SQL text, followed: its rows are found by a SELECT made of its own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Table
from sqlalchemy.exc import DBAPIError

from hydro_hooks.detection import rows
from hydro_hooks.detection.connections import (
    has_rolled_back,
    has_waited_in_vain,
    sees_snapshot,
    unharmed,
)
from hydro_hooks.detection.parameters import NotFollowedError
from hydro_hooks.detection.raw_sql import Form, Raw, Target
from hydro_hooks.detection.rows import Found, Key, Lock
from hydro_hooks.detection.sql_tokens import Token, tokens_of
from hydro_hooks.models import TrackedModel
from hydro_hooks.outbox import OURS
from hydro_hooks.transition import Place

MAX_TRUNCATED: Final = 10_000
"""Rows of a table that are read before a TRUNCATE: it asks for no read itself."""


_NUMERIC: Final = 1700
"""PostgreSQL's own number of its type numeric (pg_type)."""


class TextMatching:
    """The rows that an UPDATE, DELETE or TRUNCATE written as text touches.

    It stands in for `Matching`; its parameters are the driver's.

    Args:
        table: Whose rows they are.
        sql: The statement.
        raw: What was understood of it.
        target: What it calls the table.
    """

    def __init__(self, table: Table, sql: str, raw: Raw, target: Target) -> None:
        self.table = table
        self._sql = sql
        self._raw = raw
        self._target = target

    @property
    def is_steady(self) -> bool:
        """Return what `Matching.is_steady` tells."""
        tail = tokens_of(self._sql[slice(*self._raw.tail)])
        words = {token.word for token in tail}
        return not self._raw.sources and words.isdisjoint({"select", "limit"})

    @property
    def sets_key(self) -> bool:
        """Return whether the statement gives its rows other keys."""
        return bool(self._new_key(())[1])

    def keys(
        self,
        connection: Connection,
        parameters: Any,
        _place: Place | None,
        lock: Lock = Lock.NONE,
    ) -> list[Key]:
        """Return the primary keys of the rows."""
        return [key for key, _ in self._keys(connection, parameters, lock)]

    def new_keys(
        self,
        connection: Connection,
        parameters: Any,
        _place: Place | None,
        lock: Lock,
    ) -> list[Key]:
        """Return the keys that an UPDATE is about to give to its rows."""
        return [new for _, new in self._keys(connection, parameters, lock)]

    def found(
        self,
        connection: Connection,
        tracked: TrackedModel,
        parameters: Any,
        lock: Lock,
        place: Place | None,
    ) -> Iterator[tuple[Key, Found, Key]]:
        """Yield the rows of a tracked model, as `Matching.found()` does."""
        named = {
            tracked.key(key): new
            for key, new in self._keys(connection, parameters, lock)
        }
        read = rows.read(connection, tracked, list(named), lock, place)
        for key, row in read.items():
            yield key, row, named[key]

    def _keys(
        self, connection: Connection, parameters: Any, lock: Lock
    ) -> list[tuple[Key, Key]]:
        preparer = connection.dialect.identifier_preparer
        alias = self._target.alias
        columns = [
            f"{alias}.{preparer.format_column(column)}"
            for column in self.table.primary_key
        ]
        if not columns:
            message = "its table has no primary key"
            raise NotFollowedError(message)
        new, spans = self._new_key(columns)
        tail = self._sql[slice(*self._raw.tail)]
        named = "" if alias == self._target.text else f" AS {alias}"
        sources = f", {self._raw.sources}" if self._raw.sources else ""
        end = ""
        if self._raw.form is Form.TRUNCATE:
            end = f" LIMIT {MAX_TRUNCATED + 1}"
        elif lock is not Lock.NONE and self.is_steady and sees_snapshot(connection):
            end = " FOR UPDATE"  # as the statement does itself
        select = (
            f"SELECT {', '.join((*columns, *new))} FROM {self._target.text}{named}"  # noqa: S608 - the program's own words
            f"{sources} {tail}{end}"
        )
        kept = [*spans, self._raw.tail]
        sql, given = with_parameters(select, self._raw, kept, parameters)
        found = asked(connection, self._raw, sql, given)
        if self._raw.form is Form.TRUNCATE and len(found) > MAX_TRUNCATED:
            message = f"it empties a table of more than {MAX_TRUNCATED:,} rows"
            raise NotFollowedError(message)
        typed = typed_by(connection, self.table.primary_key)
        width = len(columns)
        return [(typed(row[:width]), typed(row[width:])) for row in found]

    def _new_key(self, old: Sequence[str]) -> tuple[list[str], list[tuple[int, int]]]:
        """Return what an UPDATE sets the primary key to, and where that stands.

        Args:
            old: What the key is before, as SQL.
        """
        columns = self._raw.columns if self._raw.form is Form.UPDATE else None
        names = [column.name.lower() for column in self.table.primary_key]
        if not columns or columns.keys().isdisjoint(names):
            return [], []
        spans = [columns.get(name) for name in names]
        texts = [
            own if span is None else self._sql[slice(*span)]
            for own, span in zip(old, spans, strict=False)
        ]
        return texts, [span for span in spans if span is not None]


def asked(connection: Connection, raw: Raw, sql: str, parameters: Any) -> Sequence[Any]:
    """Return the rows of a SELECT that is made of the program's words.

    Raises:
        NotFollowedError: It is none that the database understands; the program's own
            statement may be.
    """
    try:
        with unharmed(connection):
            options = {OURS: True, "no_parameters": raw.has_no_parameters}
            result = connection.exec_driver_sql(
                sql, parameters, execution_options=options
            )
            return result.fetchall()
    except (DBAPIError, TypeError, ValueError) as error:  # the driver's own, too
        cause: BaseException | None = error
        if isinstance(error, DBAPIError):
            cause = error.orig
            if (
                error.connection_invalidated
                or has_rolled_back(connection, cause)
                or has_waited_in_vain(connection, cause)
            ):
                raise
        # Its text may quote a literal of the program.
        kind = type(cause).__name__
        message = f"which rows it changes cannot be asked for beforehand ({kind})"
        raise NotFollowedError(message) from error


def typed_by(connection: Connection, columns: Iterable[Column[Any]]) -> Any:
    """Return a function from a row of columns, as the driver gives it, to values."""
    processors = [_processor(connection, column) for column in columns]

    def typed(row: Sequence[Any]) -> Key:
        return tuple(
            value if process is None else process(value)
            for process, value in zip(processors, row, strict=False)
        )

    return typed


def _processor(connection: Connection, column: Column[Any]) -> Any:
    dialect = connection.dialect
    kind = column.type.dialect_impl(dialect)
    try:
        return kind.result_processor(dialect, None)
    except TypeError:  # PostgreSQL's numbers want to know what the driver gives
        return kind.result_processor(dialect, _NUMERIC)


def with_parameters(
    sql: str, raw: Raw, kept: Sequence[tuple[int, int]], parameters: Any
) -> tuple[str, Any]:
    """Return a SELECT with those of a statement's parameters that stand in it.

    Args:
        sql: The SELECT, made of parts of the statement.
        raw: The statement.
        kept: The parts, as (start, end) in the statement, in the SELECT's order.
        parameters: The statement's.
    """
    if isinstance(parameters, Mapping) or not raw.parameters:
        return sql, parameters or None
    standing = [
        token
        for start, end in kept
        for token in raw.parameters
        if start <= token.start < end
    ]
    if any(token.text[1:].isdigit() for token in standing):
        return _renumbered(sql, standing, parameters)
    numbers = {token: number for number, token in enumerate(raw.parameters)}
    return sql, tuple(parameters[numbers[token]] for token in standing) or None


def _renumbered(
    sql: str, standing: Sequence[Token], parameters: Sequence[Any]
) -> tuple[str, Any]:
    """Number `$n` or `?n` anew: the driver wants a value for each number."""
    numbers = {
        text: number + 1
        for number, text in enumerate(dict.fromkeys(token.text for token in standing))
    }
    parts, at = [], 0
    for token in tokens_of(sql):
        if token.kind == "parameter":
            parts += [sql[at : token.start], f"{token.text[0]}{numbers[token.text]}"]
            at = token.end
    parts.append(sql[at:])
    return "".join(parts), tuple(parameters[int(text[1:]) - 1] for text in numbers)
