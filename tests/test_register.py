"""register(): what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from databases import Database
from sqlalchemy import Engine, ForeignKey, Integer, String, event, select
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Mapper,
    Session,
    mapped_column,
    relationship,
)
from tracked_models import Installation, Subscription, mappings

from hydro_hooks import (
    ConfigurationError,
    DatabaseError,
    MappingError,
    TrackedModel,
    because,
    create_tables,
    installation,
    register,
    subscription,
    track,
)
from hydro_hooks.testing import recorded


class Base(DeclarativeBase):
    pass


class Site(Base):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20))
    parent_id: Mapped[int | None]

    @property
    def plain(self) -> str:
        return self.host

    @hybrid_property
    def is_active(self) -> bool:
        return self.status == "active"


class SubSite(Site):
    pass


class Waiting(Base):
    """Related to a model that is not imported yet."""

    __tablename__ = "waiting"

    id: Mapped[int] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    others = relationship("NotImportedYet", primaryjoin="foreign(Waiting.id) == 1")


@pytest.fixture
def registered() -> Iterator[None]:
    with register(*mappings()):
        yield


@pytest.mark.parametrize(
    ("make", "field", "says"),
    [
        (
            lambda: installation(Site, jira_hostname="hostname"),
            "jira_hostname",
            "is 'hostname', which Site does not have; it has host, id",
        ),
        (
            lambda: installation(Site, jira_hostname="plain"),
            "jira_hostname",
            "which the database does not know",
        ),
        (
            lambda: installation(Installation, enabled="subscriptions"),
            "enabled",
            "a relationship",
        ),
        (lambda: installation(Site, enabled="status"), "enabled", "is text"),
        (
            lambda: installation(Site, jira_hostname=5),  # type: ignore[arg-type]
            "jira_hostname",
            "is 5; give",
        ),
        (
            lambda: subscription(Site, jira_integration_id=Installation.id),
            "jira_integration_id",
            "not a column of Site; follow it with a scalar subquery",
        ),
        (
            lambda: installation(
                Site, enabled=select(Installation.enabled).scalar_subquery()
            ),
            "enabled",
            "reads another table",
        ),
        (lambda: installation(str), "model", "is not a mapped class"),
        (
            lambda: installation(Installation()),  # type: ignore[arg-type]
            "model",
            "is not a mapped class",
        ),
        (lambda: track(Site, association=""), "association", "give a name of 1 to 100"),
    ],
    ids=[
        "no such attribute",
        "a property",
        "a relationship",
        "text as a flag",
        "a number",
        "another model's column",
        "a flag elsewhere",
        "no model",
        "an instance",
        "no name",
    ],
)
def test_a_wrong_mapping_fails_at_once_naming_model_field_and_remedy(
    make: Callable[[], object], field: str, says: str
) -> None:
    with pytest.raises(MappingError, match=says) as refused:
        make()

    assert refused.value.field == field
    assert str(refused.value).startswith(refused.value.model)


def test_names_attributes_hybrids_and_expressions_are_accepted() -> None:
    one = installation(
        Site,
        jira_hostname=Site.host,
        enabled="is_active",
        present=Site.parent_id.is_(None),
        github_installation_id=select(Subscription.github_installation_id)
        .where(Subscription.id == Site.id)
        .scalar_subquery(),
    )

    assert one.watched == {"id", "host", "status", "parent_id"}
    assert one.flag_attributes == {"status"}


def test_register_configures_no_mapper() -> None:
    """Otherwise a model that is imported later could not be related to."""
    with register(installation(Waiting, enabled="enabled")):
        assert not Waiting.__mapper__.configured
    Base.registry.dispose()


def test_register_may_be_called_when_mappers_have_been_configured(
    engine: Engine,
) -> None:
    class Other(DeclarativeBase):
        pass

    class Shop(Other):
        __tablename__ = "shop"

        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship(cascade="all, delete-orphan")

    class Item(Other):
        __tablename__ = "item"

        id: Mapped[int] = mapped_column(primary_key=True)
        shop_id: Mapped[int] = mapped_column(ForeignKey(Shop.id))

    with contextlib.ExitStack() as hooks:

        @event.listens_for(Mapper, "after_configured", once=True)
        def configured() -> None:
            hooks.enter_context(register(track(Item, association="item")))

        Other.registry.configure()
        Other.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(Shop(id=1, items=[Item(id=1)]))
            session.commit()
            shop = session.get_one(Shop, 1)
            with because("taken out"):
                shop.items.clear()
            session.commit()
            assert [one.reason for one in recorded(session)] == [
                "unattributed",
                "taken out",
            ]


@pytest.mark.usefixtures("registered")
def test_the_same_models_again_are_the_same_handle() -> None:
    assert register(*mappings()) is register(*mappings())


@pytest.mark.usefixtures("tracked")
def test_leaving_a_block_ends_what_its_own_register_began(session: Session) -> None:
    with register(*mappings()):
        session.add(Installation(id=1))
        session.commit()
    session.add(Installation(id=2))
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["1", "2"]
    handle = register(*mappings())
    handle.unregister()  # said outright, it is the end of it
    session.add(Installation(id=3))
    session.commit()
    assert len(recorded(session)) == 2


@pytest.mark.usefixtures("registered")
def test_another_mapping_of_a_tracked_model_is_refused() -> None:
    with pytest.raises(ValueError, match="Installation is tracked already"):
        register(installation(Installation, jira_hostname="jira_host"))


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ((), "at least one"),
        ((Installation,), "takes what installation"),
        (
            (installation(Installation), installation(Subscription)),
            "both called 'installation'",
        ),
        (
            (installation(Installation), track(Installation, association="x")),
            "Installation is given twice, and association first 'installation', then"
            " 'x'; jira_integration_id first 'id', then not given; give it once",
        ),
    ],
    ids=["none", "bare", "same association", "twice"],
)
def test_registrations_that_clash_are_refused(
    models: tuple[TrackedModel, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        register(*models)


def test_a_base_class_and_its_subclass_are_refused() -> None:
    class One(DeclarativeBase):
        pass

    class Parent(One):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Child(Parent):
        pass

    with pytest.raises(ConfigurationError, match="track the base class alone"):
        register(installation(Parent), track(Child, association="child"))


@pytest.mark.usefixtures("registered")
def test_on_failure_is_one_for_the_process() -> None:
    with pytest.raises(ConfigurationError, match="one process has one"):
        register(*mappings(), on_failure="log")
    with pytest.raises(ConfigurationError, match="give 'raise' or 'log'"):
        register(*mappings(), on_failure="ignore")  # type: ignore[arg-type]


def test_unregister_restores_everything(tracked: Engine) -> None:
    handle = register(*mappings())
    wrapped = Session.delete

    handle.unregister()
    handle.unregister()

    assert Session.delete is not wrapped
    assert Session.delete.__code__.co_filename.endswith("session.py")
    assert not list(Installation.__mapper__.dispatch.before_update)
    assert not list(Installation.enabled.dispatch.set)
    with Session(tracked) as session:
        session.add(Installation())
        session.commit()
        row = session.scalars(select(Installation)).one()
        session.delete(row)
        session.commit()
        assert recorded(session) == []


def test_after_unregister_it_may_be_registered_otherwise(tracked: Engine) -> None:
    register(*mappings()).unregister()

    with register(installation(Installation)), Session(tracked) as session:
        session.add(Installation())
        session.commit()

        assert [event.jira_hostname for event in recorded(session)] == [None]


def test_models_of_two_registrations_share_a_transaction(engine: Engine) -> None:
    Installation.metadata.create_all(engine)
    one, two = mappings()
    with register(one), register(two), Session(engine) as session:
        session.add_all([Installation(), Subscription()])
        session.commit()

        assert len({event.transaction_id for event in recorded(session)}) == 1


def test_somebody_elses_wrapper_of_delete_survives() -> None:
    handle = register(*mappings())
    ours = Session.delete

    def theirs(session: Session, instance: object) -> None:
        ours(session, instance)

    Session.delete = theirs  # type: ignore[method-assign, assignment]
    try:
        handle.unregister()
        assert Session.delete is theirs
    finally:
        Session.delete = ours.__wrapped__  # type: ignore[attr-defined, method-assign]


def test_tracking_disabled_records_nothing_and_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TRACKING_DISABLED", "true")
    Installation.metadata.create_all(engine)

    with register(*mappings()), Session(engine) as session:
        session.add(Installation())
        session.commit()

        assert recorded(session) == []
    assert "TRACKING_DISABLED is set" in caplog.text


def test_check_names_the_tables_that_are_missing(
    database: object, engine: Engine
) -> None:
    with register(*mappings()) as hooks:
        hooks.check(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE hydro_outbox")

        with pytest.raises(DatabaseError, match=r"no hydro_outbox; make them with"):
            hooks.check(engine)
        create_tables(engine)
        hooks.check(engine)


def test_the_model_of_an_event_is_the_sender_of_its_signals(session: Session) -> None:
    session.add(Installation())
    session.commit()
    [event] = recorded(session)

    assert register(*mappings()).model_of(event) is Installation
    assert register(*mappings()).model_of(replace(event, association="x")) == "x"


def test_sessions_and_engines_from_before_are_seen(engine: Engine) -> None:
    Installation.metadata.create_all(engine)
    with Session(engine) as session:
        session.execute(select(1))
        with register(*mappings()):
            session.add(Installation())
            session.commit()

            assert len(recorded(session)) == 1


def test_the_programs_own_listeners_stay(tracked: Engine) -> None:
    seen: list[str] = []

    def listener(*_: object) -> None:
        seen.append("commit")

    event.listen(tracked, "commit", listener)
    register(*mappings()).unregister()
    with tracked.begin() as connection:
        connection.execute(select(1))
    event.remove(tracked, "commit", listener)

    assert seen == ["commit"]


def test_importing_hydro_hooks_is_light() -> None:
    heavy = ("flask", "click", "rich", "pytest", "requests", "jsonschema", "waitress")
    code = (
        "import sys, hydro_hooks;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_class_whose_mapping_failed_is_nothing_to_the_others(
    engine: Engine, *, is_first: bool
) -> None:
    class Other(DeclarativeBase):
        pass

    class Shop(Other):
        __tablename__ = "shop"

        id: Mapped[int] = mapped_column(primary_key=True)

    def fail() -> pytest.ExceptionInfo[ArgumentError]:
        with pytest.raises(ArgumentError) as failure:

            class Broken(Other):
                __table__ = Shop.__table__
                more = mapped_column(Integer)

        return failure

    kept = fail() if is_first else None
    with register(track(Shop, association="shop")):
        kept = kept or fail()  # kept, the error keeps the class
        Other.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(Shop(id=1))
            session.commit()
            assert session.scalars(select(Shop.id)).all() == [1]

    assert [event.type for event in recorded(engine)] == ["shop.create"]
    assert "more" in str(kept.value)


def test_an_unregistered_model_may_go(database: Database) -> None:
    def use() -> weakref.ref[type]:
        engine = database.engine()  # a cache of its statements goes with it
        create_tables(engine)

        class Other(DeclarativeBase):
            pass

        class Shop(Other):
            __tablename__ = "shop"

            id: Mapped[int] = mapped_column(primary_key=True)

        Other.metadata.create_all(engine)
        with register(track(Shop, association="shop")), Session(engine) as session:
            session.add(Shop(id=1))
            session.commit()
            session.delete(session.get_one(Shop, 1))
            session.commit()
        engine.dispose()
        Other.registry.dispose()
        return weakref.ref(Shop)

    shop = use()
    gc.collect()
    gc.collect()

    assert shop() is None
