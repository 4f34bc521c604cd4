"""`hydro-hooks outbox`: what waits, what was rejected, and another chance for it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from delivering import drained
from sample_events import ids_in, rows_in
from scripted_gateway import ScriptedGateway
from sqlalchemy import Engine, select, update
from test_cli import lines_of_json, run, url
from test_journal import HOST, NOON, installation, record, reject, settle

from hydro_hooks import claims, tables
from hydro_hooks.claims import Wanted
from hydro_hooks.transition import Action

__all__ = ["url"]

OTHER = "https://other.atlassian.net"


def refuse(engine: Engine, *errors: str, host: str = HOST) -> list[str]:
    """Leave an event among the rejected ones for each error; return their ids."""
    events = [installation(Action.CREATE, jira_hostname=host) for _ in errors]
    for event, error in zip(events, errors, strict=True):
        reject(engine, event, error)
    return [event.id for event in events]


def test_status_tells_what_waits_and_why_and_what_was_rejected(
    engine: Engine, url: str
) -> None:
    refuse(engine, "no such field", "unknown schema", "unknown schema")
    record(engine, installation(Action.DISABLE), installation(Action.ENABLE, day=1))

    result = run("outbox", "status", "--database", url)

    assert result.stdout.splitlines() == [
        f"2 events wait; the oldest is of {NOON:%Y-%m-%d %H:%M:%S} UTC",
        "  2 wait: nothing holds them back; run a relay",
        f"3 events are rejected, since {NOON:%Y-%m-%d %H:%M:%S} UTC",
        "  2: unknown schema",
        "  1: no such field",
    ]


def test_status_as_json_holds_the_same(engine: Engine, url: str) -> None:
    refuse(engine, "no such field")
    record(engine, installation(Action.DISABLE))

    [told] = lines_of_json(run("outbox", "status", "--database", url, "--json"))

    assert told["waiting"]["count"] == 1
    assert told["waiting"]["why"][0]["fault"] is None
    assert told["rejected"]["errors"] == {"no such field": 1}


def test_status_of_an_empty_outbox_says_that_it_is(engine: Engine, url: str) -> None:
    settle(engine, installation(Action.CREATE))

    result = run("outbox", "status", "--database", url)

    assert result.stdout.splitlines() == ["no event waits", "no event is rejected"]


def test_rejected_lists_each_with_its_reason_the_newest_last(
    engine: Engine, url: str
) -> None:
    first, second = refuse(engine, "no such field", "too\nlong")

    result = run("outbox", "rejected", "--database", url)

    lines = result.stdout.splitlines()
    assert [first in lines[0], second in lines[1]] == [True, True]
    assert "rejected: no such field" in lines[0]
    assert "rejected: too\\nlong" in lines[1]


def test_rejected_says_what_it_leaves_out(engine: Engine, url: str) -> None:
    ids = refuse(engine, "one", "two", "three")

    result = run("outbox", "rejected", "--database", url, "--limit", "1", "--json")

    assert [each["id"] for each in lines_of_json(result)] == ids[-1:]
    assert "2 older events are left out; --limit 3 shows all" in result.stderr


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ([HOST], [0, 1]),
        ([OTHER], [2]),
        (["19", "--as", "jira"], [0, 1, 2]),
        (["--error", "UNKNOWN"], [1]),
        (["--error", "100%"], []),
        (["--since", "2026-03-06"], [1]),
        (["--until", "2026-03-05"], [0, 2]),
    ],
)
def test_filters_choose_among_the_rejected(
    engine: Engine, url: str, filters: list[str], chosen: list[int]
) -> None:
    ids = refuse(engine, "no such field", "unknown schema")
    ids += refuse(engine, "another", host=OTHER)
    day = NOON.replace(year=2026, month=3, day=5)
    with engine.begin() as connection:
        for number, event_id in enumerate(ids):
            moment = day + timedelta(days=number == 1)
            connection.execute(
                update(tables.rejected)
                .where(tables.rejected.c.id == event_id)
                .values(rejected_at=moment)
            )

    result = run("outbox", "rejected", *filters, "--database", url, "--json")

    told = [each["id"] for each in lines_of_json(result)]
    assert sorted(told) == sorted(ids[number] for number in chosen)
    assert result.exit_code == (0 if chosen else 3)


def test_redriven_events_are_delivered_like_any_other(engine: Engine, url: str) -> None:
    ids = refuse(engine, "unknown schema", "unknown schema", "no such field")
    before = rows_in(engine, tables.rejected)

    result = run("outbox", "redrive", "--error", "unknown", "--database", url)

    assert result.stdout == "2 events wait for delivery again\n"
    assert ids_in(engine, tables.rejected) == ids[2:]
    back = rows_in(engine, tables.outbox)
    assert [row["seq"] for row in back] == [row["seq"] for row in before[:2]]
    with ScriptedGateway() as gateway:
        assert drained(engine, gateway).delivered == 2
    assert ids_in(engine, tables.journal) == ids[:2]


def test_redrive_is_safe_to_repeat(engine: Engine, url: str) -> None:
    ids = refuse(engine, "unknown schema")

    first = run("outbox", "redrive", "--all", "--database", url, "--json")
    second = run("outbox", "redrive", "--all", "--database", url, "--json")

    assert lines_of_json(first) == [{"redriven": 1}]
    assert (second.exit_code, second.stdout) == (3, "")
    assert ids_in(engine, tables.outbox) == ids


def test_many_who_redrive_at_once_bring_each_event_back_once(engine: Engine) -> None:
    ids = refuse(engine, *["unknown schema"] * 40)
    counts: list[int] = []

    def work() -> None:
        counts.append(claims.redrive(engine, Wanted()).count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == len(ids)
    assert ids_in(engine, tables.outbox) == ids
    assert ids_in(engine, tables.rejected) == []


def test_redrive_waits_for_nothing_that_another_has_claimed(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks no rows")
    ids = refuse(engine, *["unknown schema"] * 40)
    first = select(tables.rejected).limit(1).order_by(tables.rejected.c.seq)
    work = threading.Thread(target=claims.redrive, args=(engine, Wanted()))

    with engine.begin() as another:
        another.execute(first.with_for_update())
        work.start()
        work.join(timeout=20)
        assert not work.is_alive()

    assert ids_in(engine, tables.outbox) == ids[1:]
    assert ids_in(engine, tables.rejected) == ids[:1]


def test_a_dry_run_changes_nothing(engine: Engine, url: str) -> None:
    ids = refuse(engine, "unknown schema")

    result = run("outbox", "redrive", HOST, "--dry-run", "--database", url)

    assert result.stdout == "1 event would wait for delivery again\n"
    assert ids_in(engine, tables.rejected) == ids


def test_redrive_wants_to_be_told_what(engine: Engine, url: str) -> None:
    refuse(engine, "unknown schema")

    nothing = run("outbox", "redrive", "--database", url)
    both = run("outbox", "redrive", HOST, "--all", "--database", url)

    assert (nothing.exit_code, both.exit_code) == (2, 2)
    assert "--all" in nothing.stderr


def test_what_is_no_event_of_ours_stays_and_is_named(engine: Engine, url: str) -> None:
    [broken, good] = refuse(engine, "no such field", "no such field")
    with engine.begin() as connection:
        connection.execute(
            update(tables.rejected)
            .where(tables.rejected.c.id == broken)
            .values(payload='{"what": "is this"}')
        )

    result = run("outbox", "redrive", "--all", "--database", url)

    assert result.exit_code == 1
    assert f"{broken} stays rejected:" in result.stderr
    assert ids_in(engine, tables.outbox) == [good]
    assert ids_in(engine, tables.rejected) == [broken]


def test_a_database_without_our_tables_is_told_of(engine: Engine, url: str) -> None:
    tables.metadata.drop_all(engine)

    for command in (["status"], ["rejected"], ["redrive", "--all"]):
        result = run("outbox", *command, "--database", url)

        assert result.exit_code == 1
        assert "create_tables(engine)" in result.stderr


def test_an_event_of_another_host_is_left_alone(engine: Engine, url: str) -> None:
    ids = refuse(engine, "unknown schema", host=OTHER)
    reject(engine, replace(installation(Action.CREATE), jira_hostname=None), "x")

    run("outbox", "redrive", OTHER, "--database", url)

    assert ids_in(engine, tables.outbox) == ids
