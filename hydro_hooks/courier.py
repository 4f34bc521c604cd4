"""One shard's delivery: claim it, post batch by batch, settle each answer.

While a batch is on its way, the next is read and made ready. Once the answer is there
and leaves nothing behind, the next departs, and only then is the answer written down:
the gateway and the database work at the same time, and a shard has one request in the
air at most.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine

from hydro_hooks import claims
from hydro_hooks.claims import Lease, Settlement
from hydro_hooks.event import Event, storable
from hydro_hooks.flight import Flight, Outcome, Restraint
from hydro_hooks.packing import Batch, Packer, Row
from hydro_hooks.progress import Tally
from hydro_hooks.sinks import Sink
from hydro_hooks.telling import Teller
from hydro_hooks.verdict import MAX_DELAY, Kind, Verdict, retry_delay

logger = logging.getLogger(__name__)

FIRST_BATCH: Final = 50
"""Events in a relay's first batch, and in the first after a failure, at most."""

MAX_BATCH: Final = 250
"""Events in any batch at most, unless a relay is told otherwise."""

TURN: Final = timedelta(seconds=2)
"""Then the shard is given back, so that a busy one does not keep others waiting."""

REQUEST: Final = timedelta(seconds=10)
"""No batch departs ahead of a settlement unless the lease lasts so much longer."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    """The work on one shard, from the claim until it is given back.

    Args:
        lease: Under which it is done.
        start: `seq` below which all is settled or on its way, and nothing appears.
        horizon: `seq` below which nothing appeared once the last events were read.
        ends_at: When no other batch departs, on the monotonic clock.
        held_until: Until when the lease lasts at least, on the monotonic clock.
        limit: Events in a batch at most.
        flight: What is on its way.
        is_over: No other batch departs.
    """

    lease: Lease
    start: int
    horizon: int
    ends_at: float
    held_until: float
    limit: int
    flight: Flight | None = None
    is_over: bool = False


class Courier:
    """Delivers the events of shards; of several at once, each in a thread.

    Args:
        engine: Of the app's database.
        sink: Where to.
        packer: Makes ready what is sent.
        sender_of: The sender of the signals of an event.
        lease: How long a shard is held without a settlement.
        max_batch: Events in a request at most.
        note: Called with what was done, batch by batch.
    """

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        packer: Packer,
        *,
        sender_of: Callable[[Event], object],
        lease: timedelta,
        max_batch: int,
        note: Callable[[Tally], None],
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._packer = packer
        self._lease = lease
        self._max_batch = max_batch
        self._limit = FIRST_BATCH  # of the next turn's first batch
        self._note = note
        self.horizon = claims.Horizon(engine)
        self._restraint = Restraint()
        self._teller = Teller(engine, sender_of)
        self._leases: dict[int, Lease] = {}

    def deliver(self, shard: int, start: int, stop: threading.Event) -> Tally:
        """Deliver a shard's events until none is left, they have to wait, or for 2 s.

        Args:
            shard: Its number.
            start: `seq` that it is read from.
            stop: Once set, what was sent is settled, and no more is sent.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        now = time.monotonic()
        lease = claims.claim(self._engine, shard, self._lease)
        if lease is None:
            return Tally()
        turn = _Turn(
            lease=lease,
            start=start,
            horizon=self.horizon.number,
            ends_at=now + TURN.total_seconds(),
            held_until=now + self._lease.total_seconds(),
            limit=min(self._limit, self._max_batch),
        )
        self._leases[shard] = lease
        self._teller.faults.awaited.add(shard)
        tally = Tally()
        try:
            self._depart_or_release(turn)
            while turn.flight is not None:
                done = self._go_on(turn, turn.flight, stop)
                self._note(done)
                tally += done
                if turn.flight is None and not done.lost:
                    self._depart_or_release(turn)
        finally:
            del self._leases[shard]
            self._teller.faults.awaited.discard(shard)
            if turn.flight is not None:  # the database failed, or the sink raised
                turn.flight.wait()
        return tally

    def close(self) -> None:
        """Close what the sink keeps open between requests."""
        self._sink.close()

    def abandon(self) -> None:
        """Give back what is leased, whatever is on its way: that is sent again.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        for lease in list(self._leases.values()):
            claims.release(self._engine, lease)

    def _go_on(self, turn: _Turn, flight: Flight, stop: threading.Event) -> Tally:
        """Await what is on its way, send what was read ahead, and settle."""
        turn.is_over = stop.is_set() or time.monotonic() >= turn.ends_at
        start, horizon = turn.start, turn.horizon
        ahead = None if turn.is_over else self._read_ahead(turn, flight.batch)
        outcome = flight.land(self._restraint)
        turn.flight = None
        turn.is_over = turn.is_over or stop.is_set()
        if ahead is not None and not turn.is_over and _may_overtake(turn, outcome):
            turn.flight = Flight(self._sink, ahead)
        else:
            turn.start = start
        if outcome.verdict.kind is Kind.SPLIT:
            # What a gateway did not take once is not tried again.
            self._max_batch = min(self._max_batch, FIRST_BATCH)
            turn.limit = max(1, len(flight.batch.rows) // 2)
        else:
            turn.limit = self._next_limit(turn, flight.batch)
            went_well = max(self._limit, turn.limit)
            self._limit = FIRST_BATCH if outcome.kept else went_well
        return self._settle(turn, outcome, horizon)

    def _read_ahead(self, turn: _Turn, batch: Batch) -> Batch | None:
        """Return what comes beside a batch, ready to depart; None when nothing does."""
        self.horizon.move()
        on_its_way = [row.seq for row in batch.rows if row.seq >= turn.start]
        rows = self._read(turn, self._next_limit(turn, batch), on_its_way)
        return self._packer.pack(rows) if rows else None

    def _read(self, turn: _Turn, limit: int, but: Sequence[int] = ()) -> Sequence[Row]:
        horizon = self.horizon.number
        shard, start = turn.lease.shard, turn.start
        rows = claims.head(self._engine, shard, start=start, limit=limit, but=but)
        if rows:
            turn.horizon = horizon
            turn.start = max(start, min(horizon, rows[-1].seq + 1))
        return rows

    def _settle(self, turn: _Turn, outcome: Outcome, horizon: int) -> Tally:
        """Write down what became of a batch, and say it."""
        lease = turn.lease
        settlement = self._settlement(lease, outcome, horizon)
        settled_at = time.monotonic()
        if not claims.settle(self._engine, lease, settlement):
            return _lost(turn)
        if settlement.kept is not None:
            turn.start = min(turn.start, settlement.kept)
        turn.is_over = turn.is_over or settlement.delay is not None
        turn.held_until = settled_at + lease.duration.total_seconds()
        turn.lease = replace(
            lease, attempts=settlement.attempts, fault=settlement.fault
        )
        self._teller.tell(outcome, lease, settlement)
        return Tally(len(outcome.delivered), len(outcome.rejected))

    def _depart_or_release(self, turn: _Turn) -> None:
        """Send what is there by now, or give the shard back."""
        rows = () if turn.is_over else self._read(turn, turn.limit)
        if rows:
            turn.flight = Flight(self._sink, self._packer.pack(rows))
        else:
            claims.release(self._engine, turn.lease)

    def _next_limit(self, turn: _Turn, batch: Batch) -> int:
        """Return how many events may come after a batch.

        Not more where it was not full: what is read and cannot be sent with others of
        its subject is read in vain.
        """
        is_full = len(batch.rows) >= turn.limit
        return min(turn.limit * (2 if is_full else 1), self._max_batch)

    def _settlement(self, lease: Lease, outcome: Outcome, horizon: int) -> Settlement:
        verdict, kept = outcome.verdict, outcome.kept
        following = kept[0].seq if kept else outcome.batch.last + 1
        attempts, delay = _pause(lease, verdict, has_kept=bool(kept))
        fault = lease.fault if verdict.kind is Kind.SPLIT else verdict.problem
        return Settlement(
            delivered=tuple(row.seq for row in outcome.delivered),
            rejected=tuple((row.seq, error) for row, error in outcome.rejected),
            passed=min(following, horizon),
            kept=following if kept else None,
            schema=self._packer.schema,
            settled_by=f"{socket.gethostname()[:200]}:{os.getpid()}",
            attempts=attempts,
            delay=delay,
            fault=storable(fault, claims.MAX_FAULT) if fault else None,
            # A pause that the gateway asked for is a minimum, whatever was wrong.
            is_held=verdict.kind is Kind.HOLD and verdict.retry_after is None,
        )


def _may_overtake(turn: _Turn, outcome: Outcome) -> bool:
    """Return whether the next batch may depart before this one is settled.

    Not while an event of it stays, which goes first; nor when the lease may end before
    the answer: who holds it then sends these events too.
    """
    request_ends_at = time.monotonic() + REQUEST.total_seconds()
    return not outcome.kept and request_ends_at < turn.held_until


def _lost(turn: _Turn) -> Tally:
    logger.warning("Lost events to another relay, which sends them again")
    lost = 1
    if turn.flight is not None:
        turn.flight.wait()
        turn.flight = None
        lost += 1
    return Tally(lost=lost)


def _pause(
    lease: Lease, verdict: Verdict, *, has_kept: bool
) -> tuple[int, timedelta | None]:
    """Return the shard's count of failed tries, and how long it is left alone."""
    if verdict.kind is Kind.SPLIT:
        return lease.attempts, None
    if not has_kept:
        return 0, None
    attempts = lease.attempts + 1
    if verdict.kind is Kind.HOLD:
        return attempts, max(MAX_DELAY, verdict.retry_after or MAX_DELAY)
    delay = retry_delay(
        attempts, random=random.uniform, retry_after=verdict.retry_after
    )
    return attempts, delay
