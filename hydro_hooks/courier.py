"""One shard's delivery: claim it, post batch by batch, settle each answer."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from blinker import NamedSignal
from sqlalchemy import Engine

from hydro_hooks import claims, schema, signals
from hydro_hooks.claims import FaultLog, Lease, Settlement
from hydro_hooks.errors import InvalidEventError
from hydro_hooks.event import Event, storable
from hydro_hooks.outbox import PAYLOAD_SCHEMA, event_in
from hydro_hooks.sinks import Message, Sink
from hydro_hooks.verdict import (
    MAX_DELAY,
    Kind,
    Verdict,
    judge,
    restrain,
    retry_delay,
)

Row = Mapping[str, Any]
"""A row of the outbox, by column."""

logger = logging.getLogger(__name__)

BATCHES_PER_LEASE: Final = 20
"""Then the shard is given back, so that a busy one does not keep others waiting."""


class Tally(NamedTuple):
    """What was done; added up by `+`."""

    delivered: int = 0
    rejected: int = 0

    def __add__(self, other: tuple[object, ...]) -> Tally:
        """Return the sum, field by field."""
        if not isinstance(other, Tally):
            return NotImplemented
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """A verdict on rows instead of indexes."""

    verdict: Verdict
    delivered: tuple[Row, ...]
    rejected: tuple[tuple[Row, str], ...]


class Courier:
    """Delivers the events of one shard after the other.

    Args:
        engine: Of the app's database.
        sink: Where to.
        schema_name: The wire schema, or the path of a user's.
        sender_of: The sender of the signals of an event.
        lease: How long a shard is held without a settlement.

    Raises:
        ConfigurationError: There is no such schema.
    """

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        *,
        schema_name: str,
        sender_of: Callable[[Event], object],
        lease: timedelta,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._schema = schema.load(schema_name)
        self._payload_schema = schema.load(PAYLOAD_SCHEMA)
        self._sender_of = sender_of
        self._lease = lease
        self._rejected_in_a_row = 0
        self._fault_log = FaultLog()

    def deliver(self, shard: int, stop: threading.Event) -> Tally:
        """Deliver a shard's events until none is left, or they have to wait.

        Args:
            shard: Its number.
            stop: Once set, what was sent is settled, and no more is sent.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        lease, rows = self._claim(shard)
        if lease is None:
            return Tally()
        tally = Tally()
        limit = claims.MAX_BATCH
        for batches_left in reversed(range(BATCHES_PER_LEASE)):
            outcome = self._send(rows)
            limit = _next_limit(limit, len(rows), outcome.verdict)
            settlement = self._settlement(lease, outcome, sent=len(rows))
            is_last = stop.is_set() or not batches_left
            settled = self._settle(lease, settlement, 0 if is_last else limit)
            if settled is None:
                logger.warning("Lost events to another relay, which sends them again")
                return tally
            self._conclude(outcome)
            next_rows, other_faults = settled
            level = _level_of(outcome.verdict)
            self._fault_log.tell(lease, settlement, other_faults, level)
            tally += Tally(len(outcome.delivered), len(outcome.rejected))
            if not next_rows:
                break
            rows = next_rows
            lease = replace(lease, attempts=settlement.attempts, fault=settlement.fault)
        return tally

    def _claim(self, shard: int) -> tuple[Lease | None, list[Row]]:
        with claims.transaction(self._engine) as connection:
            lease = claims.claim(connection, shard, self._lease)
            if lease is None:
                return None, []
            rows = claims.head(connection, shard)
            if rows:
                return lease, rows
            claims.release(connection, lease)  # another relay was faster
            return None, []

    def _settle(
        self, lease: Lease, settlement: Settlement, limit: int
    ) -> tuple[list[Row], frozenset[str]] | None:
        """Settle a batch, and read the next one or give the shard back.

        Args:
            lease: The shard's.
            settlement: What became of the batch.
            limit: Events in the next batch; 0: no next one.

        Returns:
            The next batch, empty when the shard was given back, and the faults of
            other shards, where they matter; None when it was lost.
        """
        with claims.transaction(self._engine) as connection:
            if not claims.settle(connection, lease, settlement):
                return None
            rows: list[Row] = []
            if limit and settlement.delay is None:
                rows = claims.head(connection, lease.shard, limit)
            if not rows:
                claims.release(connection, lease)
            if settlement.fault is None and lease.fault is None:
                return rows, frozenset()
            return rows, claims.other_faults(connection, lease.shard)

    def _send(self, rows: Sequence[Row]) -> _Outcome:
        """Send what fits the schema; return what is to become of each row."""
        fits: list[Row] = []
        messages: list[Message] = []
        misfits: list[tuple[Row, str]] = []
        for row in rows:
            made = self._message(row)
            if isinstance(made, Message):
                fits.append(row)
                messages.append(made)
            else:
                misfits.append((row, made))
        verdict = Verdict(kind=Kind.SETTLED)
        if messages:
            reply = self._sink.send(messages)
            verdict = judge(reply, size=len(messages), now=datetime.now(UTC))
        return self._outcome(verdict, fits, misfits)

    def _outcome(
        self, verdict: Verdict, fits: Sequence[Row], misfits: Iterable[tuple[Row, str]]
    ) -> _Outcome:
        rejected: list[tuple[Row, str]] = []
        if verdict.kind is Kind.SETTLED:  # else nothing is set aside now
            rejected = [(fits[index], error) for index, error in verdict.rejected]
            rejected += misfits
        verdict = restrain(
            verdict, rejections=len(rejected), earlier=self._rejected_in_a_row
        )
        return _Outcome(
            verdict=verdict,
            delivered=tuple(fits[index] for index in verdict.delivered),
            rejected=tuple(rejected) if verdict.kind is Kind.SETTLED else (),
        )

    def _message(self, row: Row) -> Message | str:
        """Return what to send, or why the wire schema has no place for it."""
        try:
            value = schema.parse(row["payload"])
            self._payload_schema.check(value)
            if self._schema.name == PAYLOAD_SCHEMA:
                text = row["payload"]
            else:
                value = self._schema.project(event_in(row))
                self._schema.check(value)
                text = schema.dumps(value)
        except (ValueError, InvalidEventError) as error:
            return f"not sent: {error}"
        return Message(
            event_id=row["id"],
            schema=self._schema.name,
            value=text,
            key=row["aggregateid"],
            type=row["type"],
        )

    def _settlement(self, lease: Lease, outcome: _Outcome, *, sent: int) -> Settlement:
        verdict = outcome.verdict
        attempts, delay = self._pause(lease, outcome, sent)
        fault = lease.fault if verdict.kind is Kind.SPLIT else verdict.problem
        return Settlement(
            delivered=tuple(row["seq"] for row in outcome.delivered),
            rejected=tuple((row["seq"], error) for row, error in outcome.rejected),
            schema=self._schema.name,
            settled_by=f"{socket.gethostname()[:200]}:{os.getpid()}",
            attempts=attempts,
            delay=delay,
            fault=storable(fault, claims.MAX_FAULT) if fault else None,
            # A pause that the gateway asked for is a minimum, whatever was wrong.
            is_held=verdict.kind is Kind.HOLD and verdict.retry_after is None,
        )

    def _pause(
        self, lease: Lease, outcome: _Outcome, sent: int
    ) -> tuple[int, timedelta | None]:
        """Return the shard's count of failed tries, and how long it is left alone."""
        verdict = outcome.verdict
        if verdict.kind is Kind.SPLIT:
            return lease.attempts, None
        kept = sent - len(outcome.delivered) - len(outcome.rejected)
        if not kept:
            return 0, None
        attempts = lease.attempts + 1
        if verdict.kind is Kind.HOLD:
            return attempts, max(MAX_DELAY, verdict.retry_after or MAX_DELAY)
        delay = retry_delay(
            attempts, random=random.uniform, retry_after=verdict.retry_after
        )
        return attempts, delay

    def _conclude(self, outcome: _Outcome) -> None:
        """Say what happened, once it is committed."""
        if outcome.delivered:
            self._rejected_in_a_row = 0
        else:
            self._rejected_in_a_row += len(outcome.rejected)
        _log(outcome)
        self._announce(signals.delivered, outcome.delivered)
        self._announce(signals.rejected, [row for row, _ in outcome.rejected])

    def _announce(self, signal: NamedSignal, rows: Iterable[Row]) -> None:
        if not signal.receivers:
            return
        for row in rows:
            try:
                event = event_in(row)
                sender = self._sender_of(event)
            except Exception:
                # The event is settled; what listens, or a payload that is no event of
                # ours, does not get in the way of the next one.
                logger.exception("The signal %r could not be sent", signal.name)
            else:
                signals.send(signal, sender, event)


def _next_limit(limit: int, sent: int, verdict: Verdict) -> int:
    if verdict.kind is Kind.SPLIT:
        return max(1, sent // 2)
    return min(limit * 2, claims.MAX_BATCH)


def _level_of(verdict: Verdict) -> int:
    return logging.ERROR if verdict.kind is Kind.HOLD else logging.WARNING


def _log(outcome: _Outcome) -> None:
    if outcome.rejected:
        logger.warning(
            "Refused for good and kept in hydro_rejected with the reason: %s; the first"
            " is %s",
            counted(len(outcome.rejected)),
            outcome.rejected[0][0]["id"],
        )
    if outcome.verdict.kind is Kind.SPLIT:
        logger.info("Sending fewer events at once: %s", outcome.verdict.problem)


def counted(count: int) -> str:
    """Return `1 event`, `2 events`."""
    return f"{count} event" if count == 1 else f"{count} events"
