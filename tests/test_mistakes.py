"""Mistakes that are easily made: what is said of each, and that it is said early."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import enum
import functools
import gc
import inspect
import re
import uuid
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click
import pytest
from celery import Celery
from databases import Database
from delivering import wait_until
from scripted_gateway import ScriptedGateway
from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    Integer,
    Numeric,
    String,
    TypeDecorator,
    create_engine,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)
from tracked_models import Installation, Subscription, mappings

from hydro_hooks import (
    Cause,
    ConfigurationError,
    DatabaseError,
    Event,
    MappingError,
    Reason,
    RecordingError,
    Settings,
    because,
    carried,
    create_tables,
    current_cause,
    installation,
    register,
    subscription,
    tables,
    track,
)
from hydro_hooks import recorded as recorded_signal
from hydro_hooks.metrics import RelayCollector
from hydro_hooks.relay import Relay
from hydro_hooks.testing import capture_events, recorded
from hydro_hooks.testing.gateway import LocalGateway
from hydro_hooks.web import pages


class Base(DeclarativeBase):
    pass


class Moment(TypeDecorator[dt.datetime]):
    impl = DateTime
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: object) -> Any:
        return value


class YesNo(TypeDecorator[bool]):
    impl = String(1)
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: object) -> Any:
        return value == "Y"


class Switch(TypeDecorator[int]):
    impl = Integer
    cache_ok = True


class Stage(enum.Enum):
    ON = "on"


class Owner(Base):
    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Site(Base):
    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column("host_column", String(255))
    disabled_at: Mapped[dt.datetime | None]
    day: Mapped[dt.date]
    hour: Mapped[dt.time]
    span: Mapped[dt.timedelta]
    native_span: Mapped[dt.timedelta] = mapped_column(postgresql.INTERVAL())
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    blob: Mapped[bytes] = mapped_column(mysql.LONGBLOB())
    token: Mapped[uuid.UUID]
    share: Mapped[float] = mapped_column(Double())
    stage: Mapped[Stage]
    moment: Mapped[dt.datetime] = mapped_column(Moment())
    answer: Mapped[bool] = mapped_column(YesNo())
    switch: Mapped[int] = mapped_column(Switch())
    digit: Mapped[int] = mapped_column(Numeric(1, 0))
    is_on: Mapped[bool] = mapped_column(Boolean)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    owner: Mapped[Owner] = relationship()
    owner_name = association_proxy("owner", "name")

    @hybrid_property
    def has_host(self) -> bool:
        return len(self.host) > 0

    @hybrid_property
    def is_good(self) -> bool:
        return True


def refused(make: Callable[[], object]) -> str:
    """Return what is said of a mapping."""
    with pytest.raises(MappingError) as error:
        make()
    return str(error.value)


WHEREVER = "which would count as true wherever it is set; give an expression, such as"


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("disabled_at", f"a date (DateTime()), {WHEREVER} Site.disabled_at.is_(None)"),
        ("day", f"a date (Date()), {WHEREVER} Site.day.is_(None)"),
        ("moment", f"a date (Moment()), {WHEREVER} Site.moment.is_(None)"),
        ("hour", f"a time (Time()), {WHEREVER} Site.hour.is_(None)"),
        ("span", f"an interval (Interval()), {WHEREVER} Site.span.is_not(None)"),
        (
            "native_span",
            f"an interval (INTERVAL()), {WHEREVER} Site.native_span.is_not(None)",
        ),
        ("blob", f"bytes (LONGBLOB()), {WHEREVER} Site.blob.is_not(None)"),
        ("token", f"a UUID (Uuid()), {WHEREVER} Site.token.is_not(None)"),
        (
            "document",
            "JSON (JSON()), which would count as true unless it is empty; give an"
            ' expression, such as Site.document["enabled"].as_boolean()',
        ),
        (
            "share",
            "a floating-point number (Double()), of which every value but 0 would count"
            " as true; give an expression, such as Site.share > 0",
        ),
        (
            "stage",
            "text (Enum('ON', name='stage')), of which every value but the empty one"
            " would count as true; give an expression, such as Site.stage == 'active'",
        ),
        (
            "owner_id",
            f"a foreign key (of owner.id), {WHEREVER} Site.owner_id.is_not(None)",
        ),
        ("id", "the primary key, which is set in every row; give the flag's column"),
    ],
)
@pytest.mark.parametrize("flag", ["enabled", "present"])
def test_what_is_no_flag_is_refused_as_one(
    flag: str, attribute: str, says: str
) -> None:
    given: dict[str, Any] = {flag: attribute}

    assert refused(lambda: installation(Site, **given)) == f"Site: {flag} is {says}"


def test_flags_of_booleans_numbers_and_a_type_of_ones_own_are_accepted() -> None:
    for flag in ("is_on", "digit", "switch", "answer", Site.document["on"]):
        installation(Site, enabled=flag, present=flag)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("is_on", "a Boolean (Boolean())"),
        ("share", "a floating-point number (Double())"),
        ("document", "JSON (JSON())"),
        ("blob", "bytes (LONGBLOB())"),
        ("disabled_at", "a date (DateTime())"),
        ("moment", "a date (Moment())"),
    ],
)
@pytest.mark.parametrize("name", ["github_installation_id", "jira_integration_id"])
def test_what_is_no_id_is_refused_as_one(name: str, attribute: str, says: str) -> None:
    given: dict[str, Any] = {name: attribute}

    assert refused(lambda: track(Site, association="site", **given)) == (
        f"Site: {name} is {says}; give a column of numbers or text"
    )


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("id", "a number (Integer())"),
        ("switch", "a number (Switch())"),
        ("is_on", "a Boolean (Boolean())"),
        ("document", "JSON (JSON())"),
        ("blob", "bytes (LONGBLOB())"),
        ("disabled_at", "a date (DateTime())"),
    ],
)
def test_what_is_no_host_is_refused_as_one(attribute: str, says: str) -> None:
    assert refused(lambda: installation(Site, jira_hostname=attribute)) == (
        f"Site: jira_hostname is {says}; give a column of text"
    )


def test_ids_and_hosts_of_suitable_kinds_are_accepted() -> None:
    host = Site.document["host"]
    for name in ("id", "digit", "host", "token", "stage", "switch", host):
        installation(Site, jira_hostname=host, github_installation_id=name)


def test_a_subquery_that_gives_every_row_the_same_is_refused() -> None:
    host = select(Installation.jira_host).scalar_subquery()

    assert refused(lambda: subscription(Subscription, jira_hostname=host)) == (
        "Subscription: jira_hostname is a subquery that reads no column of"
        " Subscription, so that every row would get the same value; add"
        " .where(... == Subscription.id) or whichever column leads there"
    )


def test_a_subquery_over_the_models_own_table_is_refused_unless_by_an_alias() -> None:
    another = Site.__table__.alias()  # without configuring mappers
    by_alias = (
        select(another.c.host_column).where(another.c.id == Site.id).scalar_subquery()
    )

    assert refused(lambda: installation(Site, jira_hostname=select(Site.host))) == (
        "Site: jira_hostname is a subquery over Site's table alone, so that it finds"
        " any of its rows; give the attribute, or read an aliased() of it"
    )
    assert installation(Site, jira_hostname=by_alias).association


def test_a_subscription_of_nobody_is_refused() -> None:
    assert refused(lambda: subscription(Subscription, enabled="id")) == (
        "Subscription: github_installation_id is missing, and so are jira_hostname and"
        " jira_integration_id: nothing says whose it is; give at least one of the three"
    )


@pytest.mark.parametrize("name", ["has_host", "is_good"])
def test_a_hybrid_without_sql_is_refused(name: str) -> None:
    said = refused(lambda: installation(Site, enabled=name))

    assert said.startswith(
        f"Site: enabled is {name!r}, a hybrid property that gives no SQL at Site.{name}"
    )
    assert said.endswith(f"; give it an SQL expression, by @{name}.inplace.expression")


def test_an_association_proxy_is_refused_without_configuring_mappers() -> None:
    remedy = (
        ", which the database does not know; follow its relationship with a scalar"
        " subquery: select(...).where(...).scalar_subquery()"
    )

    by_name = refused(lambda: installation(Site, jira_hostname="owner_name"))
    is_configured = Site.__mapper__.configured
    attribute: Any = Site.owner_name
    by_attribute = refused(lambda: installation(Site, jira_hostname=attribute))

    assert not is_configured
    assert by_name == (
        f"Site: jira_hostname is 'owner_name', an association proxy{remedy}"
    )
    assert by_attribute == f"Site: jira_hostname is an association proxy{remedy}"


def test_a_columns_name_leads_to_its_attribute() -> None:
    assert refused(lambda: installation(Site, jira_hostname="host_column")) == (
        "Site: jira_hostname is 'host_column', the column of attribute 'host'; give"
        " 'host'"
    )


def test_a_misspelt_attribute_leads_to_the_one_that_is_like_it() -> None:
    said = refused(lambda: installation(Site, present="disable_at"))

    assert said.startswith("Site: present is 'disable_at', which Site does not have;")
    assert said.endswith("; did you mean 'disabled_at'?")


class Word(str, enum.Enum):  # noqa: UP042 - as they were written before StrEnum
    UNINSTALLED = "jira webhook"


class Plain(enum.Enum):
    UNINSTALLED = "jira webhook"


def refused_by_type(make: Callable[[], object]) -> str:
    """Return what is said of an argument of a wrong type."""
    with pytest.raises(TypeError) as error:
        make()
    return str(error.value)


def test_a_member_of_an_enum_of_text_is_its_value() -> None:
    word = Word.UNINSTALLED
    with because(word, github_actor=word, jira_actor=word, note=word):
        cause = current_cause()

    told = {type(value) for value in (cause.reason, cause.github_actor, cause.note)}
    assert told == {str}
    assert cause == Cause(
        reason="jira webhook",
        github_actor="jira webhook",
        jira_actor="jira webhook",
        note="jira webhook",
    )


def test_a_member_of_another_enum_is_refused_with_its_value() -> None:
    reason: Any = Plain.UNINSTALLED

    assert refused_by_type(lambda: because(reason)) == (
        "because(): reason is a Plain; give text (give Plain.UNINSTALLED.value)"
    )


def test_the_class_of_reasons_is_refused_with_a_member() -> None:
    reason: Any = Reason

    assert refused_by_type(lambda: because(reason)) == (
        "because(): reason is the class Reason; give one of its members, such as"
        " Reason.STAFFTOOLS_API"
    )


def handler(request: str) -> str:
    return request


def without_arguments() -> None:
    """Do nothing."""


async def coroutine() -> None:
    """Do nothing, later."""


class View:
    def get(self) -> None:
        """Do nothing."""

    @staticmethod
    def ping() -> None:
        """Do nothing."""

    @property
    def state(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (handler, "handler"),
        (without_arguments, "without_arguments"),
        (coroutine, "coroutine"),
        (View.get, "View.get"),
        (View.__dict__["ping"], "View.ping"),
        (View.__dict__["state"], "View.state"),
    ],
)
def test_because_without_parentheses_is_refused_where_it_decorates(
    function: Any, name: str
) -> None:
    short = name.rpartition(".")[2]

    assert refused_by_type(lambda: because(function)) == (
        f"@because is written without parentheses on {__name__}.{name}: write"
        " @because(Reason.JIRA_WEBHOOK), or @because() to inherit everything; if"
        f" {short}() is to give the reason, write"
        f" @because(lambda *args, **kwargs: {short}(*args, **kwargs))"
    )


def test_because_without_parentheses_on_a_class_is_refused() -> None:
    view: Any = View

    assert refused_by_type(lambda: because(view)) == (
        f"@because is written without parentheses on the class {__name__}.View, and"
        " decorates no class: write @because(Reason.JIRA_WEBHOOK), or @because() to"
        " inherit everything, on its functions"
    )


def test_because_without_parentheses_on_what_has_no_name_is_told_once_called() -> None:
    decorated: Any = because(functools.partial(handler))

    assert refused_by_type(lambda: decorated("a request")) == (
        "because() was called with str, which is no function: was @because written"
        " without parentheses? Write @because(Reason.JIRA_WEBHOOK), or @because() to"
        " inherit everything"
    )


def test_because_above_a_property_is_refused() -> None:
    state: Any = View.__dict__["state"]

    assert refused_by_type(lambda: because("looked at")(state)) == (
        f"@because cannot decorate a property ({__name__}.View.state): decorate its"
        " function, below @property"
    )


def test_because_above_what_makes_a_task_or_a_command_is_refused() -> None:
    command = click.command()(handler)
    task = Celery("jobs").task(handler)

    assert refused_by_type(lambda: because("x")(command)) == (
        "@because cannot decorate a Command, which would be one no longer: put it below"
        " @click.command()"
    )
    assert refused_by_type(lambda: because("x")(task)).endswith("below @app.task")


def test_because_on_a_line_of_its_own_is_warned_of_where_it_stands() -> None:
    frame = inspect.currentframe()
    assert frame
    line = frame.f_lineno + 2
    with pytest.warns(RuntimeWarning) as told:
        because("web interaction", github_actor="octocat")

    [warning] = told
    assert str(warning.message) == (
        "because(...) on a line of its own gives no reason to anything: write"
        " `with because(...):` around the changes, or @because(...) on a function"
    )
    assert (warning.filename, warning.lineno) == (__file__, line)


def test_because_that_is_used_kept_or_refused_is_not_warned_of() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with because("x"):
            because("x")(len)
        kept: object = because("x")
        kept = copy.copy(kept)
        del kept
        with pytest.raises(ValueError, match="reason is empty"):
            because("")
        with pytest.raises(TypeError, match="is a callable"), because(lambda: "x"):
            pass
        gc.collect()

    assert told == []


def test_the_at_sign_of_a_login_is_taken_off() -> None:
    with because("x", github_actor="@octocat"):
        actor = current_cause().github_actor

    assert actor == "octocat"
    with pytest.raises(ValueError, match="github_actor is empty"):
        because(github_actor="@")


@pytest.mark.parametrize(
    ("given", "what"), [(None, "None"), (Cause(), "a Cause"), ("x", "a str")]
)
def test_carrying_what_is_no_mapping_is_refused(given: Any, what: str) -> None:
    assert refused_by_type(lambda: carried(given)) == (
        f"carried() takes what carry() gave, a mapping, and got {what}; of a job that"
        ' may have come without one: carried(job.get("cause") or {})'
    )


def test_a_misspelt_key_of_what_is_carried_is_told_and_the_job_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with carried({"raeson": "nightly", "jira_actor": "557058:x"}):
        cause = current_cause()

    assert cause == Cause(jira_actor="557058:x")
    assert caplog.messages == [
        "carried(): 'raeson' says nothing; the keys of a cause are reason,"
        " github_actor, github_actor_id, jira_actor, note"
    ]


def test_an_id_that_is_none_is_refused_where_it_is_carried() -> None:
    with pytest.raises(ValueError, match="github_actor_id is 'octocat'; it takes a Gi"):
        carried({"github_actor_id": "octocat"})


@pytest.mark.parametrize("given", [True, ["583231"]])
def test_an_id_of_another_kind_is_refused_where_it_is_carried(given: Any) -> None:
    with pytest.raises(ValueError, match=r"github_actor_id is .*; it takes a GitHub"):
        carried({"github_actor_id": given})


def test_an_asynchronous_block_is_told_to_be_a_plain_one() -> None:
    async def handle() -> None:
        async with because("jira webhook"):
            raise AssertionError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="write `with because"):
            asyncio.run(handle())
        gc.collect()


def test_a_signal_that_is_called_says_what_it_is(engine: Engine) -> None:
    with pytest.raises(TypeError, match=r"hydro_hooks\.recorded is a signal.*testing"):
        recorded_signal(engine)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"secrets": "s3cret"}, "secrets is a str; give a tuple of texts"),
        ({"secrets": (b"s3cret",)}, "secrets is a collection with a bytes in it"),
        ({"base_url": 5}, "HYDRO_BASE_URL is an int; give the URL as text"),
    ],
)
def test_settings_of_another_kind_are_refused_and_not_shown(
    given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(problem)) as refusal:
        Settings(**given)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("name", ["secrets", "apps"])
def test_a_gateway_for_tests_wants_collections(name: str) -> None:
    given: Any = {name: "s3cret"}
    with pytest.raises(ConfigurationError, match=f"{name} is a str"):
        LocalGateway(**given)


@pytest.mark.parametrize(
    "ask",
    [lambda it: it.url, lambda it: it.events()],
    ids=["url", "events"],
)
def test_a_gateway_for_tests_says_that_it_listens_in_its_block(
    ask: Callable[[LocalGateway], Any],
) -> None:
    with pytest.raises(RuntimeError, match="inside of its block"):
        ask(LocalGateway())


def test_the_order_of_the_models_is_no_difference() -> None:
    with register(*mappings()) as hooks:
        assert register(*reversed(mappings())) is hooks


@pytest.mark.parametrize("association", [5, "", " ", "a\nb", "x" * 101])
def test_an_association_that_is_no_name_is_refused(association: Any) -> None:
    with pytest.raises(MappingError, match=r"association is .*; give a name of 1 to"):
        track(Installation, association=association)


async def somebody(request: str) -> str:
    return request


def broken(request: str) -> str:
    raise TypeError(request)


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda: "octocat", "could not be called with the handler's arguments"),
        (lambda request: 1.5, "gave a float; give a login or a numeric id"),
        (
            lambda request: -1,
            "gave a value that is -1; a GitHub user id is positive",
        ),
        (somebody, "is a coroutine function; give a plain one"),
        (broken, "failed with TypeError"),
    ],
    ids=["arguments", "float", "negative", "coroutine", "TypeError"],
)
def test_the_warning_says_what_a_callable_did_wrong(
    ask: Any, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    @because(Reason.JIRA_WEBHOOK, github_actor=ask)
    def uninstalled(request: str) -> Cause:
        return current_cause()

    assert uninstalled("a token") == Cause(reason="jira webhook")
    [message] = caplog.messages
    said = f".uninstalled: recorded without github_actor, as its callable {problem}"
    assert said in message


def test_a_reason_may_be_asked_of_the_handlers_arguments_still() -> None:
    @because(lambda request: f"by {request}")
    async def told(request: str) -> str:
        return current_cause().reason

    assert asyncio.run(told("lambda")) == "by lambda"


URL_WITH_PASSWORD = "postgresql+psycopg://someone:s3cr3t@127.0.0.1:9/app"


def given_to_create_tables(bind: Any) -> None:
    create_tables(bind)


def given_to_check(bind: Any) -> None:
    with register(*mappings()) as hooks:
        hooks.check(bind)


def given_to_recorded(bind: Any) -> None:
    recorded(bind)


def given_to_capture_events(bind: Any) -> None:
    with capture_events(bind):
        pass


def given_to_pages(bind: Any) -> None:
    pages(bind)


def given_to_relay(bind: Any) -> None:
    Relay(bind)


AN_ENGINE = "an Engine or a Connection"
OWN_ENGINE = 'create_engine("postgresql+psycopg://...")'
TAKERS = pytest.mark.parametrize(
    ("give", "takes", "in_async"),
    [
        (
            given_to_create_tables,
            f"create_tables() takes {AN_ENGINE}",
            "await connection.run_sync(create_tables)",
        ),
        (
            given_to_check,
            f"hooks.check() takes {AN_ENGINE}",
            "await connection.run_sync(hooks.check)",
        ),
        (
            given_to_recorded,
            "recorded() takes an Engine, a Connection or a Session",
            "await session.run_sync(recorded)",
        ),
        (
            given_to_capture_events,
            "capture_events() takes an Engine, a Connection or a Session",
            f"give it an engine of its own, {OWN_ENGINE}",
        ),
        (
            given_to_relay,
            "Relay() takes an Engine",
            "Relay takes an engine of its own, of a driver that is not asynchronous:"
            f" {OWN_ENGINE}",
        ),
        (
            given_to_pages,
            "pages() takes an Engine",
            "the pages take an engine of their own, of a driver that is not"
            f" asynchronous: {OWN_ENGINE}",
        ),
    ],
)


@TAKERS
@pytest.mark.parametrize(
    ("bind", "got"),
    [
        (None, "None: give what create_engine(...) makes"),
        (Base, "a DeclarativeAttributeIntercept: give what create_engine(...) makes"),
        (URL_WITH_PASSWORD, "a str: give create_engine(...) of it"),
        (make_url(URL_WITH_PASSWORD), "a URL: give create_engine(...) of it"),
    ],
    ids=["None", "a class", "text", "a URL"],
)
def test_what_is_no_engine_is_refused_with_the_remedy(
    give: Callable[[Any], None], takes: str, in_async: str, bind: Any, got: str
) -> None:
    assert refused_by_type(lambda: give(bind)) == f"{takes}, and got {got}"


@TAKERS
def test_what_is_asynchronous_is_refused_with_the_remedy(
    give: Callable[[Any], None], takes: str, in_async: str
) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")

    binds: list[tuple[Any, str]] = [
        (engine, "an AsyncEngine"),
        (engine.connect(), "an AsyncConnection"),
        (AsyncSession(engine), "an AsyncSession"),
        (engine.sync_engine, "the sync Engine of an asynchronous engine"),
    ]
    said = [refused_by_type(functools.partial(give, bind)) for bind, _ in binds]

    assert said == [f"{takes}, and got {got}: {in_async}" for _, got in binds]


def test_sessions_and_their_makers_are_refused_where_an_engine_is_wanted() -> None:
    engine = create_engine("sqlite://")
    to_engine = "give the engine that it is bound to"

    for give in (given_to_create_tables, given_to_check, given_to_relay):
        for bind in (Session(engine), sessionmaker(engine)):
            said = refused_by_type(functools.partial(give, bind))
            assert said.endswith(f"and got a {type(bind).__name__}: {to_engine}")
    for give in (given_to_recorded, given_to_capture_events):
        said = refused_by_type(functools.partial(give, sessionmaker(engine)))
        assert said.endswith(
            "and got a sessionmaker: give a session that it makes, or its engine"
        )


def test_a_connection_is_refused_by_the_relay(engine: Engine) -> None:
    with engine.connect() as connection:
        assert refused_by_type(lambda: given_to_relay(connection)) == (
            "Relay() takes an Engine, and got a Connection: give its engine,"
            " connection.engine"
        )


def test_a_session_of_an_asynchronous_engine_is_refused_outside_of_run_sync() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    session = AsyncSession(engine).sync_session

    assert refused_by_type(lambda: recorded(session)).endswith(
        "and got the sync Engine of an asynchronous engine:"
        " await session.run_sync(recorded)"
    )


def test_the_remedies_for_asynchronous_programs_work(database: Database) -> None:
    engine = create_async_engine(database.async_url)

    async def use() -> list[Event]:
        async with engine.begin() as connection:
            await connection.run_sync(create_tables)
            await connection.run_sync(Installation.metadata.create_all)
            with register(*mappings()) as hooks:
                await connection.run_sync(hooks.check)
        async with AsyncSession(engine) as session:
            found = await session.run_sync(recorded)
        await engine.dispose()
        return found

    assert asyncio.run(use()) == []


def test_a_scoped_session_is_taken_as_its_session(tracked: Engine) -> None:
    scoped = scoped_session(sessionmaker(tracked))
    scoped.add(Installation(id=1))
    scoped.flush()

    events = recorded(scoped)
    in_transaction = scoped().in_transaction()
    scoped.remove()

    assert events == []
    assert in_transaction


def test_settings_and_lease_of_another_type_are_refused_by_the_relay(
    engine: Engine,
) -> None:
    url: Any = "http://user:s3cr3t@127.0.0.1:9/x"
    seconds: Any = 30

    assert refused_by_type(lambda: Relay(engine, url)) == (
        "Relay(): settings is a str; give Settings(base_url=..., secrets=(...,)), or"
        " Settings.from_env(base_url=...)"
    )
    assert refused_by_type(lambda: Relay(engine, signer=url)) == (
        "Relay(): signer is a str; give a function of an OutgoingRequest that returns"
        " headers (HYDRO_SIGNER takes its name)"
    )
    swapped: Any = (engine, Relay(engine, Settings()))
    assert refused_by_type(lambda: RelayCollector(*swapped)) == (
        "RelayCollector() takes a Relay and an Engine, and got Engine and Relay"
    )
    assert refused_by_type(lambda: Relay(engine, lease=seconds)) == (
        "Relay(): lease is an int; give a timedelta, such as timedelta(seconds=30)"
    )
    assert Relay(engine, Settings(), lease=timedelta(seconds=30)).drain().waiting == 0


def test_without_tables_the_helpers_of_tests_and_drain_say_so(
    database: Database,
) -> None:
    engine = database.engine()
    missing = ", ".join(tables.metadata.tables)

    with engine.connect() as connection, Session(engine) as session:
        session.connection()
        for read in (
            lambda: recorded(engine),
            lambda: recorded(connection),
            lambda: recorded(session),
            lambda: given_to_capture_events(engine),
            lambda: given_to_check(engine),
            lambda: Relay(engine).drain(),
        ):
            with pytest.raises(DatabaseError) as error:
                read()
            assert str(error.value) == (
                f"the database at {engine.url!r} has no {missing}; make them with"
                " hydro_hooks.create_tables(engine) or a migration"
            )
    engine.dispose()


def test_the_warning_of_a_relay_without_tables_names_create_tables(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    engine = database.engine()
    with ScriptedGateway() as gateway:
        relay = Relay(engine, gateway.settings())
        relay.start()
        wait_until(lambda: "cannot use the app's database" in caplog.text)
        relay.stop()
    engine.dispose()

    assert (
        "; make the tables with hydro_hooks.create_tables(engine) or a migration);"
        " events are kept; trying again in"
    ) in caplog.text


def test_check_names_the_columns_that_are_missing(
    database: Database, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE hydro_outbox RENAME COLUMN payload TO body")
        )
    try:
        with register(*mappings()) as hooks, pytest.raises(DatabaseError) as error:
            hooks.check(engine)
    finally:
        tables.outbox.drop(engine)  # the next test has it made anew

    assert str(error.value) == (
        f"the database at {engine.url!r} has other tables than this hydro_hooks:"
        " hydro_outbox has no column payload; add what is missing by a migration"
    )


def test_check_names_the_arguments_that_the_database_refuses(engine: Engine) -> None:
    Installation.metadata.create_all(engine)
    wrong = installation(
        Installation,
        jira_hostname=func.lowr(Installation.jira_host),
        enabled=func.colesce(Installation.enabled) == 1,
    )
    with register(wrong, *mappings()[1:]) as hooks:
        with pytest.raises(DatabaseError) as error:
            hooks.check(engine)
        with engine.connect() as connection:
            with pytest.raises(DatabaseError, match="jira_hostname and enabled"):
                hooks.check(connection)

    said = str(error.value)
    assert said.startswith(
        f"the database at {engine.url!r} refuses to read jira_hostname and enabled of"
        " Installation ("
    )
    assert "lowr" in said
    assert said.endswith(
        "): correct what register() was told, or run the migration that is missing"
    )


def test_check_names_the_arguments_whose_columns_are_not_migrated(
    tracked: Engine,
) -> None:
    with tracked.begin() as connection:
        connection.execute(text("ALTER TABLE installation DROP COLUMN is_enabled"))

    with pytest.raises(DatabaseError, match="refuses to read enabled of Installation "):
        register(*mappings()).check(tracked)


def test_the_traceback_of_a_read_that_fails_says_who_asked_and_what_to_do(
    tracked: Engine,
) -> None:
    with Session(tracked) as session:
        session.add(Installation(id=1))
        session.commit()
        session.execute(text("ALTER TABLE installation DROP COLUMN is_enabled"))
        session.commit()
        with pytest.raises(DBAPIError) as error:
            session.execute(text("DELETE FROM installation WHERE id = 1"))

    [note] = error.value.__notes__
    assert note.startswith("hydro_hooks asked this to know what the program's")
    assert "hooks.check(engine)" in note


def test_check_leaves_out_a_model_whose_table_is_in_another_database(
    engine: Engine,
) -> None:
    with register(*mappings()) as hooks:
        hooks.check(engine)


def test_check_passes_while_tracking_is_disabled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DISABLED", "true")
    engine = database.engine()

    with register(*mappings()) as hooks:
        hooks.check(engine)
    engine.dispose()


def test_a_refused_commit_names_rows_and_place(tracked: Engine) -> None:
    tables.outbox.drop(tracked)

    with Session(tracked) as session, pytest.raises(RecordingError) as error:
        session.add_all(Installation(id=key) for key in range(1, 6))
        session.commit()

    place = tracked.url.set(query={}).render_as_string()
    assert re.match(
        r"5 event\(s\) \(installation 1 create, installation 2 create, installation 3"
        r" create and 2 more, at tests\.test_mistakes:\d+ in"
        r" test_a_refused_commit_names_rows_and_place\) could not be written, so"
        rf" nothing was committed: .*hydro_outbox.*, in {re.escape(place)}; make the"
        r" tables with"
        r" hydro_hooks\.create_tables\(engine\) or a migration\. Call rollback\(\)",
        str(error.value),
    )


def test_a_refused_commit_whose_remedy_is_not_known_leads_to_the_doctor(
    session: Session, tracked: Engine
) -> None:
    with tracked.begin() as connection:
        connection.execute(text("ALTER TABLE hydro_outbox RENAME COLUMN note TO word"))
    session.add(Installation(id=1))
    try:
        with pytest.raises(RecordingError) as error:
            session.commit()
    finally:
        session.rollback()
        tables.outbox.drop(tracked)

    assert "; hooks.check(engine) and hydro-hooks doctor tell more. Call" in str(
        error.value
    )


def test_the_warning_of_text_that_is_not_followed_names_the_remedy(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.add(Subscription(id=1))
    session.commit()
    statement = {
        "sqlite": "UPDATE OR REPLACE subscription SET id = 2",
        "postgresql": "WITH one AS (SELECT 1) DELETE FROM subscription",
        "mariadb": "DELETE subscription FROM subscription",
    }[session.get_bind().dialect.name]

    session.execute(text(statement))
    session.rollback()

    [message] = caplog.messages
    assert message.endswith(
        ": its form is not understood; write it with update() or delete() of"
        " SQLAlchemy, or as a plain UPDATE or DELETE; hydro-hooks reconcile finds what"
        " was missed"
    )


def refused_to_register(*models: Any) -> str:
    """Return what is said of a registration."""
    with pytest.raises(ConfigurationError) as error:
        register(*models)
    return str(error.value)


def test_a_class_that_was_defined_anew_is_told_from_another() -> None:
    def define() -> Any:
        class Anew(DeclarativeBase):
            pass

        class Customer(Anew):
            __tablename__ = "customer"
            id: Mapped[int] = mapped_column(primary_key=True)

        return Customer

    with register(installation(define())):
        assert refused_to_register(installation(define())) == (
            "Customer was defined anew, as by importlib.reload(), while the class that"
            " it was before is tracked; call hooks.unregister() before the reload"
        )


def test_more_than_is_registered_is_told_what_to_leave_out() -> None:
    one, two = mappings()
    with register(one):
        assert refused_to_register(one, two) == (
            "Installation is registered already, by a register() of other models; leave"
            " it out here, or unregister() what that gave"
        )


def test_one_model_twice_in_a_call_is_refused() -> None:
    one, two = mappings()

    assert refused_to_register(one, two, one) == (
        "register(): Installation is given twice; give it once"
    )


def test_another_mapping_is_told_by_what_differs() -> None:
    with register(*mappings()):
        said = refused_to_register(
            track(
                Installation,
                association="customer",
                jira_hostname="secret",
                jira_integration_id="id",
                enabled=Installation.account_id.is_(None),
                present="enabled",
            )
        )

    assert said == (
        "Installation is tracked already with another meaning: association was"
        " 'installation', is now 'customer'; jira_hostname was 'jira_host', is now"
        " 'secret'; enabled was 'enabled', is now installation.account_id IS NULL;"
        " present was not given, is now 'enabled'; unregister() it first, or give"
        " register() all at once"
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([list(mappings())], ", and got a list: write register(*models)"),
        (
            [Installation],
            ", and got Installation: wrap it: installation(Installation, ...)",
        ),
        ([5], ", and got an int"),
        ([], ", at least one"),
    ],
    ids=["a list", "a model", "a number", "nothing"],
)
def test_what_is_no_tracked_model_is_refused(given: list[Any], problem: str) -> None:
    assert refused_to_register(*given) == (
        "register() takes what installation(Model, ...), subscription(Model, ...) or"
        f" track(Model, ...) make{problem}"
    )
