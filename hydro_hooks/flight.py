"""A batch on its way, and what became of each of its events."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from hydro_hooks.forking import at_work, waiting
from hydro_hooks.packing import Batch, Row
from hydro_hooks.sinks import Sink
from hydro_hooks.verdict import Answer, Fault, Kind, Receipt, Verdict, judge, restrain


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict on the rows of a batch.

    Args:
        verdict: On its request.
        batch: All of it.
        delivered: The rows that were accepted.
        rejected: The rows that were refused for good, and why.
    """

    verdict: Verdict
    batch: Batch
    delivered: tuple[Row, ...]
    rejected: tuple[tuple[Row, str], ...]

    @property
    def kept(self) -> list[Row]:
        """The rows that stay in the outbox."""
        if len(self.delivered) + len(self.rejected) == len(self.batch.rows):
            return []  # as nearly always
        gone = {row.seq for row in self.delivered}
        gone |= {row.seq for row, _ in self.rejected}
        return [row for row in self.batch.rows if row.seq not in gone]


class Restraint:
    """Counts what is refused for good, over all shards, against `restrain()`."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._in_a_row = 0

    def applied(self, verdict: Verdict, *, rejections: int) -> Verdict:
        """Return the verdict, or a configuration fault in its place.

        Args:
            verdict: On the latest batch.
            rejections: Events of it to reject, by the gateway or by the schema.
        """
        with self._guard:
            verdict = restrain(verdict, rejections=rejections, earlier=self._in_a_row)
            if verdict.delivered:
                self._in_a_row = 0
            elif verdict.kind is Kind.SETTLED:
                self._in_a_row += rejections
            return verdict


class Flight:
    """A batch on its way: its request is made in a thread of its own.

    Args:
        sink: Where to.
        batch: What; without a message nothing is sent.
    """

    def __init__(self, sink: Sink, batch: Batch) -> None:
        self.batch = batch
        self._sink = sink
        self._reply: Answer | Receipt | Fault | None = None
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        if batch.messages:
            # A daemon: a program that ends does not wait for an answer.
            self._thread = threading.Thread(
                target=self._send, name="hydro-hooks-request", daemon=True
            )
            self._thread.start()

    def _send(self) -> None:
        try:
            with at_work():
                self._reply = self._sink.send(self.batch.messages)
        except Exception as error:
            self._error = error

    def wait(self) -> None:
        """Wait until the answer is there, or none will come."""
        if self._thread is not None:
            with waiting():
                self._thread.join()

    def land(self, restraint: Restraint) -> Outcome:
        """Wait for the answer, and return what became of the events.

        Args:
            restraint: Of the relay.

        Raises:
            Exception: What a sink raised, which is to raise nothing.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        verdict = Verdict(kind=Kind.SETTLED)
        if self._reply is not None:
            size = len(self.batch.messages)
            verdict = judge(self._reply, size=size, now=datetime.now(UTC))
        return _outcome(self.batch, verdict, restraint)


def _outcome(batch: Batch, verdict: Verdict, restraint: Restraint) -> Outcome:
    rejected: list[tuple[Row, str]] = []
    if verdict.kind is Kind.SETTLED:  # else nothing is set aside now
        rejected = [(batch.fits[index], error) for index, error in verdict.rejected]
        rejected += batch.misfits
    verdict = restraint.applied(verdict, rejections=len(rejected))
    return Outcome(
        verdict=verdict,
        batch=batch,
        delivered=tuple(batch.fits[index] for index in verdict.delivered),
        rejected=tuple(rejected) if verdict.kind is Kind.SETTLED else (),
    )
