"""Where in the program a change is made: the innermost frame that is the program's."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, Final

_NOT_THE_PROGRAM: Final = (
    "sqlalchemy",
    "alembic",
    "hydro_hooks",
    "greenlet",
    "contextlib",
)
_DEPTH: Final = 200
"""Frames looked at; a program's own frame lies among the first few dozen."""

_MAX_KNOWN: Final = 10_000

_known: dict[int, tuple[CodeType, dict[int, str] | None]] = {}
"""By the address of a code object, which is kept with it: the texts of its lines, or
None where it is not the program's. (Its hash is that of all its contents.)"""


def here() -> str | None:
    """Return `package.module:line in function` of the program's innermost frame.

    Under AsyncSession SQLAlchemy runs in a greenlet of its own; the search goes on in
    the one that started it. None where there is no frame of the program.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way
    greenlet: Any = None
    for _ in range(_DEPTH):
        if frame is None:
            greenlet, frame = _outer_greenlet(greenlet)
            if frame is None:
                return None
        code = frame.f_code
        looked_at = _known.get(id(code)) or _look_at(frame)
        lines = looked_at[1]
        if lines is not None:
            line = frame.f_lineno
            return lines.get(line) or lines.setdefault(line, _describe(frame))
        frame = frame.f_back
    return None


def _look_at(frame: FrameType) -> tuple[CodeType, dict[int, str] | None]:
    """Note whether a frame's code is the program's."""
    if len(_known) >= _MAX_KNOWN:  # generated code has no end of code objects
        _known.clear()
    package = frame.f_globals.get("__name__", "").partition(".")[0]
    lines: dict[int, str] | None = None if package in _NOT_THE_PROGRAM else {}
    _known[id(frame.f_code)] = (frame.f_code, lines)
    return frame.f_code, lines


def _outer_greenlet(inner: Any) -> tuple[Any, FrameType | None]:
    # Any: greenlet has no types of its own, and may not be installed.
    module = sys.modules.get("greenlet")
    if module is None:
        return None, None
    outer = (inner or module.getcurrent()).parent
    return outer, None if outer is None else outer.gr_frame


def _describe(frame: FrameType) -> str:
    """Return the text of a frame of the program."""
    name: str = frame.f_globals.get("__name__", "")
    if name == "__main__":
        spec = frame.f_globals.get("__spec__")
        name = spec.name if spec else PurePath(frame.f_code.co_filename).name
    return f"{name}:{frame.f_lineno} in {frame.f_code.co_qualname}"
