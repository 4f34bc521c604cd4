"""SQL text that inserts: what it gives of its rows, by its own words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Table

from hydro_hooks.detection.inserting import Given
from hydro_hooks.detection.parameters import UNREADABLE
from hydro_hooks.detection.raw_sql import Raw
from hydro_hooks.detection.sql_tokens import Token
from hydro_hooks.detection.text_matching import asked, typed_by, with_parameters
from hydro_hooks.transition import Place


class TextRows:
    """What an INSERT written as text gives of its rows.

    It stands in for `Selected`; its parameters are the driver's.

    Args:
        table: Where to.
        sql: The statement.
        raw: What was understood of it.
    """

    def __init__(self, table: Table, sql: str, raw: Raw) -> None:
        self._sql = sql
        self._raw = raw
        self._names = list(raw.columns or [one.name.lower() for one in table.columns])

    @property
    def is_asked(self) -> bool:
        """Return whether the rows are those of a SELECT."""
        return self._raw.rows is None

    def computed(self, table: Table) -> Iterator[Column[Any]]:
        """Yield the columns that are filled with SQL expressions."""
        for column in table.columns:
            name = column.name.lower()
            place = self._names.index(name) if name in self._names else None
            if place is not None and any(
                place < len(row) and _is_computed(row[place])
                for row in self._raw.rows or ()
            ):
                yield column

    def given(
        self,
        connection: Connection,
        wanted: Sequence[Column[Any]],
        parameters: Any,
        _place: Place | None,
    ) -> list[Given]:
        """Return the plain values of its VALUES, or what its SELECT gives."""
        at = {
            column: self._names.index(column.name.lower())
            for column in wanted
            if column.name.lower() in self._names
        }
        if self._raw.rows is not None:
            typed = {column: typed_by(connection, [column]) for column in at}
            return [
                dict(self._plain(at, typed, values, parameters))
                for values in self._raw.rows
            ]
        span = self._raw.selected
        if not at or span == (0, 0):
            return []
        sql, its = with_parameters(
            self._sql[slice(*span)], self._raw, [span], parameters
        )
        typed = typed_by(connection, at)
        return [
            dict(zip(at, typed([row[place] for place in at.values()]), strict=True))
            for row in asked(connection, self._raw, sql, its)
        ]

    def _plain(
        self,
        at: Mapping[Column[Any], int],
        typed: Mapping[Column[Any], Any],
        values: Sequence[Token | None],
        parameters: Any,
    ) -> Iterator[tuple[Column[Any], Any]]:
        for column, place in at.items():
            token = values[place] if place < len(values) else None
            if token is None:
                continue
            is_known, value = _value(token, self._raw, parameters)
            if is_known:
                with contextlib.suppress(*UNREADABLE):  # another spelling
                    if isinstance(value, _AS_DRIVERS_GIVE):
                        [value] = typed[column]([value])
                    yield column, value


_AS_DRIVERS_GIVE: Final = (str, int, float, bytes, bytearray, memoryview)
"""Of values in SQL text: what a column's type turns into the program's, as it does with
what it reads. Dates and the like are the program's already."""


def _is_computed(token: Token | None) -> bool:
    return token is None or (token.kind == "name" and token.word not in _WORDS)


_WORDS: Final = {"null": None, "true": True, "false": False, "default": None}


def _value(token: Token, raw: Raw, parameters: Any) -> tuple[bool, Any]:
    """Return whether a token is a plain value, and the value."""
    if token.kind == "parameter":
        return True, _parameter(token, raw, parameters)
    if token.kind == "number":
        return True, float(token.text) if "." in token.text else int(token.text)
    if token.kind == "string" and token.text.startswith("'") and "\\" not in token.text:
        return True, token.text[1:-1].replace("''", "'")
    return token.word in _WORDS, _WORDS.get(token.word)


def _parameter(token: Token, raw: Raw, parameters: Any) -> Any:
    if isinstance(parameters, Mapping):
        return parameters.get(_name_in(token.text))
    if token.text[1:].isdigit():
        return parameters[int(token.text[1:]) - 1]
    return parameters[raw.parameters.index(token)]


def _name_in(parameter: str) -> str:
    """Return the name in `:name` or `%(name)s`."""
    return parameter.removeprefix("%(").removesuffix(")s").removeprefix(":")
