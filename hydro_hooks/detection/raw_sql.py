"""SQL that the program wrote as text: what it changes, as far as that can be read off.

Not a parser of SQL: it knows the outer form of UPDATE, DELETE, INSERT and TRUNCATE.
What has another form is said to be unknown, never guessed.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from hydro_hooks.detection.sql_tokens import (
    VOLATILE,
    Token,
    closing,
    find,
    parted,
    tokens_of,
)

_VERBS: Final = frozenset({"insert", "replace", "update", "delete", "truncate"})
_WRITERS: Final = _VERBS | {"merge", "copy", "load"}
WRITES: Final = re.compile(rf"\b(?:{'|'.join(sorted(_WRITERS))})\b", re.IGNORECASE)
_MODIFIERS: Final = frozenset(
    {"into", "from", "only", "table", "ignore", "low_priority", "quick", "delayed",
     "high_priority", "or", "rollback", "abort", "fail", "data", "infile", "local"}
)  # fmt: skip


_MEETING: Final = frozenset({"conflict", "duplicate"})
_CHANGING: Final = _WRITERS - {"replace"}


class Form(Enum):
    """The forms that are understood."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


class Target(NamedTuple):
    """A table that is named.

    Attributes:
        schema: Where it is said to be; None where that is not said.
        name: Its name, without quotes.
        text: As it stands in the statement.
        alias: What the statement calls it, as it stands there.
    """

    schema: str | None
    name: str
    text: str
    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A statement, as far as it was understood.

    Args:
        form: Which; None: it writes in a way that is not understood.
        targets: The tables that it writes to.
        columns: Of an UPDATE, what it sets, as (start, end) of the expression by name;
            None where that is not understood. Of an INSERT, the names that it fills.
        sources: What follows FROM or USING.
        tail: From WHERE to the end of the condition, with ORDER BY and LIMIT.
        rows: Of an INSERT ... VALUES, the rows; a value is a token, or None where it
            is an expression. None for an INSERT of another form.
        selected: Of an INSERT ... SELECT, the SELECT; empty where it has none, or one
            that changes something itself.
        parameters: Where the parameters stand, in their order.
        has_no_parameters: Whether the driver gets no parameters, and leaves `%` alone.
        cascades: Whether a TRUNCATE reaches the tables that refer to its own.
    """

    form: Form | None
    targets: tuple[Target, ...]
    columns: dict[str, tuple[int, int]] | None = None
    sources: str = ""
    tail: tuple[int, int] = (0, 0)
    rows: tuple[tuple[Token | None, ...], ...] | None = None
    selected: tuple[int, int] = (0, 0)
    parameters: tuple[Token, ...] = ()
    has_no_parameters: bool = False
    cascades: bool = False


@functools.lru_cache(maxsize=512)
def understood(sql: str, is_mariadb: bool) -> Raw | None:  # noqa: FBT001
    """Return what a statement changes; None for one that writes nothing."""
    tokens = tokens_of(sql, is_mariadb)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        return None
    read = {
        "update": _update,
        "delete": _delete,
        "insert": _insert,
        "replace": _insert,
        "truncate": _truncate,
    }.get(tokens[0].word)
    is_one = not any(token.text == ";" for token in tokens)
    raw = read(sql, tokens) if read is not None and is_one else None
    if raw is not None and not _is_by_chance(raw, tokens):
        return raw
    targets = tuple(_written(sql, tokens))
    return Raw(form=None, targets=targets) if targets else None


def _is_by_chance(raw: Raw, tokens: Sequence[Token]) -> bool:
    """Return whether a condition, asked twice, may find other rows."""
    start, end = raw.tail
    return _calls_volatile([one for one in tokens if start <= one.start < end])


def _calls_volatile(tokens: Sequence[Token]) -> bool:
    return any(
        token.word in VOLATILE and after.text == "("
        for token, after in itertools.pairwise(tokens)
    )


def _written(sql: str, tokens: Sequence[Token]) -> Iterator[Target]:
    """Yield the tables named behind a verb that writes, wherever it stands."""
    if tokens[0].word in {"update", "delete"}:  # of several tables
        end = find(tokens, {"set", "where"}, 1)
        for token in tokens[1:end]:
            if token.kind == "name":
                yield Target(None, token.name, token.text, token.text)
    for at, token in enumerate(tokens):
        if token.word in _WRITERS:
            found = _target(sql, tokens, _behind_modifiers(tokens, at + 1))
            if found is not None:
                yield found[0]
        elif token.kind == "string" and token.text.startswith("$"):
            body = token.text.strip("$")
            yield from _written(body, tokens_of(body))


def _behind_modifiers(tokens: Sequence[Token], at: int) -> int:
    while at < len(tokens) and (
        tokens[at].word in _MODIFIERS or tokens[at].kind == "string"
    ):
        at += 1
    return at


def _target(
    sql: str, tokens: Sequence[Token], at: int, stops: frozenset[str] = frozenset()
) -> tuple[Target, int] | None:
    """Return the table named at a token, and where the statement goes on."""
    start = at
    parts: list[str] = []
    while at < len(tokens) and tokens[at].kind == "name":
        parts.append(tokens[at].name)
        at += 1
        if at < len(tokens) and tokens[at].text == ".":
            at += 1
        else:
            break
    if not parts:
        return None
    text = sql[tokens[start].start : tokens[at - 1].end]
    alias = text
    if stops and at < len(tokens):
        if tokens[at].word == "as":
            at += 1
        if _is_alias(tokens[at : at + 1], stops):
            alias = tokens[at].text
            at += 1
    schema = parts[-2] if len(parts) > 1 else None
    return Target(schema, parts[-1], text, alias), at


def _is_alias(tokens: Sequence[Token], stops: frozenset[str]) -> bool:
    return any(token.kind == "name" and token.word not in stops for token in tokens)


_AFTER_TARGET: Final = frozenset(
    {"set", "where", "using", "returning", "order", "limit", "from", "values",
     "select", "default", "on", "join", "inner", "left", "cross", "partition", "with"}
)  # fmt: skip


def _parameters(tokens: Sequence[Token]) -> tuple[Token, ...]:
    return tuple(token for token in tokens if token.kind == "parameter")


def _tail(tokens: Sequence[Token], at: int) -> tuple[int, int]:
    """Return the condition, its order and its limit, as a part of the text."""
    begin = find(tokens, {"where", "order", "limit"}, at)
    end = find(tokens, {"returning"}, at)
    if begin >= end:
        return (0, 0)
    return (tokens[begin].start, tokens[end - 1].end)


def _update(sql: str, tokens: list[Token]) -> Raw | None:
    at = 1
    while tokens[at : at + 1] and tokens[at].word in _MODIFIERS:
        at += 1
    found = _target(sql, tokens, at, _AFTER_TARGET)
    if found is None or tokens[at].word == "replace":
        return None  # UPDATE OR REPLACE deletes what is in its way
    target, at = found
    if at >= len(tokens) or tokens[at].word != "set":
        return None  # several tables
    ends = {"from", "where", "order", "limit", "returning"}
    end = find(tokens, ends, at + 1)
    sources = ""
    if end < len(tokens) and tokens[end].word == "from":
        stop = find(tokens, ends - {"from"}, end + 1)
        sources = sql[tokens[end + 1].start : tokens[stop - 1].end]
    return Raw(
        form=Form.UPDATE,
        targets=(target,),
        columns=_columns_set(tokens[at + 1 : end]),
        sources=sources,
        tail=_tail(tokens, end),
        parameters=_parameters(tokens),
    )


def _columns_set(tokens: Sequence[Token]) -> dict[str, tuple[int, int]] | None:
    columns: dict[str, tuple[int, int]] = {}
    for part in parted(tokens):
        is_sign = [token.text == "=" and token.depth == 0 for token in part]
        if True not in is_sign:
            return None
        at = is_sign.index(True)
        if at == 0 or at + 1 >= len(part) or part[at - 1].kind != "name":
            return None
        columns[part[at - 1].name.lower()] = (part[at + 1].start, part[-1].end)
    return columns


def _delete(sql: str, tokens: list[Token]) -> Raw | None:
    at = 1
    while tokens[at : at + 1] and tokens[at].word in _MODIFIERS - {"from"}:
        at += 1
    if at >= len(tokens) or tokens[at].word != "from":
        return None  # MariaDB's DELETE of several tables
    at += 1
    if tokens[at : at + 1] and tokens[at].word == "only":
        at += 1
    found = _target(sql, tokens, at, _AFTER_TARGET)
    if found is None:
        return None
    target, at = found
    sources = ""
    if at < len(tokens) and tokens[at].word == "using":
        stop = find(tokens, {"where", "returning"}, at + 1)
        sources = sql[tokens[at + 1].start : tokens[stop - 1].end]
        if target.name.lower() in {token.name.lower() for token in tokens[at:stop]}:
            return None  # MariaDB: DELETE FROM a USING a JOIN b
        at = stop
    ends = {"where", "order", "limit", "returning"}
    if at < len(tokens) and tokens[at].word not in ends:
        return None
    return Raw(
        form=Form.DELETE,
        targets=(target,),
        sources=sources,
        tail=_tail(tokens, at),
        parameters=_parameters(tokens),
    )


def _insert(sql: str, tokens: list[Token]) -> Raw | None:
    at = 1
    while tokens[at : at + 1] and (
        tokens[at].word in _MODIFIERS or tokens[at].word in _VERBS
    ):
        at += 1
    found = _target(sql, tokens, at, frozenset())
    if found is None:
        return None
    target, at = found
    columns: dict[str, tuple[int, int]] | None = None
    if at < len(tokens) and tokens[at].text == "(":
        close = closing(tokens, at)
        if tokens[at + 1].word not in {"select", "values", "with"}:
            columns = {
                part[0].name.lower(): (0, 0)
                for part in parted(tokens[at + 1 : close], depth=1)
                if part
            }
            at = close + 1
    rows: tuple[tuple[Token | None, ...], ...] | None = None
    selected = (0, 0)
    if at < len(tokens) and tokens[at].word in {"values", "value"}:
        rows = tuple(_value_rows(tokens, at + 1))
    elif at < len(tokens) and tokens[at].word == "set":
        return None
    elif at < len(tokens) and tokens[at].word != "default":
        selected = _selected(tokens, at)
    return Raw(
        form=Form.INSERT,
        targets=(target,),
        columns=columns,
        rows=rows,
        selected=selected,
        parameters=_parameters(tokens),
    )


def _selected(tokens: Sequence[Token], at: int) -> tuple[int, int]:
    end = at
    while end < len(tokens):
        token, *after = tokens[end : end + 2]
        is_met = token.word == "on" and after and after[0].word in _MEETING
        if token.depth == 0 and (is_met or token.word == "returning"):
            break
        end += 1
    words = {token.word for token in tokens[at:end]}
    if not words.isdisjoint(_CHANGING) or _calls_volatile(tokens[at:end]):
        return (0, 0)
    return (tokens[at].start, tokens[end - 1].end)


def _value_rows(tokens: Sequence[Token], at: int) -> Iterator[tuple[Token | None, ...]]:
    while at < len(tokens) and tokens[at].text == "(":
        close = closing(tokens, at)
        yield tuple(map(_plain, parted(tokens[at + 1 : close], depth=1)))
        at = close + 1
        if at < len(tokens) and tokens[at].text == ",":
            at += 1


def _plain(part: Sequence[Token]) -> Token | None:
    """Return the one value that stands there, a parameter's cast left away."""
    if len(part) == 1 or [token.text for token in part[1:2]] == ["::"]:
        is_plain = len(part) == 1 or part[0].kind == "parameter"
        return part[0] if is_plain else None
    first = [token.word or token.kind for token in part[:4]]
    is_cast = first == ["cast", "other", "parameter", "as"]
    return part[2] if is_cast else None


def _truncate(sql: str, tokens: list[Token]) -> Raw | None:
    at = 1
    targets: list[Target] = []
    while at < len(tokens):
        while tokens[at].word in _MODIFIERS:
            at += 1
        found = _target(sql, tokens, at)
        if found is None:
            return None
        targets.append(found[0])
        at = found[1]
        if at >= len(tokens) or tokens[at].text != ",":
            break
        at += 1
    words = {token.word for token in tokens[at:]}
    return Raw(form=Form.TRUNCATE, targets=tuple(targets), cascades="cascade" in words)
