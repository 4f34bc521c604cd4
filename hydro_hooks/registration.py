"""register() and unregister(): the models that are tracked in this process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final

from sqlalchemy import Connection, Engine

from hydro_hooks.binds import check_bind
from hydro_hooks.cause import UNATTRIBUTED, cause_in, surround
from hydro_hooks.clashes import refuse_clashes
from hydro_hooks.creation import check_tables
from hydro_hooks.detection.readable import check_readable
from hydro_hooks.detection.recorder import OnFailure
from hydro_hooks.errors import ConfigurationError, with_article
from hydro_hooks.event import Event
from hydro_hooks.listeners import Listeners
from hydro_hooks.models import TrackedModel
from hydro_hooks.settings import Settings

logger = logging.getLogger(__name__)


class Hooks:
    """What `register()` gives: the models that are tracked, until `unregister()`.

    A context manager, for tests: leaving the block unregisters. Where an earlier
    `register()` gave the same handle, it goes on.
    """

    def __init__(self, models: tuple[TrackedModel, ...]) -> None:
        self.models = models
        self._is_given_again = False
        self._blocks: list[bool] = []
        """Of each block that is entered, whether it ends what it is of."""

    def _again(self) -> Hooks:
        self._is_given_again = True
        return self

    def __repr__(self) -> str:
        names = ", ".join(tracked.model.__name__ for tracked in self.models)
        return f"<Hooks on {names}>"

    def __enter__(self) -> Hooks:
        self._blocks.append(not self._is_given_again)
        self._is_given_again = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._blocks.pop():
            self.unregister()

    def unregister(self) -> None:
        """Take every listener off again; a second call does nothing."""
        _registry.remove(self)

    def model_of(self, event: Event) -> object:
        """Return the model of an event, to give `Relay` as `sender_of`.

        The event's association where none of these models has it.
        """
        models = {tracked.association: tracked.model for tracked in self.models}
        return models.get(event.association, event.association)

    def check(self, bind: Engine | Connection) -> None:
        """See, at startup, that changes can be recorded there; by reading alone.

        It has our tables, with all their columns, and takes the expressions that the
        models' fields are. Nothing is looked at while `TRACKING_DISABLED` is set.

        Args:
            bind: An engine, or a connection, whose transaction is left to the caller.

        Raises:
            DatabaseError: Something of it is amiss; names it.
            TypeError: It is neither, or asynchronous: `await
                connection.run_sync(hooks.check)`.
        """
        check_bind(
            "hooks.check()",
            bind,
            Engine,
            Connection,
            in_async="await connection.run_sync(hooks.check)",
        )
        if Settings.from_env().is_disabled:
            return
        check_tables(bind)
        check_readable(bind, self.models)


def register(*models: TrackedModel, on_failure: OnFailure = "raise") -> Hooks:
    """Track models, from now on, in every session, engine and connection.

    `HYDRO_REASON` and `HYDRO_GITHUB_ACTOR` of the environment are then in force where
    no `because()` is.

    Args:
        models: Made by `installation()`, `subscription()` or `track()`.
        on_failure: What to do when events cannot be written: `raise` refuses the
            commit (RecordingError); `log` commits the change without them, says so
            loudly, and costs a savepoint a transaction.

    Returns:
        The handle; the same one when the same is registered again.

    Raises:
        ConfigurationError: Nothing to track, one model or association twice, or
            tracked already with another meaning; a variable that `because()` would
            refuse.
    """
    if on_failure not in ("raise", "log"):
        message = f"register(): on_failure is {on_failure!r}; give 'raise' or 'log'"
        raise ConfigurationError(message)
    _refuse_others(models)
    if Settings.from_env().is_disabled:
        logger.warning("TRACKING_DISABLED is set: nothing is recorded, nothing sent")
        return Hooks(models)
    cause = cause_in(os.environ)
    handle = _registry.add(models, on_failure)
    surround(cause)
    return handle


def _refuse_others(models: tuple[object, ...]) -> None:
    """Raise unless each is a tracked model, and there is one."""
    problem = None if models else "make, at least one"
    for one in models:
        if isinstance(one, (list, tuple, set, frozenset)):
            problem = f"make, and got a {type(one).__name__}: write register(*models)"
        elif isinstance(one, type):
            name = one.__name__
            problem = f"make, and got {name}: wrap it: installation({name}, ...)"
        elif not isinstance(one, TrackedModel):
            problem = f"make, and got {with_article(type(one).__name__)}"
    if problem is not None:
        message = (
            "register() takes what installation(Model, ...), subscription(Model, ...)"
            f" or track(Model, ...) {problem}"
        )
        raise ConfigurationError(message)


class _Registry:
    """Who tracks what. There is one set of listeners, whatever is registered."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._handles: list[Hooks] = []
        self._listeners = Listeners()
        self._on_failure: OnFailure = "raise"
        self._times_off = 0

    def add(self, models: tuple[TrackedModel, ...], on_failure: OnFailure) -> Hooks:
        with self._lock:
            known = self._known(models)
            now = self._on_failure
            if self._handles and now != on_failure:
                message = (
                    f"register(): on_failure is {on_failure!r}, but {now!r} for what is"
                    " registered already; one process has one"
                )
                raise ConfigurationError(message)
            if known is not None:
                return known._again()  # noqa: SLF001 - what it gives
            handle = Hooks(models)
            self._handles.append(handle)
            self._on_failure = on_failure
            self._attach(handle)
            return handle

    def remove(self, handle: Hooks) -> None:
        with self._lock:
            if handle in self._handles:
                self._handles.remove(handle)
                self._detach(handle)
                if not self._handles:
                    surround(UNATTRIBUTED)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Track nothing, whatever is registered before or in the block."""
        with self._lock:
            for handle in self._handles:
                self._detach(handle)
            self._times_off += 1
            surround(UNATTRIBUTED)
        try:
            yield
        finally:
            with self._lock:
                self._times_off -= 1
                for handle in self._handles:
                    self._attach(handle)
                if self._handles:
                    surround(cause_in(os.environ))

    def _attach(self, handle: Hooks) -> None:
        if not self._times_off:
            self._listeners.attach(handle.models, self._on_failure)

    def _detach(self, handle: Hooks) -> None:
        if not self._times_off:
            self._listeners.detach(handle.models)

    def write(self, connection: Connection) -> None:
        self._listeners.write(connection)

    def _known(self, models: tuple[TrackedModel, ...]) -> Hooks | None:
        """Return the handle on these very models; raise where they would clash."""
        for handle in self._handles:
            if len(handle.models) == len(models) and all(
                mine.is_same_as(theirs)
                for mine, theirs in zip(
                    sorted(models, key=_association),
                    sorted(handle.models, key=_association),
                    strict=True,
                )
            ):
                return handle
        registered = [one for handle in self._handles for one in handle.models]
        refuse_clashes(models, registered)
        return None


def _association(tracked: TrackedModel) -> str:
    return tracked.association


_registry: Final = _Registry()


def hooks_off() -> AbstractContextManager[None]:
    """Return a block in which nothing is tracked, whatever is registered around it."""
    return _registry.off()


def record_now(connection: Connection) -> None:
    """Write what a connection's transaction changed so far, and not at its commit.

    For tests whose outer transaction never commits.

    Raises:
        RecordingError: It could not be written, and everything is rolled back.
    """
    _registry.write(connection)
