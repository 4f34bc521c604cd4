"""Telling of faults in the log: once when one begins, once when it is over."""

from __future__ import annotations

import logging
from datetime import timedelta

from hydro_hooks.claims.leases import Lease, Settlement

logger = logging.getLogger(__name__)


class FaultLog:
    """What a relay tells of faults, which all shards meet one after the other."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(
        self, lease: Lease, settlement: Settlement, others: frozenset[str], level: int
    ) -> None:
        """Log a fault that is new here, and when events are delivered again.

        Args:
            lease: Under which the events were sent; it has the shard's last fault.
            settlement: What became of them.
            others: The faults of other shards, as the database has them: several
                relays meet the same faults, and end them for each other.
            level: Of a fault that begins; it is DEBUG from then on.
        """
        fault = settlement.fault
        if fault is None:
            if lease.fault is not None and not others:
                logger.info("Delivering again, after: %s", lease.fault)
                self._told.clear()
        elif settlement.delay is not None:  # else they are sent again at once
            is_known = fault in self._told and fault in {lease.fault, *others}
            _log(logging.DEBUG if is_known else level, fault, settlement.delay)
            self._told.add(fault)


def _log(level: int, fault: str, delay: timedelta) -> None:
    logger.log(
        level,
        "Events are kept: %s; the next try is in %.0f s",
        fault,
        delay.total_seconds(),
    )
