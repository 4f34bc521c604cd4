"""Signals (blinker) of what becomes of an event; the sender is the tracked model.

A receiver is called as `receiver(model, event=Event)`. One that raises is logged and
harms nothing. Nothing is built when nobody listens.
"""

from __future__ import annotations

import logging
from typing import Any, Final, NoReturn

from blinker import NamedSignal

from hydro_hooks.event import Event

logger = logging.getLogger(__name__)


class _Signal(NamedSignal):
    """A signal, which says so where it is taken for a function."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        message = (
            f"hydro_hooks.{self.name} is a signal, to connect a receiver to; what a"
            " database holds is told by hydro_hooks.testing.recorded(engine)"
        )
        raise TypeError(message)


recorded: Final = _Signal(
    "recorded", "An event was written; its transaction is about to be committed."
)
delivered: Final = _Signal("delivered", "The gateway has accepted an event.")
rejected: Final = _Signal("rejected", "An event will not be tried again.")


def send(signal: NamedSignal, sender: Any, event: Event) -> None:
    """Call the signal's receivers one by one; log what they raise."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, event=event)
        except Exception:
            logger.exception("A receiver of the signal %r failed", signal.name)
