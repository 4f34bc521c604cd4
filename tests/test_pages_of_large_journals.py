"""Each page asks only what an index answers, so it takes no longer as years go by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from databases import Database
from large_journal import fill, host_of
from page_site import site
from sqlalchemy import Engine, event

COUNT = 3000


@pytest.fixture
def journal(database: Database, engine: Engine) -> Iterator[Engine]:
    """Yield an engine on a journal, which takes an index wherever there is one."""
    fill(engine, COUNT)
    own = database.engine()
    if database.kind == "postgresql":

        @event.listens_for(own, "connect")
        def prefer_indexes(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:  # as it would of a large table
                cursor.execute("SET enable_seqscan = off")
            connection.commit()

    yield own
    own.dispose()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/search?q={host_of(7)}",
        "/search?q=7",
        "/search?q=10000007",
        "/search?q=user-1",
        "/search?q=user-1 action:destroy since:1d",
        "/search?q=action:disable,destroy",
        "/search?q=reason:unattributed since:1d",
        "/search?q=cstmer-7.atlasian.net",
        "/search?q=00000000-0000-7000-8000-000000000001 as:transaction",
        "/search?q=00000000-0000-7000-8000-000000000001",
        "/unattributed?q=since:1d",
    ],
)
def test_no_page_reads_the_whole_journal(journal: Engine, path: str) -> None:
    asked: list[tuple[str, Any]] = []

    @event.listens_for(journal, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        if arguments[2].lstrip().startswith(("SELECT", "WITH")):
            asked.append((arguments[2], arguments[3]))

    with site(journal) as url:
        answer = requests.get(url + path, timeout=60)
    event.remove(journal, "before_cursor_execute", note)
    kind = "" if journal.dialect.name == "postgresql" else "QUERY PLAN "
    with journal.connect() as connection:
        plans = {
            statement: str(
                connection.exec_driver_sql(f"EXPLAIN {kind}{statement}", given).all()
            )
            for statement, given in asked
            if "hydro_journal" in statement
        }

    assert answer.status_code in {200, 404}
    assert plans
    for statement, plan in plans.items():
        # One of four actions is met soon on the way back from the newest.
        is_walk = "action IN" in statement and "TEMP B-TREE" not in plan
        reads_all = (
            "Seq Scan on hydro_journal" in plan
            or ("SCAN hydro_journal'" in plan and not is_walk)
            or "SCAN hydro_journal USING COVERING INDEX" in plan
        )
        assert not reads_all, f"{plan}\n{statement}"
