"""The words of SQL: strings, names, comments and parentheses, told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

COMMENT: Final = re.compile(r"--[^\n]*(?:\n|\Z)|/\*.*?\*/", re.DOTALL)

_SPACE: Final = r"\s+ | --[^\n]* | /\*.*?\*/"
_ESCAPED: Final = r"'(?:[^'\\]|''|\\.)*'"
_REST: Final = r"""
    | (?P<name> "(?:[^"]|"")+" | `[^`]+` | \[[^\]\d][^\]]*\] | [^\W\d]\w* )
    | (?P<number> \d+(?:\.\d+)? )
    | (?P<parameter> %\(\w+\)s | %s | \?\d* | (?<![:\w]):[^\W\d]\w* | \$\d+ )
    | (?P<other> ::|%%|. )
    """
_TAGGED: Final = r"\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
_TOKEN: Final = re.compile(
    rf"""
      (?P<space> {_SPACE} )
    | (?P<string> [Ee]{_ESCAPED} | [NnBbXx]?'(?:[^']|'')*' | {_TAGGED} )
    {_REST}
    """,
    re.VERBOSE | re.DOTALL,
)
# A backslash escapes in every string there, # begins a comment, and what stands in /*!
# is executed.
_TOKEN_OF_MARIADB: Final = re.compile(
    rf"""
      (?P<space> /\*M?!\d* | \*/ | {_SPACE} | \#[^\n]*(?=\n) )
    | (?P<string> [NnBbXx]?{_ESCAPED} | {_TAGGED} )
    {_REST}
    """,
    re.VERBOSE | re.DOTALL,
)


VOLATILE: Final = frozenset(
    {"clock_timestamp", "gen_random_uuid", "newid", "next_value", "nextval", "rand",
     "random", "randomblob", "setval", "uuid", "uuid_generate_v4", "uuid_short"}
)  # fmt: skip
"""Functions that give another value each time, or change something."""


class Token(NamedTuple):
    """A word of SQL that is not white space.

    Attributes:
        kind: `string`, `name`, `number`, `parameter` or `other`.
        text: As it stands there.
        start: Where it starts.
        end: Where it ends.
        depth: How many parentheses are open around it.
    """

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """An unquoted name in lower case, as keywords are; else empty."""
        is_plain = self.kind == "name" and self.text[0] not in '"`['
        return self.text.lower() if is_plain else ""

    @property
    def name(self) -> str:
        """A name without its quotes."""
        return self.text.strip('"`[]')


def tokens_of(sql: str, is_mariadb: bool = False) -> list[Token]:  # noqa: FBT001, FBT002
    """Return the tokens of a statement."""
    token = _TOKEN_OF_MARIADB if is_mariadb else _TOKEN
    tokens = []
    depth = 0
    for match in token.finditer(sql):
        kind = match.lastgroup or "other"
        if match["string"] is not None:
            kind = "string"
        if kind == "space":
            continue
        text = match[0]
        if text == ")":
            depth -= 1
        tokens.append(Token(kind, text, match.start(), match.end(), depth))
        if text == "(":
            depth += 1
    return tokens


def find(tokens: Sequence[Token], words: set[str], at: int) -> int:
    """Return the place of the first outer token of `words`, or the end."""
    for place in range(at, len(tokens)):
        if tokens[place].depth == 0 and tokens[place].word in words:
            return place
    return len(tokens)


def closing(tokens: Sequence[Token], at: int) -> int:
    """Return where the outer parenthesis that opens at a place closes, or the end."""
    for place in range(at + 1, len(tokens)):
        if tokens[place].depth == 0:
            return place
    return len(tokens)


def parted(tokens: Sequence[Token], depth: int = 0) -> Iterator[list[Token]]:
    """Yield what lies between the commas of one depth."""
    part: list[Token] = []
    for token in tokens:
        if token.text == "," and token.depth == depth:
            yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part
