from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from databases import Database
from sample_events import ids_in, record, rows_in, sample_event, sample_events
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from hydro_hooks import claims, creation, outbox, tables
from hydro_hooks.claims import Lease, Settlement
from hydro_hooks.claims.faults import other_faults
from hydro_hooks.claims.horizon import ANY, LOOK_SECONDS
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.tables import SHARDS

MINUTE = timedelta(minutes=1)
OVER_AT_ONCE = timedelta(0)
SHARD = outbox.shard_of("19")


def claimed(engine: Engine, duration: timedelta = MINUTE) -> Lease:
    lease = try_to_claim(engine, duration)
    assert lease is not None
    return lease


def try_to_claim(engine: Engine, duration: timedelta = MINUTE) -> Lease | None:
    claims.ready_shards(engine)
    return claims.claim(engine, SHARD, duration)


def heads(engine: Engine, limit: int = 50) -> list[Any]:
    rows = claims.head(engine, SHARD, limit=limit)
    return [row._asdict() for row in rows]


def settled(engine: Engine, lease: Lease, **what: Any) -> bool:
    settlement = Settlement(schema="jira.v1.Action", settled_by="test", **what)
    return claims.settle(engine, lease, settlement)


def shard_row(engine: Engine) -> dict[str, Any]:
    return rows_in(engine, tables.shard)[SHARD]


def test_rows_of_shards_are_made_where_they_are_missing(engine: Engine) -> None:
    assert claims.ready_shards(engine) == {}

    with engine.begin() as connection:
        connection.execute(tables.shard.delete().where(tables.shard.c.shard > 3))
    assert claims.ready_shards(engine) == {}

    rows = rows_in(engine, tables.shard)
    assert [row["shard"] for row in rows] == list(range(SHARDS))


def test_relays_that_start_at_once_make_the_rows_once(engine: Engine) -> None:
    barrier = threading.Barrier(4)

    def start() -> dict[int, int]:
        barrier.wait()
        return claims.ready_shards(engine)

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(start) for _ in range(4)]]

    assert results == [{}, {}, {}, {}]
    assert len(rows_in(engine, tables.shard)) == SHARDS


def test_a_shard_with_events_is_ready(engine: Engine) -> None:
    record(engine, [sample_event(jira_integration_id=number) for number in (19, 20)])

    ready = claims.ready_shards(engine)

    assert sorted(ready) == sorted({outbox.shard_of("19"), outbox.shard_of("20")})


def test_a_leased_shard_is_not_ready_until_it_is_released(engine: Engine) -> None:
    record(engine, [sample_event()])
    lease = claimed(engine)
    assert claims.ready_shards(engine) == {}

    claims.release(engine, lease)

    assert list(claims.ready_shards(engine)) == [SHARD]


def test_a_lease_that_is_over_is_free_for_another(engine: Engine) -> None:
    record(engine, [sample_event()])
    old = claimed(engine, OVER_AT_ONCE)
    assert list(claims.ready_shards(engine)) == [SHARD]

    new = claimed(engine)

    assert new.token != old.token


def test_a_leased_shard_is_not_leased_again(engine: Engine) -> None:
    claimed(engine)

    assert try_to_claim(engine) is None


def test_of_relays_that_claim_at_once_one_gets_the_shard(engine: Engine) -> None:
    claims.ready_shards(engine)
    barrier = threading.Barrier(4)

    def claim() -> Lease | None:
        barrier.wait()
        return claims.claim(engine, SHARD, MINUTE)

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(claim) for _ in range(4)]]

    assert len([lease for lease in results if lease is not None]) == 1


def test_a_claim_does_not_wait_for_the_one_who_settles(
    engine: Engine, database: Database
) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time; the others wait for it")
    claims.ready_shards(engine)

    its = update(tables.shard).where(tables.shard.c.shard == SHARD)
    with ThreadPoolExecutor(1) as pool:
        with claims.transaction(engine) as settling:
            settling.execute(its.values(attempts=1))

            claim = pool.submit(claims.claim, engine, SHARD, MINUTE)

            assert claim.result(timeout=10) is None


def test_the_head_is_read_in_order_up_to_a_number(engine: Engine) -> None:
    ids = record(engine, sample_events(60))

    rows = heads(engine)

    assert [row["id"] for row in rows] == ids[:50]
    assert [row["id"] for row in heads(engine, 3)] == ids[:3]


def test_the_head_holds_no_other_shards_events(engine: Engine) -> None:
    mine = sample_event()
    record(engine, [sample_event(jira_integration_id=20), mine])

    assert [row["id"] for row in heads(engine)] == [mine.id]


def test_the_head_ends_before_256_kib(engine: Engine) -> None:
    record(engine, sample_events(50, note="ë" * 3500))

    rows = heads(engine)

    sizes = [len(row["payload"].encode()) for row in rows]
    assert sum(sizes) <= claims.MAX_BATCH_BYTES < sum(sizes) + sizes[0]


def test_an_event_larger_than_a_batch_is_a_batch(engine: Engine) -> None:
    record(engine, sample_events(2, note="x" * 300_000))

    assert len(heads(engine)) == 1


def test_the_head_holds_no_two_events_of_one_subject(engine: Engine) -> None:
    first = sample_event(subject_id="1")
    other = sample_event(subject_id="1", association="installation")
    again = sample_event(subject_id="1")
    record(engine, [first, other, again, sample_event(subject_id="2")])

    assert [row["id"] for row in heads(engine)] == [first.id, other.id]


def test_the_head_begins_where_it_is_told_to(engine: Engine) -> None:
    ids = record(engine, sample_events(4))
    second = rows_in(engine, tables.outbox)[1]["seq"]

    rows = claims.head(engine, SHARD, start=second, limit=2)

    assert [row.id for row in rows] == ids[1:3]


def test_below_the_mark_is_looked_at_only_from_the_bottom(engine: Engine) -> None:
    record(engine, sample_events(3))
    first, second, third = (row["seq"] for row in rows_in(engine, tables.outbox))
    lease = claimed(engine)
    assert settled(engine, lease, delivered=(second,), passed=third)
    claims.release(engine, lease)

    def ready() -> dict[int, int]:
        return claims.ready_shards(engine, from_the_bottom=False)

    assert ready() == {SHARD: third}
    assert claims.ready_shards(engine) == {SHARD: first}
    lease = claimed(engine)
    assert settled(engine, lease, delivered=(third,), passed=third + 1)
    claims.release(engine, lease)
    assert ready() == {}
    assert claims.ready_shards(engine) == {SHARD: first}


@pytest.mark.parametrize(
    ("before", "passed", "kept", "after"),
    [(0, 7, None, 7), (7, 3, None, 7), (0, 5, 5, 5), (9, 5, 5, 5), (3, 2, 5, 3)],
)
def test_the_mark_goes_up_but_for_what_is_kept(
    engine: Engine, before: int, passed: int, kept: int | None, after: int
) -> None:
    lease = claimed(engine)
    assert settled(engine, lease, passed=before)

    assert settled(engine, lease, passed=passed, kept=kept)

    assert shard_row(engine)["mark"] == after


def test_below_the_horizon_no_event_appears(engine: Engine, database: Database) -> None:
    def moved(horizon: claims.Horizon, to: int = -1) -> int:
        """Look four times, or until it has moved there: other transactions may run."""
        for look in range(60):
            if horizon.number == to or (to < 0 and look == 4):
                break
            time.sleep(LOOK_SECONDS)
            horizon.move()
        return horizon.number

    record(engine, sample_events(2))
    seqs = [row["seq"] for row in rows_in(engine, tables.outbox)]
    assert settled(engine, claimed(engine, OVER_AT_ONCE), delivered=seqs)
    horizon = claims.Horizon(engine)
    if database.kind != "postgresql":
        assert moved(horizon) == (0 if database.kind == "mariadb" else ANY)
        return
    with engine.connect() as slow, slow.begin():
        outbox.record(slow, [sample_event()])

        assert moved(horizon) == 0  # its number might be smaller, for all one knows

    late = rows_in(engine, tables.outbox)[-1]["seq"]
    assert moved(horizon, to=late) == late
    with engine.connect() as reader:
        reader.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(select(tables.journal.c.seq))
        record(engine, [sample_event()])
        seq = max(row["seq"] for row in rows_in(engine, tables.outbox))
        assert settled(engine, claimed(engine), delivered=(seq,))

        assert moved(horizon, to=seq) == seq  # who only reads keeps nothing back


READS = {
    "sqlite": ("EXPLAIN QUERY PLAN", "USING INDEX ix_hydro_outbox_shard (shard=?"),
    "postgresql": ("EXPLAIN", "Index Scan using ix_hydro_outbox_shard"),
    "mariadb": ("EXPLAIN", "ix_hydro_outbox_shard"),
}


def read_and_explained(
    engine: Engine, explain: str, *, but: Sequence[int] = ()
) -> tuple[list[Any], str]:
    """Read the shard's head, and return it with the plan of its statement."""
    seen: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: Any) -> None:
        if "SELECT" in args[2]:
            seen.append((args[2], args[3]))

    rows = claims.head(engine, SHARD, limit=50, but=but)
    event.remove(engine, "before_cursor_execute", note)
    [(statement, given)] = seen
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"{explain} {statement}", given).all()
    return rows, str(plan)


def test_a_shard_is_read_by_its_index_whatever_waits_elsewhere(
    engine: Engine, database: Database
) -> None:
    # The order by key alone would read all these on the way to the last one.
    elsewhere = outbox.shard_of("20")
    assert elsewhere != SHARD
    record(engine, sample_events(300, jira_integration_id=20))
    [mine] = record(engine, [sample_event()])
    explain, how = READS[database.kind]
    if database.kind != "sqlite":
        table = "TABLE " if database.kind == "mariadb" else ""
        with engine.begin() as connection:
            connection.execute(text(f"ANALYZE {table}hydro_outbox"))
    rows, plan = read_and_explained(engine, explain)

    assert [row.id for row in rows] == [mine]
    assert how in plan


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_is_on_its_way_is_looked_up_and_not_compared_row_by_row(
    engine: Engine,
) -> None:
    record(engine, sample_events(3))
    [first, *_] = heads(engine)
    rows, plan = read_and_explained(engine, "EXPLAIN", but=[first["seq"]])

    assert len(rows) == 2
    assert "hashed SubPlan" in plan


def test_an_event_committed_late_is_found_below_later_ones(
    engine: Engine, database: Database
) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time: nothing commits out of order")
    late, early = sample_event(), sample_event()
    with engine.connect() as slow, slow.begin() as transaction:
        outbox.record(slow, [late])
        record(engine, [early])
        lease = claimed(engine)
        settled(engine, lease, delivered=(heads(engine)[0]["seq"],))
        transaction.commit()

    assert [row["id"] for row in heads(engine)] == [late.id]


def test_delivered_events_move_to_the_journal(engine: Engine) -> None:
    events = sample_events(3)
    record(engine, events)
    before = rows_in(engine, tables.outbox)
    lease = claimed(engine)

    assert settled(engine, lease, delivered=(before[0]["seq"], before[2]["seq"]))

    assert ids_in(engine, tables.outbox) == [events[1].id]
    rows = rows_in(engine, tables.journal)
    assert [row["seq"] for row in rows] == [before[0]["seq"], before[2]["seq"]]
    assert [outbox.event_in(row) for row in rows] == [events[0], events[2]]
    [row, _] = rows
    assert row["schema"] == "jira.v1.Action"
    assert row["attempts"] == 1
    assert row["settled_by"] == "test"
    assert abs(row["settled_at"] - datetime.now(UTC)) < timedelta(hours=1)
    for name in outbox.searchable_row(events[0]):
        assert row[name] == before[0][name]


def test_rejected_events_are_kept_with_the_reason(engine: Engine) -> None:
    events = sample_events(3)
    record(engine, events)
    rows = rows_in(engine, tables.outbox)
    lease = claimed(engine)

    settled(
        engine,
        lease,
        rejected=((rows[0]["seq"], "bad"), (rows[1]["seq"], "wörse")),
    )

    assert ids_in(engine, tables.outbox) == [events[2].id]
    kept = rows_in(engine, tables.rejected)
    assert [row["error"] for row in kept] == ["bad", "wörse"]
    assert [outbox.event_in(row) for row in kept] == events[:2]
    assert kept[0]["attempts"] == 1
    assert kept[0]["schema"] == "jira.v1.Action"


def test_rows_of_the_outbox_are_never_updated(engine: Engine) -> None:
    record(engine, sample_events(2))
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: object) -> None:
        statements.append(str(args[2]))

    lease = claimed(engine)
    first, second = heads(engine)
    settled(
        engine,
        lease,
        delivered=(first["seq"],),
        rejected=((second["seq"], "bad"),),
    )

    assert any(re.search("DELETE .*hydro_outbox", one) for one in statements)
    assert not any("UPDATE hydro_outbox" in statement for statement in statements)


def test_a_relay_that_lost_its_lease_writes_nothing(engine: Engine) -> None:
    ids = record(engine, sample_events(2))
    slow = claimed(engine, OVER_AT_ONCE)
    claimed(engine)
    shard = shard_row(engine)
    first, second = heads(engine)

    is_settled = settled(
        engine,
        slow,
        delivered=(first["seq"],),
        rejected=((second["seq"], "bad"),),
        attempts=5,
        delay=MINUTE,
    )

    assert not is_settled
    assert ids_in(engine, tables.outbox) == ids
    assert rows_in(engine, tables.journal) == []
    assert rows_in(engine, tables.rejected) == []
    assert shard_row(engine) == shard


def test_a_relay_that_lost_its_lease_does_not_release_the_others(
    engine: Engine,
) -> None:
    slow = claimed(engine, OVER_AT_ONCE)
    claimed(engine)
    shard = shard_row(engine)

    claims.release(engine, slow)

    assert shard_row(engine) == shard


def test_a_lease_that_is_over_and_not_taken_still_settles(engine: Engine) -> None:
    ids = record(engine, [sample_event()])
    lease = claimed(engine, OVER_AT_ONCE)

    assert settled(engine, lease, delivered=(heads(engine)[0]["seq"],))

    assert ids_in(engine, tables.journal) == ids


def test_settling_holds_the_lease_for_another_while(engine: Engine) -> None:
    lease = claimed(engine)
    before = shard_row(engine)["leased_until"]

    settled(engine, lease)

    assert shard_row(engine)["leased_until"] > before
    assert try_to_claim(engine) is None


def test_a_shard_that_backs_off_is_neither_ready_nor_claimed(engine: Engine) -> None:
    record(engine, [sample_event()])
    lease = claimed(engine)
    settled(engine, lease, attempts=3, delay=MINUTE)
    claims.release(engine, lease)

    assert claims.ready_shards(engine) == {}
    assert try_to_claim(engine) is None


def test_the_count_of_failed_tries_outlives_the_lease(engine: Engine) -> None:
    lease = claimed(engine)
    settled(engine, lease, attempts=3, delay=timedelta(0))
    claims.release(engine, lease)

    assert claimed(engine).attempts == 3


def test_what_was_tried_before_is_counted_in_the_journal(engine: Engine) -> None:
    record(engine, [sample_event()])
    lease = claimed(engine)
    settled(engine, lease, attempts=3)
    again = Lease(shard=SHARD, token=lease.token, attempts=3, duration=lease.duration)

    settled(engine, again, delivered=(heads(engine)[0]["seq"],))

    [row] = rows_in(engine, tables.journal)
    assert row["attempts"] == 4


ISOLATION = ("default", "AUTOCOMMIT", "SERIALIZABLE", "other")
OTHER = {
    "sqlite": "READ UNCOMMITTED",
    "postgresql": "REPEATABLE READ",
    "mariadb": "READ UNCOMMITTED",
}


@pytest.fixture(params=ISOLATION)
def strange(
    request: pytest.FixtureRequest, database: Database, engine: Engine
) -> Iterator[Engine]:
    """Yield engines of apps of all kinds; on SQLite with the driver's own BEGIN."""
    level = OTHER[database.kind] if request.param == "other" else request.param
    options = {} if level == "default" else {"isolation_level": level}
    strange = create_engine(engine.url, **options)
    yield strange
    strange.dispose()


def test_settling_is_one_transaction_at_any_isolation_level_of_the_app(
    strange: Engine, engine: Engine
) -> None:
    assert_settling_is_atomic(strange)


def test_settling_is_one_transaction_with_explicit_begin(engine: Engine) -> None:
    assert_settling_is_atomic(engine)


def assert_settling_is_atomic(engine: Engine) -> None:
    ids = record(engine, sample_events(2))
    lease = claimed(engine)
    first, second = rows_in(engine, tables.outbox)
    what = {
        "delivered": (first["seq"],),
        "rejected": ((second["seq"], "bad"),),
        "attempts": 7,
    }
    columns = [column.name for column in tables.rejected.c if column.name in second]
    blocker = {name: second[name] for name in columns}
    blocker.update(rejected_at=datetime.now(UTC), error="here first", schema="x")
    with engine.begin() as connection:
        connection.execute(insert(tables.rejected).values(blocker))
    with pytest.raises(IntegrityError):
        settled(engine, lease, **what)

    assert ids_in(engine, tables.outbox) == ids
    assert ids_in(engine, tables.journal) == []
    assert shard_row(engine)["attempts"] == 0

    with engine.begin() as connection:
        connection.execute(tables.rejected.delete())
    assert settled(engine, lease, **what)

    assert ids_in(engine, tables.outbox) == []
    assert ids_in(engine, tables.journal) == ids[:1]
    assert ids_in(engine, tables.rejected) == ids[1:]


def test_the_apps_connections_stay_as_they_were(
    strange: Engine, database: Database
) -> None:
    def state() -> object:
        with strange.connect() as connection:
            driver: Any = connection.connection.driver_connection
            if database.kind == "sqlite":
                return driver.isolation_level  # how the driver treats BEGIN
            if database.kind == "mariadb" and driver.get_autocommit():
                return "AUTOCOMMIT"  # SQLAlchemy leaves the other level behind it
            return connection.get_isolation_level()

    before = state()

    claims.release(strange, claimed(strange))

    assert state() == before


def test_a_claim_waits_for_a_writer_instead_of_failing(database: Database) -> None:
    if database.kind != "sqlite":
        pytest.skip("about SQLite's one lock for writers")
    engine = database.engine()
    creation.create_tables(engine)
    raw = engine.raw_connection()
    raw.cursor().execute("PRAGMA journal_mode = WAL")
    raw.close()
    claims.ready_shards(engine)
    writer = engine.connect()
    transaction = writer.begin()
    outbox.record(writer, [sample_event()])

    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(try_to_claim, engine)
        transaction.commit()

        assert claim.result() is not None
    writer.close()
    engine.dispose()


TIME_ZONES = {
    "sqlite": {},
    "postgresql": {"connect_args": {"options": "-c timezone=Asia/Tokyo"}},
    "mariadb": {"connect_args": {"init_command": "SET time_zone = '+09:00'"}},
}


def test_the_time_zone_of_a_connection_does_not_move_a_lease(
    engine: Engine, database: Database
) -> None:
    abroad = database.engine(**TIME_ZONES[database.kind])
    record(engine, [sample_event()])

    lease = claimed(abroad)

    assert try_to_claim(engine) is None
    assert try_to_claim(abroad) is None
    with engine.connect() as connection:
        until = connection.scalar(
            select(tables.shard.c.leased_until).where(
                tables.shard.c.token == lease.token
            )
        )
    assert until is not None
    assert abs(until - datetime.now(UTC)) < timedelta(minutes=30)
    abroad.dispose()


def test_an_unknown_kind_of_database_is_named() -> None:
    oracle = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    oracle.dialect.name = "oracle"

    with pytest.raises(ConfigurationError, match="oracle"):
        claims.ready_shards(oracle)


def shards_paused(engine: Engine, *, is_held: bool) -> bool:
    settled(
        engine,
        claimed(engine, OVER_AT_ONCE),
        attempts=1,
        delay=MINUTE,
        fault="a fault",
        is_held=is_held,
    )
    return try_to_claim(engine) is None


def test_a_relay_that_starts_anew_lifts_the_pause_of_a_configuration_fault(
    engine: Engine,
) -> None:
    record(engine, [sample_event()])
    assert shards_paused(engine, is_held=True)
    with claims.transaction(engine) as connection:
        release_all(connection)

    claims.lift_holds(engine)

    assert list(claims.ready_shards(engine)) == [SHARD]
    assert claimed(engine).fault == "a fault"


def test_the_pause_of_a_passing_fault_is_not_lifted(engine: Engine) -> None:
    record(engine, [sample_event()])
    assert shards_paused(engine, is_held=False)
    with claims.transaction(engine) as connection:
        release_all(connection)

    claims.lift_holds(engine)

    assert claims.ready_shards(engine) == {}


def release_all(connection: Connection) -> None:
    connection.execute(update(tables.shard).values(token=None, leased_until=None))


def test_a_success_ends_the_fault_of_its_shard(engine: Engine) -> None:
    assert shards_paused(engine, is_held=True)
    claims.lift_holds(engine)

    assert settled(engine, claimed(engine))

    row = shard_row(engine)
    assert (row["fault"], bool(row["is_held"])) == (None, False)


def test_waits_tell_how_many_wait_until_when_and_why(engine: Engine) -> None:
    record(engine, sample_events(3))
    [unknown] = claims.waits(engine)
    assert shards_paused(engine, is_held=True)
    with claims.transaction(engine) as connection:
        release_all(connection)

    [paused] = claims.waits(engine)
    claims.lift_holds(engine)
    claimed(engine)
    [leased] = claims.waits(engine)

    assert unknown == claims.Wait(
        count=3, leased_until=None, not_before=None, fault=None
    )
    assert (paused.count, paused.fault) == (3, "a fault")
    assert paused.not_before is not None
    assert paused.not_before > datetime.now(UTC)
    assert paused.leased_until is None
    assert leased.not_before is None
    assert leased.leased_until is not None


def test_faults_of_other_shards_count_while_they_have_events(engine: Engine) -> None:
    assert shards_paused(engine, is_held=True)
    assert other_faults(engine, {SHARD + 1}) == frozenset()

    record(engine, [sample_event()])

    assert other_faults(engine, {SHARD + 1}) == {"a fault"}
    assert other_faults(engine, {SHARD}) == frozenset()


@pytest.mark.parametrize("last", ["rejected", "delivered", "waiting"])
def test_what_was_recorded_last_is_found_wherever_it_has_gone(
    engine: Engine, last: str
) -> None:
    ids = record(engine, [sample_event(note=str(number)) for number in range(3)])
    lease = claimed(engine)
    first, second, third = (row["seq"] for row in rows_in(engine, tables.outbox))
    if last == "waiting":
        assert settled(engine, lease, delivered=(first,), rejected=((second, "no"),))
    elif last == "rejected":
        assert settled(
            engine, lease, delivered=(first, second), rejected=((third, "no"),)
        )
    else:
        assert settled(engine, lease, delivered=(third,), rejected=((second, "no"),))

    with engine.connect() as connection:
        found = outbox.last_event(connection, "subscription", "7")
        nothing = outbox.last_event(connection, "subscription", "8")

    assert found is not None
    assert found.id == ids[2]
    assert nothing is None
