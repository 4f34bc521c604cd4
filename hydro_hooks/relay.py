"""The relay: takes events from the outbox to the gateway, and notes what they became.

    Relay(engine).start()          # in the background of the app
    Relay(engine).run(stop)        # in the foreground, until the event `stop` is set
    Relay(engine).drain()          # once: what can be delivered now

Any number of them may run. Nothing lives in memory: an event leaves the outbox in the
transaction that notes its delivery, so a relay may be killed at any moment. Delivery is
at least once; a receiver knows a repeat by the event's id.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, SingletonThreadPool, StaticPool

from hydro_hooks import outbox
from hydro_hooks.background import Background
from hydro_hooks.binds import check_bind
from hydro_hooks.courier import MAX_BATCH, Courier
from hydro_hooks.creation import naming_missing_tables
from hydro_hooks.errors import ConfigurationError, with_article
from hydro_hooks.event import Event
from hydro_hooks.packing import Packer
from hydro_hooks.progress import Account, Progress, Tally
from hydro_hooks.round_failures import log_failure
from hydro_hooks.rounds import Rounds
from hydro_hooks.settings import Settings
from hydro_hooks.signing import Signer
from hydro_hooks.sinks import Sink
from hydro_hooks.sinks.by_url import sink_of
from hydro_hooks.tables import SHARDS
from hydro_hooks.verdict import retry_delay

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
"""How long a killed relay's shard stays undelivered; longer than a request may take."""

IN_FLIGHT: Final = 2
"""Requests that a relay makes at once."""

POLL_SECONDS: Final = 0.5
STOP_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What `Relay.drain()` did.

    Args:
        delivered: Events that the gateway has accepted.
        rejected: Events refused for good, kept in `hydro_rejected`.
        waiting: Events that are still in the outbox.
    """

    delivered: int
    rejected: int
    waiting: int


class Relay:
    """Delivers the events of one database.

    Args:
        engine: Of the app's database. Its isolation level does not matter.
        settings: `Settings.from_env()` when None.
        signer: Instead of the one that the settings name, or of `HydroHmac` with their
            secrets.
        sink: Instead of the one for the settings' `base_url`; closed by the
            relay when it stops.
        sender_of: The sender of the signals `delivered` and `rejected`, such as the
            tracked model of an event; by default the event's association.
        lease: How long a shard is held without a settlement; what another relay waits
            for before it takes over from one that was killed.
        in_flight: Requests that it makes at once, from 1 to 16; each is of another
            shard and takes a connection of the engine's pool. One on a database in
            memory.
        max_batch: Events in a request at most. The first, and the first after a
            failure, has 50 at most; while more wait, each has twice as many as the one
            before. After a request that was too large for the gateway it stays at 50.

    Raises:
        ConfigurationError: The settings are wrong, or name no known schema.
        ValueError: `in_flight` or `max_batch` is out of its range.
        TypeError: `engine` is none, or an asynchronous one; another argument is of
            another type.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings | None = None,
        *,
        signer: Signer | None = None,
        sink: Sink | None = None,
        sender_of: Callable[[Event], object] | None = None,
        lease: timedelta = LEASE,
        in_flight: int = IN_FLIGHT,
        max_batch: int = MAX_BATCH,
    ) -> None:
        _check_types(engine, settings, lease, signer)
        if not 1 <= in_flight <= SHARDS:
            message = f"in_flight is {in_flight}; give a number from 1 to {SHARDS}"
            raise ValueError(message)
        if max_batch < 1:
            message = f"max_batch is {max_batch}; give a number from 1"
            raise ValueError(message)
        self._settings = settings or Settings.from_env()
        self._engine = engine
        if sink is None:
            sink = sink_of(self._settings, signer)
        self._sink = sink
        self._packer = Packer(self._settings.schema)
        self._sender_of = sender_of or _association
        self._lease = lease
        self._max_batch = max_batch
        self._account = Account()
        self._courier = self._new_courier()
        if isinstance(engine.pool, (SingletonThreadPool, StaticPool)):
            in_flight = 1  # what is in memory is seen by one thread or connection
        self._in_flight = in_flight
        self._background = Background(
            self.run, abandon=self._abandon, after_fork=self._after_fork
        )

    @property
    def progress(self) -> Progress:
        """What it has done so far; of the process that asks."""
        return self._account.progress

    def start(self) -> None:
        """Deliver in a background thread from now on; again: see that it runs.

        A process that was forked while the thread ran has a thread of its own once it
        records an event, or calls this again. Without a URL to deliver to, nothing is
        started, and the log says that events are recorded and kept.

        Raises:
            ConfigurationError: The engine's pool has no connection for another thread.
        """
        if self._can_deliver():
            _check_pool(self._engine)
            self._background.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Stop the background thread, and wait until it has settled what it sent.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has ended; else it ends by itself once its request is answered.
        """
        return self._background.stop(timeout)

    def run(self, stop: threading.Event) -> None:
        """Deliver in this thread until `stop` is set.

        What waits because of a configuration fault is tried at once.
        Returns at once when there is nowhere to deliver to. A database that is away,
        or any other failure, is logged and tried again; it never ends the relay.
        """
        rounds = self._begin()
        if rounds is None:
            return
        failures = 0
        try:
            while not stop.is_set():
                failures = self._go_round(rounds, stop, failures)
        finally:
            rounds.close()

    def drain(self) -> Counts:
        """Deliver what can be delivered now, and return how much that was.

        What waits because of a configuration fault is tried too.

        Raises:
            DatabaseError: It lacks one of our tables.
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        with naming_missing_tables(self._engine):
            return self._drained()

    def _drained(self) -> Counts:
        total = Tally()
        rounds = self._begin()
        if rounds is not None:
            stop = threading.Event()
            # Not "until nothing is ready": a shard that backed off is ready again soon.
            while any(tally := rounds.make(stop)):
                total += tally
            rounds.close()
        with self._engine.connect() as connection:
            waiting = outbox.waiting(connection).count
        return Counts(
            delivered=total.delivered, rejected=total.rejected, waiting=waiting
        )

    def _can_deliver(self) -> bool:
        """Return whether there is somewhere to deliver to; log it where not."""
        if self._courier is not None:
            return True
        if self._settings.is_disabled:
            logger.warning("TRACKING_DISABLED is set: no event is sent")
        else:
            logger.warning(
                "HYDRO_BASE_URL is not set: events are recorded and kept in the outbox,"
                " not delivered; set HYDRO_BASE_URL and HYDRO_APP_SECRET, and restart"
            )
        return False

    def _new_courier(self) -> Courier | None:
        if self._sink is None or self._settings.is_disabled:
            return None
        return Courier(
            self._engine,
            self._sink,
            self._packer,
            sender_of=self._sender_of,
            lease=self._lease,
            max_batch=self._max_batch,
            note=self._account.add,
        )

    def _begin(self) -> Rounds | None:
        """Return the rounds of a new start; None when there is nowhere to deliver."""
        if not self._can_deliver() or self._courier is None:
            return None
        return Rounds(self._engine, self._courier, in_flight=self._in_flight)

    def _go_round(self, rounds: Rounds, stop: threading.Event, failures: int) -> int:
        """Make one round and pause; return how many have failed in a row.

        The one place where failures of the relay end. A round that settled something
        before it failed begins a new row: what was amiss before it was over.
        """
        settled_before = self.progress.settled
        try:
            rounds.make(stop)
        except Exception as error:
            failures = failures + 1 if self.progress.settled == settled_before else 1
            delay = retry_delay(failures, random=random.uniform)
            problem = log_failure(error, delay.total_seconds())
            self._account.add(problem=problem)
            stop.wait(delay.total_seconds())
            return failures
        self._account.add(passed_at=datetime.now(UTC), problem=None)
        stop.wait(POLL_SECONDS)
        return 0

    def _abandon(self) -> None:
        if self._courier is not None:
            with suppress(SQLAlchemyError):  # a lease also ends by itself
                self._courier.abandon()

    def _after_fork(self) -> None:
        self._account = Account()
        self._courier = self._new_courier()
        if isinstance(self._engine.pool, QueuePool):
            # The parent still uses the connections of the pool.
            self._engine.dispose(close=False)


def _check_types(
    engine: object, settings: object, lease: object, signer: object
) -> None:
    engine_of_its_own = (
        "Relay takes an engine of its own, of a driver that is not asynchronous:"
        ' create_engine("postgresql+psycopg://...")'
    )
    check_bind(
        "Relay()", engine, Engine, in_async=engine_of_its_own, is_of_threads=True
    )
    if settings is not None and not isinstance(settings, Settings):
        kind = with_article(type(settings).__name__)
        message = (
            f"Relay(): settings is {kind}; give Settings(base_url=..., secrets=(...,)),"
            " or Settings.from_env(base_url=...)"
        )
        raise TypeError(message)
    if signer is not None and not callable(signer):
        message = (
            f"Relay(): signer is {with_article(type(signer).__name__)}; give a function"
            " of an OutgoingRequest that returns headers (HYDRO_SIGNER takes its name)"
        )
        raise TypeError(message)
    if not isinstance(lease, timedelta):
        kind = with_article(type(lease).__name__)
        message = (
            f"Relay(): lease is {kind}; give a timedelta, such as timedelta(seconds=30)"
        )
        raise TypeError(message)


def _check_pool(engine: Engine) -> None:
    problem = None
    if isinstance(engine.pool, StaticPool):
        problem = (
            "has the relay's thread share the app's connection, so each would commit or"
            " roll back what the other began"
        )
    elif isinstance(engine.pool, SingletonThreadPool):
        problem = "gives the relay's thread a database in memory of its own"
    if problem is not None:
        message = (
            f"Relay.start(): the engine's {type(engine.pool).__name__} {problem}; use a"
            " database in a file or on a server, or call drain() in the app's thread"
        )
        raise ConfigurationError(message)


def _association(event: Event) -> object:
    return event.association
