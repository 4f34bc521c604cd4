"""A round: each shard that is ready is worked on once, several of them at once."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import Final

from sqlalchemy import Engine

from hydro_hooks import claims
from hydro_hooks.courier import Courier
from hydro_hooks.forking import at_work, waiting
from hydro_hooks.progress import Tally
from hydro_hooks.telling import counted

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 10.0
"""How often the whole outbox is looked at, not only what may have come since."""

SWEEP_SHARE: Final = 0.05
"""The most of a relay's time that this may take."""


class Rounds:
    """The rounds of one relay.

    Args:
        engine: Of the app's database.
        courier: Delivers a shard.
        in_flight: Shards that are worked on at once, from 1.
    """

    def __init__(self, engine: Engine, courier: Courier, *, in_flight: int) -> None:
        self._engine = engine
        self._courier = courier
        self._in_flight = in_flight
        self._is_first = True
        self._sweeps_at = 0.0

    def make(self, stop: threading.Event) -> Tally:
        """Make a round, and return what was done.

        The first one also tries what waits because of a configuration fault.

        Args:
            stop: Once set, what was sent is settled, and no more is sent.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database says.
        """
        with at_work():
            return self._make(stop)

    def _make(self, stop: threading.Event) -> Tally:
        if self._is_first:
            claims.lift_holds(self._engine)
            self._is_first = False
        ready = list(self._ready_shards().items())
        random.shuffle(ready)  # several relays do not queue up for the same one
        shards = deque(ready)
        done: list[Tally] = []
        helpers = [
            _Helper(self, shards, stop, done)
            for _ in range(min(self._in_flight, len(shards)) - 1)
        ]
        for helper in helpers:
            helper.start()
        try:
            self.work(shards, stop, done)
        finally:
            with waiting():
                for helper in helpers:
                    helper.join()
        for helper in helpers:
            if helper.error is not None:
                raise helper.error
        tally = sum(done, Tally())
        if tally.delivered or tally.rejected:
            logger.info(
                "Delivered %s, %d refused", counted(tally.delivered), tally.rejected
            )
        return tally

    def close(self) -> None:
        """Close what is kept open between requests."""
        self._courier.close()

    def work(
        self,
        shards: deque[tuple[int, int]],
        stop: threading.Event,
        done: list[Tally],
    ) -> None:
        """Take one shard after the other until none is left."""
        while not stop.is_set():
            try:
                shard, start = shards.popleft()
            except IndexError:
                return
            done.append(self._courier.deliver(shard, start, stop))

    def _ready_shards(self) -> dict[int, int]:
        self._courier.horizon.move()
        began_at = time.monotonic()
        if began_at < self._sweeps_at:
            return claims.ready_shards(self._engine, from_the_bottom=False)
        ready = claims.ready_shards(self._engine)
        now = time.monotonic()
        self._sweeps_at = now + max(SWEEP_SECONDS, (now - began_at) / SWEEP_SHARE)
        return ready


class _Helper(threading.Thread):
    """Works beside the thread that makes the round."""

    def __init__(
        self,
        rounds: Rounds,
        shards: deque[tuple[int, int]],
        stop: threading.Event,
        done: list[Tally],
    ) -> None:
        # A daemon, as the relay's own thread is: a program that ends does not wait.
        super().__init__(name="hydro-hooks-shard", daemon=True)
        self._rounds = rounds
        self._arguments = (shards, stop, done)
        self.error: Exception | None = None

    def run(self) -> None:
        """Work until no shard is left."""
        try:
            with at_work():
                self._rounds.work(*self._arguments)
        except Exception as error:
            self.error = error
