"""The delivery side of the outbox: who works on which shard, and what is settled.

A relay leases a shard for a while, reads its head in `seq` order, posts it outside any
transaction, and settles in one transaction that checks that the lease is still its
own. So one relay at a time delivers the events of a subject, and a relay that was slow
or killed changes nothing after another took over. Why the events of a shard wait is
noted beside its lease, for the next relay and for people.

What takes several statements runs at READ COMMITTED, and on SQLite under its write
lock, whatever isolation level and BEGIN handling the app's engine has; what takes one
is a transaction of its own. Leases go by the database's clock.
"""

from hydro_hooks.claims.fault_log import FaultLog
from hydro_hooks.claims.faults import Wait, lift_holds, waits
from hydro_hooks.claims.handover import hand_over
from hydro_hooks.claims.horizon import Horizon
from hydro_hooks.claims.leases import (
    MAX_BATCH_BYTES,
    MAX_FAULT,
    Lease,
    Settlement,
    claim,
    head,
    ready_shards,
    release,
    settle,
)
from hydro_hooks.claims.rejections import (
    Redriven,
    Rejected,
    Wanted,
    redrive,
    rejected_of,
    rejections,
)
from hydro_hooks.claims.transactions import transaction

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_FAULT",
    "FaultLog",
    "Horizon",
    "Lease",
    "Redriven",
    "Rejected",
    "Settlement",
    "Wait",
    "Wanted",
    "claim",
    "hand_over",
    "head",
    "lift_holds",
    "ready_shards",
    "redrive",
    "rejected_of",
    "rejections",
    "release",
    "settle",
    "transaction",
    "waits",
]
