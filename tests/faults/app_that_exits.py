"""An app with a relay in the background, which comes to its end on SIGTERM.

python app_that_exits.py KIND DATABASE_URL GATEWAY_URL SECRET LEASE_SECONDS
"""

from __future__ import annotations

import signal
import sys
from datetime import timedelta

from databases import Database
from sqlalchemy import make_url

from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings

if __name__ == "__main__":
    kind, database_url, gateway_url, secret, lease_seconds = sys.argv[1:]
    # Before the relay's thread begins, so that no thread is interrupted by it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    database = Database(kind=kind, url=make_url(database_url))
    settings = Settings(base_url=gateway_url, secrets=(secret,))
    lease = timedelta(seconds=float(lease_seconds))
    Relay(database.engine(), settings, lease=lease).start()
    signal.sigwait({signal.SIGTERM})
    print("the end", flush=True)  # noqa: T201 - what it says last
