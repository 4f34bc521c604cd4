"""An app that is killed at any moment has recorded what it committed, and only that.

`HYDRO_KILLS` sets how often it is killed (default: 4).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from databases import Database
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tracked_models import Installation

from hydro_hooks import Event, State
from hydro_hooks.testing import recorded

KILLS = int(os.environ.get("HYDRO_KILLS", "4"))

APP = """
import random, sys
sys.path.insert(0, sys.argv[2])
from databases import Database
from sqlalchemy import make_url, select
from sqlalchemy.orm import Session
from tracked_models import Installation, mappings
from hydro_hooks import because, register

url = make_url(sys.argv[1])
kind = url.get_backend_name()
engine = Database(kind="mariadb" if kind == "mysql" else kind, url=url).engine()
register(*mappings())
print("ready", flush=True)
with Session(engine) as session, because("busy"):
    while True:
        for _ in range(random.randrange(1, 4)):
            row = session.scalars(select(Installation).limit(1).offset(
                random.randrange(20))).first()
            what = random.choice(("create", "toggle", "delete"))
            if row is None or what == "create":
                session.add(Installation(enabled=random.random() < 0.5))
            elif what == "toggle":
                row.enabled = not row.enabled
            else:
                session.delete(row)
        if random.random() < 0.2:
            session.rollback()
        session.commit()
"""


def test_what_a_killed_app_committed_is_what_it_recorded(
    database: Database, tracked: Engine
) -> None:
    chance = random.Random(7)  # noqa: S311 - moments to kill at, not secrets
    for _ in range(KILLS):
        app = subprocess.Popen(
            [sys.executable, "-c", APP, database.text_url, str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
        )
        assert app.stdout is not None
        assert app.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.02, 0.25))
        app.kill()
        app.communicate()

    with Session(tracked) as session:
        rows = {
            str(row.id): state_of(row) for row in session.scalars(select(Installation))
        }
        events = recorded(session)
    assert len(events) > KILLS
    assert replayed(events) == rows


def state_of(row: Installation) -> State:
    return State.ENABLED if row.enabled else State.DISABLED


def replayed(events: list[Event]) -> dict[str, State]:
    """Return what the events say the table is; each must follow from the one before."""
    states: dict[str, State] = {}
    seen = set()
    for event in events:
        assert event.id not in seen
        seen.add(event.id)
        before = states.get(str(event.subject_id), State.ABSENT)
        assert event.state is not None
        assert (before is State.ABSENT) == (event.action == "create")
        assert before is not event.state
        states[str(event.subject_id)] = event.state
    return {key: state for key, state in states.items() if state is not State.ABSENT}
