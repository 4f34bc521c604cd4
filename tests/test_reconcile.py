"""What changed without an event is found, and recorded where that is asked for."""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tracked_models
from click.testing import CliRunner, Result
from databases import Database
from sqlalchemy import (
    CHAR,
    Dialect,
    Engine,
    Float,
    ForeignKey,
    String,
    TypeDecorator,
    Uuid,
    column,
    delete,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import UserDefinedType
from tracked_models import HOST, Installation, Subscription

from hydro_hooks import (
    DatabaseError,
    Event,
    Hooks,
    State,
    because,
    creation,
    installation,
    register,
    track,
)
from hydro_hooks import recorded as recorded_signal
from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.journal import PAGE, prune
from hydro_hooks.outbox import OURS
from hydro_hooks.reconcile import Difference, Reconciliation
from hydro_hooks.relay import Relay
from hydro_hooks.tables import journal, outbox
from hydro_hooks.testing import recorded
from hydro_hooks.testing.gateway import LocalGateway
from hydro_hooks.web import create_pages_app

UNSEEN = {OURS: True}
"""Option of a statement that detection takes for one of its own, and lets pass."""


@pytest.fixture
def hooks(engine: Engine) -> Iterator[Hooks]:
    tracked_models.Base.metadata.create_all(engine)
    with register(*tracked_models.mappings()) as hooks:
        yield hooks


def unseen(engine: Engine, *statements: object) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement, execution_options=UNSEEN)  # type: ignore[call-overload]


def add(engine: Engine, *numbers: int, enabled: bool = True) -> None:
    with Session(engine) as session, because("jira webhook"):
        session.add_all(Installation(id=one, enabled=enabled) for one in numbers)
        session.commit()


def differences(engine: Engine, hooks: Hooks, *, record: bool = False) -> list[str]:
    run = Reconciliation(engine=engine, models=hooks.models, is_recording=record)
    return [told(one) for one in run.run()]


def told(one: Difference) -> str:
    return f"{one.association} {one.subject_id}: {one.recorded} to {one.found}"


def deliver(engine: Engine) -> None:
    with LocalGateway() as gateway:
        Relay(engine, gateway.settings()).drain()


def test_where_everything_is_recorded_nothing_differs(
    engine: Engine, hooks: Hooks
) -> None:
    add(engine, 1, 2)
    deliver(engine)
    add(engine, 3)
    with Session(engine) as session:
        session.delete(session.get_one(Installation, 1))
        session.get_one(Installation, 2).enabled = False
        session.commit()

    assert differences(engine, hooks) == []


@pytest.mark.parametrize("is_delivered", [False, True])
def test_each_kind_of_change_that_nobody_saw_is_found(
    engine: Engine, hooks: Hooks, *, is_delivered: bool
) -> None:
    add(engine, 1, 2)
    add(engine, 3, enabled=False)
    if is_delivered:
        deliver(engine)
    unseen(
        engine,
        delete(Installation).where(Installation.id == 1),
        update(Installation).where(Installation.id == 2).values(enabled=False),
        update(Installation).where(Installation.id == 3).values(enabled=None),
        insert(Installation).values(id=4, jira_host=HOST, enabled=True),
        insert(Subscription).values(id=9, github_installation_id=77, jira_host=HOST),
    )

    found = differences(engine, hooks)
    again = differences(engine, hooks)

    assert found == again  # nothing was written
    assert sorted(found) == [
        "installation 1: enabled to absent",
        "installation 2: enabled to disabled",
        "installation 4: absent to enabled",
        "subscription 9: absent to enabled",
    ]


def test_what_is_missing_is_recorded_once_with_what_is_known_of_it(
    engine: Engine, hooks: Hooks
) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with Session(engine) as session:
        session.add(Installation(id=1))
        session.add(Subscription(id=5, github_installation_id=77, installation_id=1))
        session.commit()
    unseen(
        engine,
        delete(Subscription),
        update(Installation).values(enabled=False, jira_host="https://new.jira.com"),
    )
    heard: list[Event] = []

    def hear(_: object, event: Event) -> None:
        heard.append(event)

    with recorded_signal.connected_to(hear):
        found = differences(engine, hooks, record=True)
    again = differences(engine, hooks, record=True)

    assert (len(found), again) == (2, [])
    first, second = recorded(engine)[2:]
    assert [event.id for event in heard] == [first.id, second.id]
    assert (first.type, first.jira_hostname) == (
        "installation.disable",
        "https://new.jira.com",
    )
    # Of a row that is gone: what was recorded of it last.
    assert (second.type, second.subject_id) == ("subscription.destroy", "5")
    assert (second.github_installation_id, second.jira_hostname) == (77, HOST)
    assert second.jira_integration_id == 1
    for event in (first, second):
        assert (event.reason, event.origin) == ("unattributed", "hydro-hooks reconcile")
        assert (event.github_actor, event.jira_actor) == (None, None)
        after, until = re.findall(r"[\d-]{10} [\d:]{8}", str(event.note))
        assert f"{before:%F %T}" <= after <= until <= f"{event.occurred_at:%F %T}"
        assert str(event.note).startswith("found by reconcile: it happened after")
    assert first.transaction_id != second.transaction_id


def test_the_first_run_of_an_app_that_has_rows_is_the_baseline(
    engine: Engine, hooks: Hooks
) -> None:
    rows = [{"id": n, "host": HOST, "is_enabled": n % 2 > 0} for n in range(1, 1402)]
    with engine.begin() as connection:
        connection.execute(insert(Installation), rows, execution_options=UNSEEN)
    run = Reconciliation(engine=engine, models=hooks.models, is_recording=True)
    found = list(run.run())
    later = Reconciliation(engine=engine, models=hooks.models)

    assert len(found) == run.differing == 1401
    assert list(later.run()) == []
    assert later.compared >= 1401
    events = recorded(engine)
    assert {event.type for event in events} == {"installation.create"}
    assert [event.subject_id for event in events] == [str(row["id"]) for row in rows]
    assert sum(event.state == State.DISABLED for event in events) == 700
    assert str(events[0].note).startswith("found by reconcile: it happened before")
    assert {event.id for event in events} == {one.event_id for one in found}


def test_what_happened_after_a_run_that_left_nothing_is_told_to_be_since(
    engine: Engine, hooks: Hooks
) -> None:
    add(engine, 1)
    assert differences(engine, hooks, record=True) == []
    unseen(engine, update(Installation).values(enabled=False))
    listed = next(Reconciliation(engine=engine, models=hooks.models).run())
    again = next(Reconciliation(engine=engine, models=hooks.models).run())

    assert listed.after is not None
    assert listed.after > recorded(engine)[0].occurred_at
    assert again.after == listed.after  # a run that only lists notes nothing


def test_a_row_that_another_transaction_holds_is_left_to_the_next_run(
    engine: Engine, hooks: Hooks
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: whoever records waits for it")
    add(engine, 1, 2)
    unseen(engine, update(Installation).values(enabled=False))
    with Session(engine) as session:
        session.get_one(Installation, 1, with_for_update=True)
        run = Reconciliation(engine=engine, models=hooks.models, is_recording=True)
        found = [told(one) for one in run.run()]
        session.rollback()
    with engine.connect() as connection:
        noted = creation.stored(connection, "reconciled.installation")

    assert found == ["installation 2: enabled to disabled"]
    assert (run.held, noted) == (1, None)
    assert differences(engine, hooks, record=True) == [
        "installation 1: enabled to disabled"
    ]


def test_two_runs_at_once_record_each_difference_once(
    engine: Engine, hooks: Hooks
) -> None:
    add(engine, *range(1, 301))
    unseen(engine, delete(Installation).where(Installation.id <= 200))
    unseen(engine, update(Installation).values(enabled=False))
    start = threading.Barrier(2)

    def run() -> list[str]:
        start.wait()
        return differences(engine, hooks, record=True)

    with ThreadPoolExecutor() as both:
        runs = [both.submit(run) for _ in range(2)]
        found = [one for run in runs for one in run.result()]
    events = [(one.type, one.subject_id) for one in recorded(engine)[300:]]

    assert len(found) == len(events) == 300
    assert len(set(events)) == 300


def test_what_a_relay_moves_meanwhile_is_not_overlooked(
    engine: Engine, hooks: Hooks
) -> None:
    add(engine, 2, 3)
    deliver(engine)
    add(engine, 1)
    unseen(engine, delete(Installation).where(Installation.id == 1))
    pages: list[Reconciliation] = []

    def moved(run: Reconciliation) -> None:
        pages.append(run)
        if len(pages) == 2:  # the rows' page, and the first one of the subjects
            deliver(engine)

    run = Reconciliation(engine=engine, models=hooks.models[:1], progress=moved)

    assert [told(one) for one in run.run()] == ["installation 1: enabled to absent"]


def test_a_pruned_journal_tells_of_the_rows_that_are_there(
    engine: Engine, hooks: Hooks
) -> None:
    add(engine, 1, 2)
    with Session(engine) as session:
        session.get_one(Installation, 1).enabled = False
        session.delete(session.get_one(Installation, 2))
        session.commit()
    deliver(engine)

    assert prune(engine, dt.datetime.now(dt.UTC)) == 3
    with engine.connect() as connection:
        assert connection.scalars(select(journal.c.action)).all() == ["disable"]
    assert differences(engine, hooks, record=True) == []


def flip(engine: Engine, number: int) -> None:
    with Session(engine) as session, because("web interaction"):
        row = session.get(Installation, number, with_for_update=True)
        if row is None:
            session.add(Installation(id=number))
        elif number % 3:
            row.enabled = not row.enabled
        else:
            session.delete(row)
        session.commit()


def test_beside_running_writers_nothing_is_invented(
    engine: Engine, hooks: Hooks
) -> None:
    """Writers change rows all the time, each change recorded: nothing is missing."""
    add(engine, *range(1, 41))
    stop = threading.Event()
    failures: list[DBAPIError] = []

    def write(numbers: range) -> None:
        while not stop.is_set():
            for number in numbers:
                stop.wait(0.002)
                try:
                    flip(engine, number)
                except DBAPIError as error:
                    if "locked" not in str(error.orig):  # SQLite has one writer
                        failures.append(error)
                        return

    writers = [threading.Thread(target=write, args=(range(n, 41, 2),)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        listed = [differences(engine, hooks) for _ in range(4)]
        written = [differences(engine, hooks, record=True) for _ in range(4)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()

    assert failures == []
    assert listed + written == [[]] * 8
    assert differences(engine, hooks) == []


def test_a_baseline_reads_no_table_whole_on_postgresql(
    engine: Engine, hooks: Hooks
) -> None:
    """Of a table that was just filled it has no statistics, and takes it for small."""
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL plans by statistics that a new table lacks")
    rows = [{"id": n, "host": HOST, "is_enabled": True} for n in range(6000)]
    with engine.begin() as connection:
        for table in ("hydro_outbox", "installation"):
            off = f"ALTER TABLE {table} SET (autovacuum_enabled = false)"
            connection.execute(text(off))
        connection.execute(text("SELECT pg_stat_reset()"))  # of earlier tests' reads
        connection.execute(insert(Installation), rows, execution_options=UNSEEN)

    assert len(differences(engine, hooks, record=True)) == 6000

    engine.dispose()  # a session tells its counts at its end
    read = text(
        "SELECT max(seq_tup_read) FROM pg_stat_user_tables"
        " WHERE relname IN ('hydro_outbox', 'installation')"
    )
    with engine.connect() as connection:
        assert connection.execute(read).scalar_one() <= 6000


class Base(DeclarativeBase):
    pass


class Size(enum.Enum):
    SMALL = enum.auto()
    LARGE = enum.auto()


class Place(Base):
    """With a key of two columns, and soft deletes."""

    __tablename__ = "place"

    country: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    is_there: Mapped[bool] = mapped_column(default=True)


class Device(Base):
    """With a key of UUIDs."""

    __tablename__ = "device"

    id: Mapped[uuid.UUID] = mapped_column(Uuid(), primary_key=True, default=uuid.uuid4)


class Kind(Base):
    """A base class, and in a table of its own its subclass."""

    __tablename__ = "kind"
    __mapper_args__ = {"polymorphic_on": "name", "polymorphic_identity": "kind"}  # noqa: RUF012 - theirs

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


class Letter(Base):
    """With a key whose order is not that of its text, and of a flag."""

    __tablename__ = "letter"

    size: Mapped[Size] = mapped_column(primary_key=True)
    is_new: Mapped[bool] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Special(Kind):
    __tablename__ = "special"
    __mapper_args__ = {"polymorphic_identity": "special"}  # noqa: RUF012 - theirs

    id: Mapped[int] = mapped_column(ForeignKey("kind.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)


class Guid(TypeDecorator[uuid.UUID]):
    """As SQLAlchemy's documentation has it: it says nothing of Python's type."""

    impl = CHAR(32)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> Any:
        return value and value.hex

    def process_result_value(self, value: Any, _dialect: object) -> Any:
        return value and uuid.UUID(value)


class Gadget(Base):
    """With a key of a type of the program's."""

    __tablename__ = "gadget"

    id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)


class Marked(TypeDecorator[str]):
    """Reads what others wrote with a mark of theirs, and writes its own."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> Any:
        return value and f"a{value}"

    def process_result_value(self, value: Any, _dialect: object) -> Any:
        return value and value[1:]


class Foreign(Base):
    """With a key that another program writes otherwise."""

    __tablename__ = "others"

    id: Mapped[str] = mapped_column(Marked(), primary_key=True)


class Opaque:
    """A key that is equal to nothing but itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class OpaqueText(UserDefinedType[Opaque]):
    """A type that does not say what Python has for it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VARCHAR(20)"

    def bind_processor(self, _dialect: object) -> Callable[[Any], str]:
        return str

    def result_processor(
        self, _dialect: object, _kind: object
    ) -> Callable[[Any], Opaque]:
        return Opaque


class Box(Base):
    __tablename__ = "box"

    id: Mapped[Any] = mapped_column(OpaqueText(), primary_key=True)


class Grade(TypeDecorator[str]):
    """An ENUM that its class does not show."""

    impl = String(20)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.ENUM("low", "high"))
        return dialect.type_descriptor(String(20))


class Graded(Base):
    __tablename__ = "graded"

    grade: Mapped[str] = mapped_column(Grade(), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Measured(Base):
    __tablename__ = "measured"

    id: Mapped[float] = mapped_column(Float(), primary_key=True, autoincrement=False)


@pytest.fixture
def odd(engine: Engine) -> Iterator[Hooks]:
    Base.metadata.create_all(engine)
    models = (
        track(Place, association="place", present="is_there"),
        track(Device, association="device"),
        track(Letter, association="l" * 100),
        installation(Special, enabled="enabled"),
    )
    with register(*models) as hooks:
        yield hooks


def test_keys_of_several_columns_of_uuids_and_of_subclasses_are_compared(
    engine: Engine, odd: Hooks
) -> None:
    places = [Place(country=c, number=n) for c in ("a", "b") for n in range(600)]
    devices = [Device() for _ in range(3)]
    with Session(engine) as session:
        session.add_all([*places, *devices, Special(id=1), Special(id=2)])
        session.commit()
        gone = devices[0].id
    assert differences(engine, odd) == []

    unseen(
        engine,
        delete(Place).where(Place.country == "a", Place.number == 599),
        update(Place)
        .where(Place.country == "b", Place.number == 0)
        .values(is_there=False),
        delete(Device).where(Device.id == gone),
        text("UPDATE special SET enabled = false WHERE id = 2"),
    )

    assert differences(engine, odd, record=True) == [
        'place ["b",0]: enabled to absent',
        'place ["a",599]: enabled to absent',
        f"device {gone}: enabled to absent",
        "installation 2: enabled to disabled",
    ]
    assert differences(engine, odd, record=True) == []


def test_pages_follow_keys_of_enums_and_of_flags(engine: Engine, odd: Hooks) -> None:
    letters = [
        {"size": size, "is_new": is_new, "number": number}
        for size in Size
        for is_new in (False, True)
        for number in range(600)
    ]
    unseen(engine, *(insert(Letter).values(letters[n::4]) for n in range(4)))

    assert len(differences(engine, odd, record=True)) == 2400
    assert differences(engine, odd, record=True) == []


def test_a_soft_deleted_row_that_another_transaction_holds_is_left_to_the_next_run(
    engine: Engine, odd: Hooks
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: whoever records waits for it")
    with Session(engine) as session:
        session.add(Place(country="a", number=1))
        session.commit()
    unseen(engine, update(Place).values(is_there=False))
    with Session(engine) as session:
        session.get_one(Place, ("a", 1), with_for_update=True)
        run = Reconciliation(engine=engine, models=odd.models, is_recording=True)
        assert list(run.run()) == []
        session.rollback()

    assert run.held == 1
    assert differences(engine, odd, record=True) == ['place ["a",1]: enabled to absent']


def test_a_subject_whose_key_is_lost_is_counted_and_the_run_not_noted(
    engine: Engine, odd: Hooks
) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Device).values(id=uuid.uuid4()))
    unseen(engine, delete(Device))
    with engine.begin() as connection:
        connection.execute(update(outbox).values(subject_id="x" * 254 + "…"))
    run = Reconciliation(engine=engine, models=odd.models, is_recording=True)
    found = list(run.run())
    with engine.connect() as connection:
        noted = creation.stored(connection, "reconciled.device")

    assert (found, run.unreadable, noted) == ([], 1, None)


def test_keys_of_a_type_that_says_nothing_of_its_values_are_compared(
    engine: Engine,
) -> None:
    Base.metadata.create_all(engine)
    with register(track(Gadget, association="gadget")) as hooks:
        with Session(engine) as session:
            session.add_all([Gadget(), Gadget()])
            session.commit()
            gone, _ = session.scalars(select(Gadget.id))
        assert differences(engine, hooks) == []

        unseen(engine, delete(Gadget).where(Gadget.id == gone))
        assert differences(engine, hooks) == [f"gadget {gone}: enabled to absent"]

        unseen(engine, delete(Gadget))  # no key is left that tells of what class it is
        run = Reconciliation(engine=engine, models=hooks.models)
        assert (list(run.run()), run.unreadable) == ([], 2)


def test_rows_without_an_order_to_be_read_in_end_the_run_with_a_word(
    engine: Engine,
) -> None:
    if engine.dialect.name != "mariadb":
        pytest.skip("only MariaDB gives a float back otherwise than it compares it")
    Base.metadata.create_all(engine)
    unseen(engine, text("INSERT INTO measured VALUES (1.1)"))

    with register(track(Measured, association="measured")) as hooks:
        run = Reconciliation(engine=engine, models=hooks.models).run()
        assert told(next(run)) == "measured 1.1: absent to enabled"
        with pytest.raises(DatabaseError, match="rows of Measured have no order"):
            next(run)


@pytest.mark.parametrize("record", [False, True])
def test_rows_that_are_stored_otherwise_than_their_type_writes_them_are_all_told(
    engine: Engine,
    record: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    Base.metadata.create_all(engine)
    keys = [{"id": f"b{number:05}"} for number in range(PAGE + 200)]
    unseen(engine, insert(table("others", column("id"))).values(keys))

    with register(track(Foreign, association="foreign")) as hooks:
        models = hooks.models
        for _ in range(2):
            run = Reconciliation(engine=engine, models=models, is_recording=record)
            found = [told(one) for one in run.run()]

            assert found == [
                f"foreign {number:05}: absent to enabled"
                for number in range(PAGE + 200)
            ]
            assert (run.held, run.unreadable) == (0, PAGE + 200 if record else 0)
        assert recorded(engine) == []


def test_a_row_that_is_not_found_by_its_key_is_not_taken_for_deleted(
    engine: Engine,
) -> None:
    Base.metadata.create_all(engine)
    with register(track(Foreign, association="foreign")) as hooks:
        with Session(engine) as session:
            session.add(Foreign(id="x"))
            session.commit()
        unseen(engine, text("UPDATE others SET id = 'bx'"))

        run = Reconciliation(engine=engine, models=hooks.models, is_recording=True)
        assert (list(run.run()), run.unreadable) == ([], 1)


def test_keys_that_are_objects_are_compared_by_their_text(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    unseen(engine, text("INSERT INTO box VALUES ('a'), ('b')"))
    with register(track(Box, association="box")) as hooks:
        assert differences(engine, hooks, record=True) == [
            "box a: absent to enabled",
            "box b: absent to enabled",
        ]
        assert differences(engine, hooks) == []
        unseen(engine, text("DELETE FROM box WHERE id = 'a'"))

        assert differences(engine, hooks, record=True) == ["box a: enabled to absent"]
        assert differences(engine, hooks) == []


def test_an_enum_that_its_class_does_not_show_is_read_to_its_end(
    engine: Engine,
) -> None:
    Base.metadata.create_all(engine)
    keys = [
        {"grade": grade, "number": number}
        for grade in ("low", "high")
        for number in range(PAGE)
    ]
    unseen(engine, insert(Graded).values(keys))
    with register(track(Graded, association="graded")) as hooks:
        run = Reconciliation(engine=engine, models=hooks.models)

        assert len(list(run.run())) == run.compared == 2 * PAGE


def test_a_key_that_was_spelled_anew_unseen_is_a_row_that_went_and_one_that_came(
    engine: Engine, odd: Hooks
) -> None:
    with Session(engine) as session:
        session.add(Place(country="abc", number=1))
        session.commit()
    unseen(engine, text("UPDATE place SET country = 'ABC'"))

    assert differences(engine, odd, record=True) == [
        'place ["ABC",1]: absent to enabled',
        'place ["abc",1]: enabled to absent',
    ]
    assert differences(engine, odd, record=True) == []


def test_missing_tables_are_named(database: Database) -> None:
    engine = database.engine()
    with register(*tracked_models.mappings()) as hooks:
        with pytest.raises(DatabaseError, match="has no hydro_outbox, hydro_journal"):
            differences(engine, hooks)
    engine.dispose()


# The command.


def command(database: Database, *options: str, app: str = "hooks_here:hooks") -> Result:
    arguments = ["reconcile", "--app", app, "--database", database.text_url, *options]
    return CliRunner().invoke(hydro_hooks, arguments)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_here.py").write_text(
        "import tracked_models\nfrom hydro_hooks import register\n"
        "hooks = register(*tracked_models.mappings())\n"
        "def make():\n    return hooks\n"
        "other = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hooks_here", raising=False)  # an earlier test's


@pytest.mark.usefixtures("hooks")
def test_what_was_found_is_told_to_have_happened_before(
    engine: Engine, hooks: Hooks, database: Database
) -> None:
    add(engine, 1, 2)
    unseen(
        engine,
        update(Installation).where(Installation.id == 1).values(enabled=False),
        delete(Installation).where(Installation.id == 2),
    )
    assert len(differences(engine, hooks, record=True)) == 2

    def why(key: int) -> str:
        options = ("why", str(key), "--database", database.text_url)
        return CliRunner().invoke(hydro_hooks, options).stdout

    page = (
        create_pages_app(engine).test_client().get("/search?q=1", follow_redirects=True)
    )
    assert "Disabled since before" in page.text
    assert "installation 1 is disabled since before 20" in why(1)
    assert "installation 2 is absent (destroyed) since before 20" in why(2)


def test_before_a_row_was_found_its_state_is_not_known(
    engine: Engine, hooks: Hooks
) -> None:
    unseen(engine, insert(Installation).values(id=1))
    assert len(differences(engine, hooks, record=True)) == 1
    with Session(engine) as session:
        session.get_one(Installation, 1).enabled = False
        session.commit()

    page = create_pages_app(engine).test_client().get("/search?q=1").text

    [first, *_] = re.findall(r"<title>installation 1 ([^<]*?):", page)
    assert first == "not known"


@pytest.mark.usefixtures("app", "hooks")
def test_the_command_lists_records_and_says_by_its_exit_code_what_it_found(
    engine: Engine, database: Database
) -> None:
    add(engine, 1, 2)
    nothing = command(database)
    unseen(engine, delete(Installation).where(Installation.id == 1))
    listed = command(database)
    as_json = command(database, "--json", "--record", app="hooks_here:make")
    done = command(database, "--record")

    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nothing differs" in nothing.stderr
    assert (listed.exit_code, listed.stdout) == (
        1,
        "installation 1 is absent, but enabled by what is recorded: destroy\n",
    )
    assert "1 differs; --record records it" in listed.stderr
    line = json.loads(as_json.stdout)
    assert as_json.exit_code == 1
    assert (line["subjectId"], line["action"]) == ("1", "destroy")
    assert line["eventId"] == recorded(engine)[-1].id
    assert "1 differs; recorded now" in as_json.stderr
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.usefixtures("app", "hooks")
def test_the_command_refuses_what_is_no_handle_and_says_what_to_give(
    database: Database,
) -> None:
    for app, problem in (
        ("hooks_here", "'hooks_here' is not MODULE:HOOKS"),
        ("nowhere:hooks", "No module named 'nowhere'"),
        ("hooks_here:hocks", "has no attribute 'hocks'"),
        ("hooks_here:other", "is an int; name what register() gave"),
    ):
        result = command(database, app=app)
        assert result.exit_code == 2
        assert problem in " ".join(result.stderr.split())


@pytest.mark.usefixtures("hooks")
def test_an_app_that_fails_by_itself_is_told_with_the_place(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, code, problem in (
        ("app_a", "import os\nos.environ['NO_SUCH']", "importing app_a failed: KeyErr"),
        ("app_b", "import no_such_package", "importing app_b failed: ModuleNotFound"),
        ("app_c", "None.foo", "importing app_c failed: AttributeError"),
        ("app_d", "def hooks(config): ...", "calling app_d:hooks failed: TypeError"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        result = command(database, app=f"{name}:hooks")
        told = " ".join(result.stderr.split())
        assert (result.exit_code, result.stdout) == (1, "")
        assert problem in told
        if "calling" not in problem:
            assert f"{name}.py:{1 + code.count(chr(10))}" in told


@pytest.mark.usefixtures("app", "hooks")
def test_rows_that_are_held_do_not_pass_for_no_difference(
    engine: Engine, database: Database
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: whoever records waits for it")
    unseen(engine, insert(Installation).values(id=1))
    with Session(engine) as session:
        session.get_one(Installation, 1, with_for_update=True)
        result = command(database, "--record")

    assert result.exit_code == 1
    assert "compared: what differs is held" in result.stderr
    assert "1 row is left to the next run" in result.stderr


@pytest.mark.usefixtures("app", "hooks")
def test_a_run_that_is_interrupted_says_what_became_of_it(
    engine: Engine, database: Database
) -> None:
    rows = [{"id": key} for key in range(1, 600)]
    unseen(engine, insert(Installation).values(rows))

    def interrupt(_: object, event: Event) -> None:
        if event.subject_id == "300":
            signal.raise_signal(signal.SIGINT)

    with recorded_signal.connected_to(interrupt):
        result = command(database, "--record")

    assert result.exit_code == 1
    assert (
        "compared: 250 differ; recorded now; interrupted: what it recorded stays"
        in (result.stderr)
    )
    assert len(recorded(engine)) == 250


@pytest.mark.usefixtures("app", "hooks")
def test_the_command_records_nothing_where_tracking_is_disabled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DISABLED", "true")
    result = command(database, "--record")

    assert result.exit_code == 1
    assert "TRACKING_DISABLED is set" in result.stderr


@pytest.mark.usefixtures("app", "engine")
def test_a_models_table_that_is_not_there_fails_in_one_line(database: Database) -> None:
    with register(*tracked_models.mappings()):
        result = command(database)

    assert result.exit_code == 1
    assert "installation" in result.stderr
    assert "Traceback" not in result.stderr
