from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from databases import Database
from delivering import SHARD, drained, relay_threads, shard_row, wait_until
from sample_events import ids_in, record, sample_event, sample_events
from scripted_gateway import SECRET, Scripted, ScriptedGateway
from sqlalchemy import Engine, Pool, SingletonThreadPool, StaticPool, create_engine

from hydro_hooks import claims, creation, outbox, tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.relay import Counts, Relay
from hydro_hooks.settings import Settings
from hydro_hooks.sinks import Message
from hydro_hooks.verdict import Answer, Fault


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


def test_recorded_events_are_delivered_and_move_to_the_journal(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    ids = record(engine, sample_events(3))

    counts = drained(engine, gateway)

    assert counts == Counts(delivered=3, rejected=0, waiting=0)
    assert gateway.event_ids == ids
    assert ids_in(engine, tables.outbox) == []
    assert ids_in(engine, tables.journal) == ids


def test_nothing_to_deliver_sends_nothing(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    assert drained(engine, gateway) == Counts(delivered=0, rejected=0, waiting=0)
    assert gateway.requests == []


def test_without_a_url_events_are_kept_and_the_log_says_so(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(2))
    relay = Relay(engine)

    relay.start()
    relay.run(threading.Event())

    assert relay.drain() == Counts(delivered=0, rejected=0, waiting=2)
    assert relay.stop()
    assert caplog.text.count("HYDRO_BASE_URL is not set: events are recorded") == 3


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (StaticPool, "has the relay's thread share the app's connection"),
        (SingletonThreadPool, "gives the relay's thread a database in memory of its"),
    ],
)
def test_a_pool_without_a_connection_for_the_thread_is_refused(
    gateway: ScriptedGateway, pool: type[Pool], why: str
) -> None:
    engine = create_engine("sqlite://", poolclass=pool)
    creation.create_tables(engine)
    record(engine, sample_events(1))
    relay = Relay(engine, gateway.settings())

    with pytest.raises(ConfigurationError, match=f"engine's {pool.__name__} {why}"):
        relay.start()

    assert relay.drain().delivered == 1  # in the thread that has the database
    engine.dispose()


def test_where_tracking_is_disabled_nothing_is_sent(
    engine: Engine, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(2))
    relay = Relay(engine, gateway.settings(is_disabled=True))

    relay.start()
    relay.run(threading.Event())

    assert relay.drain() == Counts(delivered=0, rejected=0, waiting=2)
    assert gateway.requests == []
    assert "TRACKING_DISABLED is set" in caplog.text


def test_the_settings_come_from_the_environment(
    engine: Engine, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRO_BASE_URL", gateway.url)
    monkeypatch.setenv("HYDRO_APP_SECRET", SECRET)
    record(engine, sample_events(1))

    assert Relay(engine).drain().delivered == 1


def test_a_schema_that_does_not_exist_is_said_at_once() -> None:
    settings = Settings(
        base_url="http://127.0.0.1:9/", secrets=(SECRET,), schema="jira.v9.Action"
    )

    with pytest.raises(ConfigurationError, match=r"jira\.v9\.Action"):
        Relay(create_engine("sqlite://"), settings)


@pytest.mark.parametrize(
    "given", [{"in_flight": 0}, {"in_flight": 17}, {"max_batch": 0}]
)
def test_a_number_out_of_its_range_is_named(given: dict[str, int]) -> None:
    [(name, value)] = given.items()

    with pytest.raises(ValueError, match=f"{name} is {value}; give a number from 1"):
        Relay(create_engine("sqlite://"), Settings(), **given)  # type: ignore[arg-type] # by name


def test_the_background_thread_delivers_what_is_recorded_later(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    relay = Relay(engine, gateway.settings())
    relay.start()

    ids = record(engine, sample_events(2))

    wait_until(lambda: ids_in(engine, tables.journal) == ids)
    assert relay.stop()


def test_starting_again_starts_no_second_thread(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    relay = Relay(engine, gateway.settings())

    relay.start()
    relay.start()

    assert len(relay_threads()) == 1
    assert relay.stop()
    assert relay_threads() == []
    assert relay.stop()


def test_a_stopped_relay_starts_again(engine: Engine, gateway: ScriptedGateway) -> None:
    relay = Relay(engine, gateway.settings())
    relay.start()
    relay.stop()
    ids = record(engine, sample_events(1))

    relay.start()

    wait_until(lambda: ids_in(engine, tables.journal) == ids)
    assert relay.stop()


def test_stopping_settles_what_was_sent_and_sends_no_more(engine: Engine) -> None:
    ids = record(engine, sample_events(120))
    goes_on = threading.Event()
    with ScriptedGateway([Scripted(awaits=goes_on)]) as gateway:
        relay = Relay(engine, gateway.settings())
        relay.start()
        gateway.wait_for(1)
        assert not relay.stop(timeout=0.05)

        goes_on.set()

        wait_until(lambda: not relay_threads())
        assert len(gateway.requests) == 1
    assert ids_in(engine, tables.journal) == ids[:50]
    assert ids_in(engine, tables.outbox) == ids[50:]
    assert shard_row(engine)["token"] is None


def test_a_database_without_tables_is_logged_and_tried_again(
    database: Database, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    engine = database.engine()
    relay = Relay(engine, gateway.settings())
    relay.start()
    wait_until(lambda: "cannot use the app's database" in caplog.text)

    creation.create_tables(engine)
    ids = record(engine, sample_events(1))

    wait_until(lambda: ids_in(engine, tables.journal) == ids)
    assert relay.stop()
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://someone:hidden@127.0.0.1:9/app",
        "mariadb+pymysql://someone:hidden@127.0.0.1:9/app",
        "sqlite:////nowhere/at/all.db",
    ],
)
def test_a_database_that_is_away_does_not_end_the_relay(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    engine = create_engine(url)
    relay = Relay(engine, gateway.settings())
    relay.start()

    wait_until(lambda: "events are kept; trying again" in caplog.text)

    assert len(relay_threads()) == 1
    assert relay.stop()
    assert "hidden" not in caplog.text
    engine.dispose()


class BrokenSink:
    """A user's own sink, which fails where it should return a fault."""

    is_closed = False

    def send(self, _: Sequence[Message], /) -> Answer | Fault:
        message = "broken"
        raise LookupError(message)

    def close(self) -> None:
        self.is_closed = True


def test_a_sink_that_raises_ends_neither_the_relay_nor_the_event(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ids = record(engine, sample_events(1))
    sink = BrokenSink()
    relay = Relay(engine, sink=sink)
    relay.start()

    wait_until(lambda: "The relay failed; events are kept" in caplog.text)

    assert len(relay_threads()) == 1
    assert relay.stop()
    assert sink.is_closed
    assert ids_in(engine, tables.outbox) == ids


class FlakySink:
    """A sink that takes one batch, fails at the next, takes one, and so on."""

    def __init__(self) -> None:
        self._count = 0

    def send(self, _: Sequence[Message], /) -> Answer | Fault:
        self._count += 1
        if self._count % 2 == 0:
            message = "flaky"
            raise LookupError(message)
        return Answer(status=200)

    def close(self) -> None:
        self._count = 0


def test_a_relay_that_gets_on_between_failures_does_not_wait_longer_each_time(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(9))
    lease = timedelta(milliseconds=1)
    relay = Relay(engine, sink=FlakySink(), lease=lease, max_batch=1)

    def pauses() -> list[int]:
        told = re.findall(r"The relay failed; .* again in (\d+) s", caplog.text)
        return [int(seconds) for seconds in told]

    relay.start()
    wait_until(lambda: len(pauses()) >= 4, seconds=60)

    assert relay.stop()
    assert max(pauses()) <= 2


def test_a_relay_that_lost_its_lease_settles_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ids = record(engine, sample_events(2))
    goes_on = threading.Event()
    with ScriptedGateway([Scripted(awaits=goes_on)]) as gateway:
        slow = Relay(engine, gateway.settings(), lease=timedelta(0))
        slow.start()
        gateway.wait_for(1)
        assert claims.claim(engine, SHARD, timedelta(hours=1))
        goes_on.set()
        wait_until(lambda: "to another relay" in caplog.text)
        assert slow.stop()

    assert ids_in(engine, tables.outbox) == ids
    assert ids_in(engine, tables.journal) == []


def test_several_relays_deliver_each_event_once_and_each_subject_in_order(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    events = [
        sample_event(jira_integration_id=number % 40, subject_id=str(number % 40))
        for number in range(400)
    ]
    relays = [Relay(engine, gateway.settings()) for _ in range(3)]
    for relay in relays:
        relay.start()
    for start in range(0, 400, 40):
        record(engine, events[start : start + 40])

    wait_until(lambda: len(ids_in(engine, tables.journal)) == 400)

    assert [relay.stop() for relay in relays] == [True, True, True]
    assert sorted(gateway.event_ids) == sorted(event.id for event in events)
    for subject in range(40):
        mine = [event.id for event in events if event.subject_id == str(subject)]
        assert [id_ for id_ in gateway.event_ids if id_ in mine] == mine


def run_program(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # From Python 3.12 on, a fork beside threads is warned of.
        [sys.executable, "-W", "ignore:This process", "-c", program, *args],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


PROGRAM = """
import os, sys, time
from sqlalchemy import create_engine
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings
from hydro_hooks.sinks import Message
from hydro_hooks.verdict import Answer, Fault
engine = create_engine(sys.argv[1])
relay = Relay(engine, Settings(base_url=sys.argv[2], secrets=("s",)))
imported = set(sys.modules)
relay.start()
"""

ENDING = """
input()
print("the program is done", flush=True)
"""

IMPORTING = """
while not relay.progress.delivered:
    time.sleep(0.01)
assert relay.stop()
print(*(set(sys.modules) - imported))
"""

FORKING = """
from hydro_hooks import outbox
from hydro_hooks.tables import journal
from sqlalchemy import func, select

def delivered():
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(journal))

while delivered() < 1:
    time.sleep(0.01)
pool = engine.pool
child = os.fork()
if child == 0:
    relay.start()
    assert engine.pool is not pool, "the parent's connections are used"
    while delivered() < 2:
        time.sleep(0.01)
    sys.exit(0 if relay.stop() else 1)
relay.stop()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def ending_program(database: Database, url: str) -> subprocess.Popen[str]:
    """Start a program with a relay; it ends once it reads a line."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + ENDING, database.text_url, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_program_ends_while_its_relay_waits_for_an_answer(
    engine: Engine, database: Database
) -> None:
    record(engine, sample_events(1))
    never = threading.Event()
    with ScriptedGateway([Scripted(awaits=never)]) as gateway:
        program = ending_program(database, gateway.url)
        gateway.wait_for(1)

        output = program.communicate("\n", timeout=15)  # sooner than the answer
        never.set()

    assert output == ("the program is done\n", "")
    assert program.returncode == 0


def test_a_program_that_ends_settles_what_is_answered_soon(
    engine: Engine, database: Database
) -> None:
    ids = record(engine, sample_events(1))
    goes_on = threading.Event()
    with ScriptedGateway([Scripted(awaits=goes_on)]) as gateway:
        program = ending_program(database, gateway.url)
        gateway.wait_for(1)
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "the program is done\n"

        time.sleep(0.1)  # the interpreter is at its exit handlers
        goes_on.set()
        program.communicate(timeout=15)

    assert ids_in(engine, tables.journal) == ids


def test_the_relays_threads_import_nothing(
    engine: Engine, database: Database, gateway: ScriptedGateway
) -> None:
    # A fork in the middle of it would leave the import's lock held in the child.
    record(engine, sample_events(1))

    done = run_program(PROGRAM + IMPORTING, database.text_url, gateway.url)

    assert (done.stderr, done.stdout.split()) == ("", [])


def test_a_forked_child_delivers_with_a_thread_of_its_own(
    engine: Engine, database: Database, gateway: ScriptedGateway
) -> None:
    first = record(engine, sample_events(1))
    results: list[subprocess.CompletedProcess[str]] = []
    program = threading.Thread(
        target=lambda: results.append(
            run_program(PROGRAM + FORKING, database.text_url, gateway.url)
        )
    )
    program.start()
    wait_until(lambda: ids_in(engine, tables.journal) == first)
    time.sleep(0.5)

    record(engine, sample_events(1))
    program.join()

    [done] = results
    assert (done.returncode, done.stderr) == (0, "")
    assert len(gateway.event_ids) == 2


def test_a_relay_in_the_background_lifts_what_a_wrong_setting_held_once(
    engine: Engine,
) -> None:
    ids = record(engine, sample_events(2))
    with ScriptedGateway([Scripted(status=401), Scripted(status=401)]) as gateway:
        drained(engine, gateway)
        relay = Relay(engine, gateway.settings())
        relay.start()
        gateway.wait_for(2)
        time.sleep(1.2)  # two more looks at the outbox
        assert len(gateway.requests) == 2
        assert relay.stop()

        relay.start()

        wait_until(lambda: ids_in(engine, tables.journal) == ids)
        assert relay.stop()


def test_a_relay_waits_for_no_transaction_that_has_an_event_in_flight(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time; the others wait for it")
    ids = record(engine, sample_events(5))

    with ThreadPoolExecutor(1) as pool, engine.begin() as another:
        outbox.record(another, [sample_event()])
        assert pool.submit(drained, engine, gateway).result(timeout=20).delivered == 5

    assert ids_in(engine, tables.journal) == ids
