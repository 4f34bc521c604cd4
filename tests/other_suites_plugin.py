"""A plugin of pytest: another program's suite, with hydro_hooks on all its models.

Loaded with `-p`, from outside of the program's tree. Each test runs as in an app that
registers its models once they are configured and has made our tables in each of its
databases. What was recorded is written to the file that `HYDRO_TEST_REPORT` names.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Generator, Hashable, Iterator
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import pytest
from sqlalchemy import Boolean, Connection, Engine, Integer, String, event, inspect
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

from hydro_hooks import (
    ConfigurationError,
    Event,
    Hooks,
    MappingError,
    TrackedModel,
    metadata,
    recorded,
    register,
    track,
)
from hydro_hooks.outbox import OURS
from hydro_hooks.tables import outbox

SHOWS_OURS: Final = "HYDRO_TEST_SHOWS_OURS" in os.environ
"""Whether SQLAlchemy's own counter of statements is to see ours."""


def statements() -> Iterator[str]:
    """Yield what makes our tables where they are missing."""
    ddl: list[CreateTable | CreateIndex] = []
    for table in metadata.sorted_tables:
        ddl.append(CreateTable(table, if_not_exists=True))
        ddl.extend(CreateIndex(one, if_not_exists=True) for one in table.indexes)
    for one in ddl:
        yield str(one.compile(dialect=sqlite.dialect()))


DDL: Final = list(statements())


# The models ---------------------------------------------------------------------------


def own_model() -> type[Any]:
    """Return a new model, configured."""

    class Base(DeclarativeBase):
        pass

    class Own(Base):
        __tablename__ = "other_suites_plugin"

        id: Mapped[int] = mapped_column(primary_key=True)

    Base.registry.configure()
    return Own


def meanings(mapper: Mapper[Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Say something of as many columns as possible, so that they are followed."""
    found: dict[str, Any] = {}
    for one in mapper.column_attrs:
        column = one.columns[0]
        if one.key in keys or getattr(column, "table", None) is not mapper.local_table:
            continue
        if isinstance(column.type, String):
            found.setdefault("jira_hostname", one.key)
        if isinstance(column.type, Integer):
            found.setdefault("github_installation_id", one.key)
        if isinstance(column.type, Boolean | Integer):
            found.setdefault("enabled", one.key)
        else:
            is_set = getattr(mapper.class_, one.key).is_not(None)
            found.setdefault("enabled", is_set)
    return found


def tracked_of(mapper: Mapper[Any], association: str) -> TrackedModel:
    plain = track(mapper.class_, association=association)
    found = meanings(mapper, plain.key_attributes)
    try:
        return track(mapper.class_, association=association, **found)
    except MappingError:  # the table it is read from is not its own
        return plain


class Registrar:
    """Registers the models of the test that runs, and counts what is recorded."""

    def __init__(self) -> None:
        self.fixtures: list[Hashable] = []
        self.events: dict[str, int] = {}
        self.models = 0
        self.refused: list[str] = []
        self._test = ""
        self._own = own_model()
        self._hooks: list[Hooks] = []
        self._mappers: WeakSet[Mapper[Any]] = WeakSet()
        self._made_in: dict[Hashable, WeakSet[Mapper[Any]]] = {}
        self._is_at_work = False

    def begin(self, test: str) -> None:
        """Register what there is, and from now on what comes."""
        for name, listener in (
            ("after_mapper_constructed", self._constructed),
            ("after_configured", self._configured),
        ):
            # Some tests take all listeners off.
            if not event.contains(Mapper, name, listener):
                event.listen(Mapper, name, listener)
        # First, so that no event is listened to anew while SQLAlchemy tells of it.
        if inspect(self._own, raiseerr=False) is None:  # a test has taken all mappings
            self._own = own_model()
        self._hooks.append(register(track(self._own, association="own")))
        self._test = test
        self._configured()

    def end(self) -> None:
        """Unregister everything, before the suite's fixtures take it down."""
        test, self._test = self._test, ""
        self.forget(test)
        with contextlib.ExitStack() as hooks:
            while self._hooks:
                hooks.enter_context(self._hooks.pop(0))

    def forget(self, owner: Hashable) -> None:
        """Forget the models that a test or a fixture has made: it is over."""
        self._mappers -= self._made_in.pop(owner, WeakSet())

    def recorded(self, _model: object, event: Event) -> None:
        """Count an event."""
        self.events[self._test] = self.events.get(self._test, 0) + 1

    def _constructed(self, mapper: Mapper[Any], model: type[Any]) -> None:
        if model.__module__ != __name__:
            self._mappers.add(mapper)
            if self.fixtures or self._test:
                owner = self.fixtures[-1] if self.fixtures else self._test
                self._made_in.setdefault(owner, WeakSet()).add(mapper)

    def _configured(self) -> None:
        if self._test and not self._is_at_work:
            self._is_at_work = True
            try:
                self._register(list(self._new()))
            finally:
                self._is_at_work = False

    def _new(self) -> Iterator[TrackedModel]:
        known = {tracked.model for hooks in self._hooks for tracked in hooks.models}
        for mapper in list(self._mappers):
            is_mapped = mapper.class_manager.is_mapped
            if not (is_mapped and mapper.configured) or mapper.class_ in known:
                continue
            if mapper.base_mapper is mapper:
                self.models += 1
                try:
                    yield tracked_of(mapper, f"model {self.models}")
                except ConfigurationError as error:
                    self.refused.append(str(error))

    def _register(self, models: list[TrackedModel]) -> None:
        if not models:
            return
        try:
            self._hooks.append(register(*models))
        except ConfigurationError as error:
            if len(models) == 1:
                self.refused.append(str(error))
                return
            for one in models:
                self._register([one])


registrar: Final = Registrar()


# The tables ---------------------------------------------------------------------------


@event.listens_for(Engine, "connect")
def make_tables(dbapi_connection: Any, _record: object = None) -> None:
    """Make our tables before anything else is done in a database."""
    raw = getattr(dbapi_connection, "driver_connection", dbapi_connection)
    if isinstance(raw, sqlite3.Connection):
        for ddl in DDL:
            raw.execute(ddl)
        raw.commit()


@event.listens_for(Engine, "commit")
def make_tables_again(connection: Connection) -> None:
    """Make our tables where the suite has dropped all that it found."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        count = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        if raw.execute(count, [outbox.name]).fetchone() == (0,):
            for ddl in DDL:
                raw.execute(ddl)


# The statements -----------------------------------------------------------------------


class WithoutOurs:
    """`sqlalchemy.event`, as what counts the suite's statements is to see it."""

    remove = staticmethod(event.remove)

    @staticmethod
    def listens_for(target: Any, name: str) -> Callable[[Any], Any]:
        def listening(listener: Callable[..., None]) -> Callable[..., None]:
            @functools.wraps(listener)
            def without_ours(*arguments: Any) -> None:
                # Of before_execute the options, of the others the context.
                options = getattr(arguments[4], "execution_options", arguments[4])
                if OURS not in (options or ()):
                    listener(*arguments)

            event.listen(target, name, without_ours)
            return without_ours

        return listening


# What pytest calls --------------------------------------------------------------------


def pytest_collection_finish() -> None:
    recorded.connect(registrar.recorded)
    if not SHOWS_OURS:
        from sqlalchemy.testing import assertsql  # noqa: PLC0415 - theirs to import first

        assertsql.event = WithoutOurs  # type: ignore[assignment, attr-defined]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    registrar.begin(item.nodeid)
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Iterator[None]:
    try:
        registrar.end()
    finally:
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any],
) -> Generator[None, object, object]:
    registrar.fixtures.append(fixturedef)
    try:
        return (yield)
    finally:
        registrar.fixtures.pop()


def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[Any]) -> None:
    registrar.forget(fixturedef)


def pytest_sessionfinish() -> None:
    found = {
        "events": registrar.events,
        "models": registrar.models,
        "refused": sorted(set(registrar.refused)),
    }
    Path(os.environ["HYDRO_TEST_REPORT"]).write_text(json.dumps(found, indent=1))
