"""Saying what became of events, once it is committed: in the log, and by signals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from blinker import NamedSignal
from sqlalchemy import Engine

from hydro_hooks import signals
from hydro_hooks.claims import FaultLog, Lease, Settlement
from hydro_hooks.event import Event
from hydro_hooks.flight import Outcome
from hydro_hooks.outbox import event_in
from hydro_hooks.packing import Row
from hydro_hooks.verdict import Kind

logger = logging.getLogger(__name__)


class Teller:
    """What a relay tells of all its shards, of one at a time.

    Args:
        engine: Of the app's database.
        sender_of: The sender of the signals of an event.
    """

    def __init__(self, engine: Engine, sender_of: Callable[[Event], object]) -> None:
        self._sender_of = sender_of
        self._guard = threading.Lock()
        self.faults = FaultLog(engine)

    def tell(
        self,
        outcome: Outcome,
        lease: Lease,
        settlement: Settlement,
    ) -> None:
        """Say what became of a batch.

        Args:
            outcome: What did.
            lease: Under which it was sent.
            settlement: How it was written down.

        Raises:
            sqlalchemy.exc.DBAPIError: What the database says.
        """
        is_held = outcome.verdict.kind is Kind.HOLD
        with self._guard:  # a receiver of a signal is called by one thread at a time
            _log(outcome)
            self._announce(signals.delivered, outcome.delivered)
            self._announce(signals.rejected, [row for row, _ in outcome.rejected])
            level = logging.ERROR if is_held else logging.WARNING
            self.faults.tell(lease, settlement, level)

    def _announce(self, signal: NamedSignal, rows: Iterable[Row]) -> None:
        if not signal.receivers:
            return
        for row in rows:
            try:
                event = event_in(row._asdict())
                sender = self._sender_of(event)
            except Exception:
                # The event is settled; what listens, or a payload that is no event of
                # ours, does not get in the way of the next one.
                logger.exception("The signal %r could not be sent", signal.name)
            else:
                signals.send(signal, sender, event)


def _log(outcome: Outcome) -> None:
    if outcome.rejected:
        logger.warning(
            "Refused for good and kept in hydro_rejected with the reason: %s; the first"
            " is %s",
            counted(len(outcome.rejected)),
            outcome.rejected[0][0].id,
        )
    if outcome.verdict.kind is Kind.SPLIT:
        logger.info("Sending fewer events at once: %s", outcome.verdict.problem)


def counted(count: int) -> str:
    """Return `1 event`, `2 events`."""
    return f"{count} event" if count == 1 else f"{count} events"
