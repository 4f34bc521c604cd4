"""The context variable: which blocks are open here, innermost first.

Around all of them is what the environment says, for a script that is run once.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from hydro_hooks.cause.values import UNATTRIBUTED, Cause


class Frame:
    """One open block: what is in force in it, and what was before it."""

    __slots__ = ("cause", "outer", "owner", "token", "transaction_id")

    def __init__(self, cause: Cause, owner: object, outer: Frame | None) -> None:
        self.cause = cause
        self.owner = owner
        self.outer = outer
        self.token: Token[Frame | None] | None = None
        self.transaction_id: str | None = None


current_frame: ContextVar[Frame | None] = ContextVar("hydro_hooks_cause", default=None)


current_job: ContextVar[str | None] = ContextVar("hydro_hooks_job", default=None)
"""The name of the job that runs here: where a change without a cause comes from."""

_outermost = UNATTRIBUTED


def current_cause() -> Cause:
    """Return the cause in force here; `Cause()` (unattributed) when there is none."""
    frame = current_frame.get()
    return _outermost if frame is None else frame.cause


def surround(cause: Cause) -> None:
    """Have `cause` in force wherever in this process no block is open."""
    global _outermost  # noqa: PLW0603 - a process has one environment
    _outermost = cause


def current_transaction_id() -> str | None:
    """Return the id of the transaction that was last recorded in this block."""
    frame = current_frame.get()
    return None if frame is None else frame.transaction_id


def note_transaction(transaction_id: str) -> None:
    """Tell the blocks that are open here that a transaction is recorded."""
    frame = current_frame.get()
    while frame is not None:
        frame.transaction_id = transaction_id
        frame = frame.outer


def enter(cause: Cause, owner: object) -> None:
    """Open a block: `cause` is in force until `owner` leaves it."""
    frame = Frame(cause, owner, current_frame.get())
    frame.token = current_frame.set(frame)


def leave(owner: object) -> None:
    """Close the innermost block of `owner`."""
    frame = current_frame.get()
    if frame is not None and frame.owner is owner and frame.token is not None:
        try:
            current_frame.reset(frame.token)
        except ValueError:
            # Entered in another context, of which this one is a copy: a server that
            # runs the two halves of a generator in two threads does that.
            current_frame.set(frame.outer)
    else:
        current_frame.set(_without(frame, owner))


def _without(frame: Frame | None, owner: object) -> Frame | None:
    """Return the chain of blocks less `owner`'s innermost one.

    Blocks close out of order when a generator that holds one open is resumed from
    within another block; the others must not notice.
    """
    if frame is None:
        return None
    if frame.owner is owner:
        return frame.outer
    return Frame(frame.cause, frame.owner, _without(frame.outer, owner))


class Inside:
    """What is in force inside a generator, put aside whenever it yields.

    Blocks that the body itself opened are kept over the yield; the consumer never
    sees them.
    """

    __slots__ = ("_frame", "_token")

    def __init__(self, cause: Cause) -> None:
        self._frame: Frame | None = Frame(cause, self, current_frame.get())

    def __enter__(self) -> None:
        self._token = current_frame.set(self._frame)

    def __exit__(self, *exc_info: object) -> None:
        frame = current_frame.get()
        try:
            current_frame.reset(self._token)
        except ValueError:
            # Resumed, or closed, in another context: a copy of the one that it was
            # entered in, or one that has nothing to do with it.
            if not _holds(frame, self):
                return
            outer = self._token.old_value
            current_frame.set(None if outer is Token.MISSING else outer)
        self._frame = frame


def _holds(frame: Frame | None, owner: object) -> bool:
    while frame is not None and frame.owner is not owner:
        frame = frame.outer
    return frame is not None
