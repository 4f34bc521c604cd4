"""Where in the program a change is made: the innermost frame that is the program's."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, Final

_NOT_THE_PROGRAM: Final = ("sqlalchemy", "hydro_hooks", "greenlet", "contextlib")
_DEPTH: Final = 200
"""Frames looked at; a program's own frame lies among the first few dozen."""

_MAX_KNOWN: Final = 10_000

_known: dict[tuple[CodeType, int], str | None] = {}


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
        place = (frame.f_code, frame.f_lineno)
        if place not in _known:
            if len(_known) >= _MAX_KNOWN:  # generated code has no end of places
                _known.clear()
            _known[place] = _describe(frame)
        origin = _known[place]
        if origin is not None:
            return origin
        frame = frame.f_back
    return None


def _outer_greenlet(inner: Any) -> tuple[Any, FrameType | None]:
    # Any: greenlet has no types of its own, and may not be installed.
    module = sys.modules.get("greenlet")
    if module is None:
        return None, None
    outer = (inner or module.getcurrent()).parent
    return outer, None if outer is None else outer.gr_frame


def _describe(frame: FrameType) -> str | None:
    """Return the text of a frame; None for one that is not the program's."""
    name = frame.f_globals.get("__name__", "")
    if name.partition(".")[0] in _NOT_THE_PROGRAM:
        return None
    if name == "__main__":
        spec = frame.f_globals.get("__spec__")
        name = spec.name if spec else PurePath(frame.f_code.co_filename).name
    return f"{name}:{frame.f_lineno} in {frame.f_code.co_qualname}"
