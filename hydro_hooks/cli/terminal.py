"""What may be written to a terminal.

Host names, notes and ids are other people's text. An escape sequence among them would
move the cursor, set the title or hide a line, so none gets through: what is not
printable is shown as an escape.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from hydro_hooks.exports import as_json
from hydro_hooks.story import counted

FAILED: Final = 1
NOTHING_FOUND: Final = 3
"""Exit codes that a command's help tells."""


def printable(value: object) -> str:
    r"""Return a value as text in which every character prints; others become `\x1b`."""
    return "".join(
        letter if letter.isprintable() else _escape(letter) for letter in str(value)
    )


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def say_left_out(count: int, total: int, one: str, several: str) -> None:
    """Say how many older ones --limit has left out, if any."""
    if count > 0:
        older = counted(count, f"older {one} is", f"older {several} are")
        say(f"{older} left out; --limit {total} shows all")


def say(text: str) -> None:
    """Write a message for a person: to stderr."""
    click.echo(printable(text), err=True)


def write(text: str) -> None:
    """Write a line of data."""
    click.echo(printable(text))


def write_json(value: dict[str, Any]) -> None:
    """Write one line of JSON, in ASCII: it holds no control character either."""
    click.echo(as_json(value))


def write_bytes(body: bytes) -> None:
    """Write bytes exactly as they are; to a terminal, in printable form."""
    if sys.stdout.isatty():
        say("stdout is a terminal, so this is escaped; redirect it for the exact bytes")
        write(body.decode("utf-8", "backslashreplace"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


class _PrintableFormatter(logging.Formatter):
    """Escapes messages, which may quote what a server answered; not tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - theirs
        """Return the line."""
        return printable(super().formatMessage(record))


class StatusLine:
    """The last line of the terminal, which changes while other lines go by above it.

    Args:
        is_shown: Whether stderr is a terminal; by default what it is.
    """

    def __init__(self, *, is_shown: bool | None = None) -> None:
        self.is_shown = sys.stderr.isatty() if is_shown is None else is_shown
        self._guard = threading.Lock()
        self._text = ""

    def show(self, text: str) -> None:
        """Put a text in the place of the one before."""
        with self._guard:
            width = shutil.get_terminal_size().columns - 1
            self._text = printable(text)[:width]
            self._write(f"{_CLEARED}{self._text}")

    def clear(self) -> None:
        """Take it off."""
        with self._guard:
            if self._text:
                self._write(_CLEARED)
            self._text = ""

    @contextmanager
    def away(self) -> Iterator[None]:
        """Make room for another line in the block."""
        with self._guard:
            if self._text:
                self._write(_CLEARED)
            yield
            if self._text:
                self._write(self._text)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


_CLEARED: Final = "\r\x1b[K"


class _Handler(logging.StreamHandler[Any]):
    """Writes above the status line."""

    def __init__(self, line: StatusLine) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with self._line.away():
            super().emit(record)


@contextmanager
def logs_on_stderr(line: StatusLine | None = None) -> Iterator[None]:
    """Show what hydro_hooks logs, from INFO on.

    Args:
        line: What is shown below it.
    """
    handler = _Handler(line or StatusLine())
    handler.setFormatter(_PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("hydro_hooks")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
