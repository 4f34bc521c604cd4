"""Where the relay delivers to: a sink takes a batch and returns what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hydro_hooks.verdict import Answer, Fault, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
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
    value: str = field(repr=False)
    key: str = ""
    type: str = ""


class Sink(Protocol):
    """What the relay delivers to."""

    def send(self, messages: Sequence[Message], /) -> Answer | Receipt | Fault:
        """Send a batch of at least one and return what came back; never raise."""
        ...

    def close(self) -> None:
        """Close what is open; `send()` opens it again."""
        ...
