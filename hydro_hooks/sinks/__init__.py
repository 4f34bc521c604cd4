"""Where the relay delivers to: a sink takes a batch and returns what came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hydro_hooks.verdict import Answer, Fault, Receipt


class Message(NamedTuple):
    """An event as it travels.

    Args:
        event_id: The same over all attempts; a receiver knows a repeat by it.
        schema: Name of the wire schema; the same for all messages of a batch.
        value: The event as that schema wants it, as JSON text.
        key: What it keeps its order with, where the sink sorts by that.
        type: Such as `subscription.destroy`.
    """

    event_id: str
    schema: str
    value: str
    key: str = ""
    type: str = ""

    def __repr__(self) -> str:
        return f"Message({self.event_id!r})"


class Sink(Protocol):
    """What the relay delivers to."""

    def send(self, messages: Sequence[Message], /) -> Answer | Receipt | Fault:
        """Send a batch of at least one and return what came back; never raise."""
        ...

    def close(self) -> None:
        """Close what is open; `send()` opens it again."""
        ...
