"""The relay: takes events from the outbox to the gateway, and notes what they became.

    Relay(engine).start()          # in the background of the app
    Relay(engine).run(stop)        # in the foreground, until the event `stop` is set
    Relay(engine).drain()          # once: what can be delivered now

Any number of them may run. Nothing lives in memory: an event leaves the outbox in the
transaction that notes its delivery, so a relay may be killed at any moment. Delivery is
at least once; a receiver knows a repeat by the event's id.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hydro_hooks import claims, outbox
from hydro_hooks.courier import Courier, Tally, counted
from hydro_hooks.event import Event
from hydro_hooks.settings import Settings
from hydro_hooks.signing import Signer
from hydro_hooks.sinks import Sink
from hydro_hooks.sinks.by_url import sink_of
from hydro_hooks.verdict import retry_delay

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
"""How long a killed relay's shard stays undelivered; longer than a request may take."""

POLL_SECONDS: Final = 0.5
EXIT_SECONDS: Final = 2.0
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

    Raises:
        ConfigurationError: The settings are wrong, or name no known schema.
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
    ) -> None:
        self._settings = settings or Settings.from_env()
        self._engine = engine
        if sink is None:
            sink = sink_of(self._settings, signer)
        self._sink = sink
        self._courier = None
        if sink is not None and not self._settings.is_disabled:
            self._courier = Courier(
                engine,
                sink,
                schema_name=self._settings.schema,
                sender_of=sender_of or _association,
                lease=lease,
            )
        self._guard = threading.Lock()
        self._worker: _Worker | None = None
        self._is_forked = False
        self._is_new = True
        _relays.add(self)

    def start(self) -> None:
        """Deliver in a background thread from now on; again: see that it runs.

        A process that was forked while the thread ran calls this again to have a
        thread of its own. Without a URL to deliver to, nothing is started, and the
        log says that events are recorded and kept.
        """
        if not self._is_delivering():
            return
        with self._guard:
            if self._worker is not None and self._worker.thread.is_alive():
                return
            if self._is_forked:
                # The parent still uses the connections of the pool.
                self._engine.dispose(close=False)
                self._is_forked = False
            self._worker = _Worker(self)
            self._worker.thread.start()
            atexit.register(self._stop_at_exit)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Stop the background thread, and wait until it has settled what it sent.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has ended; else it ends by itself once its request is answered.
        """
        with self._guard:
            worker, self._worker = self._worker, None
        atexit.unregister(self._stop_at_exit)
        if worker is None:
            return True
        worker.stop.set()
        worker.thread.join(timeout)
        return not worker.thread.is_alive()

    def run(self, stop: threading.Event) -> None:
        """Deliver in this thread until `stop` is set.

        What waits because of a configuration fault is tried at once.
        Returns at once when there is nowhere to deliver to. A database that is away,
        or any other failure, is logged and tried again; it never ends the relay.
        """
        if not self._is_delivering():
            return
        self._is_new = True
        failures = 0
        try:
            while not stop.is_set():
                failures = failures + 1 if self._fails(stop, failures) else 0
        finally:
            self._close()

    def drain(self) -> Counts:
        """Deliver what can be delivered now, and return how much that was.

        What waits because of a configuration fault is tried too.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        total = Tally()
        if self._is_delivering():
            self._is_new = True
            stop = threading.Event()
            # Not "until nothing is ready": a shard that backed off is ready again soon.
            while any(tally := self._pass(stop)):
                total += tally
            self._close()
        with self._engine.connect() as connection:
            waiting = outbox.waiting(connection).count
        return Counts(
            delivered=total.delivered, rejected=total.rejected, waiting=waiting
        )

    def _is_delivering(self) -> bool:
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

    def _fails(self, stop: threading.Event, failures: int) -> bool:
        """Make one pass and pause; return whether it failed.

        The one place where failures of the relay end.
        """
        try:
            self._pass(stop)
        except Exception as error:
            delay = retry_delay(failures + 1, random=random.uniform)
            _log_failure(error, delay.total_seconds())
            stop.wait(delay.total_seconds())
            return True
        stop.wait(POLL_SECONDS)
        return False

    def _pass(self, stop: threading.Event) -> Tally:
        """Work on each shard that is ready, in an order of this relay's own."""
        total = Tally()
        if self._courier is None:
            return total
        if self._is_new:
            claims.lift_holds(self._engine)
            self._is_new = False
        shards = claims.ready_shards(self._engine)
        random.shuffle(shards)  # several relays do not queue up for the same one
        for shard in shards:
            if stop.is_set():
                break
            total += self._courier.deliver(shard, stop)
        if total.delivered or total.rejected:
            logger.info(
                "Delivered %s, %d refused", counted(total.delivered), total.rejected
            )
        return total

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _stop_at_exit(self) -> None:
        self.stop(EXIT_SECONDS)

    def _forget_thread(self) -> None:
        """In a forked child: no thread runs here, and nobody holds the lock."""
        self._guard = threading.Lock()
        self._is_forked = self._is_forked or self._worker is not None
        self._worker = None


class _Worker:
    """A relay's background thread, and what stops it."""

    def __init__(self, relay: Relay) -> None:
        self.stop = threading.Event()
        # A daemon: the interpreter joins other threads before it calls atexit, which
        # is what stops this one.
        self.thread = threading.Thread(
            target=relay.run, args=(self.stop,), name="hydro-hooks-relay", daemon=True
        )


_relays: Final[weakref.WeakSet[Relay]] = weakref.WeakSet()


def _forget_threads() -> None:
    for relay in list(_relays):
        relay._forget_thread()  # noqa: SLF001 - a hook of the class, in its own module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _association(event: Event) -> object:
    return event.association


def _log_failure(error: Exception, pause_seconds: float) -> None:
    if isinstance(error, SQLAlchemyError):
        # Not the error itself: its text holds the statement's parameters.
        logger.warning(
            "The relay cannot use the app's database (%s); events are kept; trying"
            " again in %.0f s",
            _summary(error),
            pause_seconds,
        )
    else:
        logger.exception(
            "The relay failed; events are kept; trying again in %.0f s", pause_seconds
        )


def _summary(error: SQLAlchemyError) -> str:
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    # PostgreSQL tells of the row at fault from the second line on.
    first_line = str(cause).partition("\n")[0][:200]
    return f"{type(cause).__name__}: {first_line}"
