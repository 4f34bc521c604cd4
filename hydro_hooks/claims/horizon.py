"""Below which number no event appears any more.

An event's `seq` is drawn before its commit, so one may appear below others that were
delivered long ago, and the next of its subject must not overtake it. Once every
transaction has ended that ran when a number was known to be drawn, nothing appears
below that number. PostgreSQL tells which transactions run; SQLite has one writer, who
commits before the next draws a number; of MariaDB only an administrator may ask, so
there a shard is always read from the bottom.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from sqlalchemy import BigInteger, Engine, func, literal_column, select

from hydro_hooks.claims.transactions import fetch
from hydro_hooks.tables import journal, outbox

LOOK_SECONDS: Final = 0.5

ANY: Final = 1 << 62
"""More than any number."""

# Not simply the outbox' greatest: what was delivered leaves index entries there.
_DELIVERED: Final = select(func.max(journal.c.seq)).scalar_subquery()
_ABOVE: Final = (
    select(func.max(outbox.c.seq))
    .where(outbox.c.seq > func.coalesce(_DELIVERED, 0))
    .scalar_subquery()
)
_LOOK: Final = select(
    func.coalesce(_ABOVE, _DELIVERED, 0).label("drawn"),
    literal_column("txid_snapshot_xmin(txid_current_snapshot())", BigInteger).label(
        "oldest"
    ),
)
# A number of its own, above that of every transaction that has written; a snapshot's
# upper end is no such thing: those that run may lie beyond it.
_NEXT: Final = select(literal_column("txid_current()", BigInteger))


class Horizon:
    """Moves on as transactions end.

    Args:
        engine: Of the app's database.

    Attributes:
        number: The number.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.number = ANY if engine.dialect.name == "sqlite" else 0
        self._moves = engine.dialect.name == "postgresql"
        self._guard = threading.Lock()
        self._looks_at = 0.0
        self._drawn: int | None = None
        self._awaited: tuple[int, int] | None = None

    def move(self) -> None:
        """Look whether it has moved on; twice a second at most.

        Raises:
            sqlalchemy.exc.DBAPIError: What the database says.
        """
        if not self._moves or time.monotonic() < self._looks_at:
            return
        if not self._guard.acquire(blocking=False):
            return  # another thread looks just now
        try:
            self._looks_at = time.monotonic() + LOOK_SECONDS
            self._look()
        finally:
            self._guard.release()

    def _look(self) -> None:
        [row] = fetch(self._engine, _LOOK)
        if self._awaited is not None and row.oldest >= self._awaited[1]:
            self.number = max(self.number, self._awaited[0])
            self._awaited = None
        if self._awaited is None and self._drawn is not None:
            # A look after the number was met: whoever drew a smaller one has written.
            [(following,)] = fetch(self._engine, _NEXT)
            self._awaited = self._drawn, following
            self._drawn = None
        if self._drawn is None and row.drawn > self.number:
            self._drawn = row.drawn
