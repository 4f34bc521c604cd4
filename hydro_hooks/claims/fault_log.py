"""Telling of faults in the log: once when one begins, once when it is over."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import Engine

from hydro_hooks.claims.faults import other_faults
from hydro_hooks.claims.leases import Lease, Settlement

logger = logging.getLogger(__name__)


class FaultLog:
    """What a relay tells of faults, which all shards meet one after the other.

    To be called by one thread at a time, after the settlement is committed.

    Args:
        engine: Of the app's database. Several relays meet the same faults, and end them
            for each other; the database knows.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told: set[str] = set()
        self._is_end_told = False
        self.awaited: set[int] = set()
        """Shards that are worked on, of which nothing was told since."""

    def tell(self, lease: Lease, settlement: Settlement, level: int) -> None:
        """Log a fault that is new here, and when events are delivered again.

        Args:
            lease: Under which the events were sent; it has the shard's last fault.
            settlement: What became of them.
            level: Of a fault that begins; it is DEBUG from then on.

        Raises:
            sqlalchemy.exc.DBAPIError: What the database says.
        """
        fault = settlement.fault
        self.awaited.discard(lease.shard)
        if fault is None:
            if lease.fault is not None and not self._is_end_told:
                self._tell_end(lease)
        elif settlement.delay is not None:  # else they are sent again at once
            # Less those that met it at the same moment and have not told it yet.
            others = other_faults(self._engine, {lease.shard, *self.awaited})
            is_known = fault in self._told and fault in {lease.fault, *others}
            _log(logging.DEBUG if is_known else level, fault, settlement.delay)
            self._told.add(fault)
            self._is_end_told = False

    def _tell_end(self, lease: Lease) -> None:
        if other_faults(self._engine, {lease.shard}):
            return
        logger.info("Delivering again, after: %s", lease.fault)
        self._told.clear()
        self._is_end_told = True


def _log(level: int, fault: str, delay: timedelta) -> None:
    logger.log(
        level,
        "Events are kept: %s; the next try is in %.0f s",
        fault,
        delay.total_seconds(),
    )
