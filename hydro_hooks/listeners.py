"""Which event of SQLAlchemy calls what, on one screen.

SQLAlchemy's events are attached to the tracked classes where that is possible, so that
others pay nothing, and to `Session` and `Engine` as classes, so that nothing has to be
named by the app.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import InstanceState, Mapper, QueryableAttribute, Session
from sqlalchemy.orm.attributes import instance_state

from hydro_hooks.detection import dependants, rows, session_delete
from hydro_hooks.detection.cascades import Cascades
from hydro_hooks.detection.links import Links
from hydro_hooks.detection.reach import Reach
from hydro_hooks.detection.recorder import OnFailure, Recorder
from hydro_hooks.detection.stamps import Kind, Stamps
from hydro_hooks.detection.statements import Statements
from hydro_hooks.detection.transactions import TransactionLog, TransactionLogs
from hydro_hooks.detection.unit_of_work import UnitOfWork
from hydro_hooks.models import TrackedModel

Work: TypeAlias = Callable[
    [TrackedModel, TransactionLog, Connection, InstanceState[Any]], None
]


class Listeners:
    """The listeners of a process, and the parts they call."""

    def __init__(self) -> None:
        self._attached: dict[object, list[tuple[Any, str, Any]]] = {}
        self._models: dict[str, TrackedModel] = {}
        self._cascades = Cascades(self._models)
        self._logs = TransactionLogs()
        self._stamps = Stamps()
        self._links = Links(self._stamps)
        self._unit_of_work = UnitOfWork(self._logs, self._stamps)
        self._recorder = Recorder(self._models, self._logs)
        self._reach = Reach(self._models)
        self._statements = Statements(
            self._reach,
            self._logs,
            self._unit_of_work,
            self._stamps,
            self._links,
            self._recorder.write,
        )
        # Not in attach(): register() may be called by the app's own listener of this
        # event, and while one is told of it, no other can be added.
        event.listen(Mapper, "after_configured", self._configured)

    def attach(self, models: Iterable[TrackedModel], on_failure: OnFailure) -> None:
        """Listen to models, besides those that are listened to.

        Args:
            models: Each with an association of its own.
            on_failure: What to do when events cannot be written, of any model.
        """
        self._recorder.on_failure = on_failure
        if not self._models:
            self._attach_to_process()
        for tracked in models:
            self._attach_to_model(tracked)
        self._renew()

    def detach(self, models: Iterable[TrackedModel]) -> None:
        """Listen to models no longer."""
        for tracked in models:
            self._detach(tracked.model)
            del self._models[tracked.association]
        self._detach("others")
        if not self._models:
            self._detach("process")
        self._renew()

    def write(self, connection: Connection) -> None:
        """Write what a connection's transaction did so far, before it is committed."""
        self._recorder.write(connection)

    def _renew(self) -> None:
        """Decide anew what depends on the models."""
        rows.forget()
        dependants.forget()
        self._cascades.forget()
        self._statements.forget()
        if self._cascades.are_configured():
            self._attach_to_others()

    # What calls what -------------------------------------------------------------

    def _attach_to_process(self) -> None:
        listen = functools.partial(self._listen, "process")
        listen(Engine, "before_cursor_execute", self._statements.before)
        listen(Engine, "after_cursor_execute", self._statements.after)
        listen(Engine, "after_execute", self._statements.executed)
        listen(Engine, "handle_error", self._statements.failed)
        listen(Engine, "commit", self._recorder.commit)
        listen(Engine, "prepare_twophase", self._recorder.prepare)
        listen(Session, "transient_to_pending", self._pending, raw=True)
        listen(Session, "before_flush", self._stamps.flushing)
        listen(Session, "after_flush", self._links.flushed)
        listen(Session, "after_flush", self._stamps.flushed)
        session_delete.attach(
            lambda state: self._reaches(state.mapper),
            self._stamps.put_removal,
        )

    def _configured(self) -> None:
        if self._models:
            self._attach_to_others()

    def _attach_to_model(self, tracked: TrackedModel) -> None:
        self._models[tracked.association] = tracked
        self._attach_to_class(tracked.model, tracked)

    def _attach_to_class(self, owner: object, tracked: TrackedModel) -> None:
        work, model = self._unit_of_work, tracked.model
        listen = functools.partial(self._listen, owner, raw=True, propagate=True)
        # On the base class: its table may be the model's, so its flushes are known too.
        base = tracked.mapper.base_mapper.class_
        for action in ("insert", "update", "delete"):
            before, after = f"before_{action}", f"after_{action}"
            listen(base, before, self._before(getattr(work, before), tracked))
            listen(base, after, self._after(getattr(work, after), tracked))
        for kind, names in (
            (Kind.FLAG, tracked.flag_attributes),
            (Kind.PRESENCE, tracked.presence_attributes),
        ):
            for name in names:
                listen(getattr(model, name), "set", self._on_set(kind))
                # A mutable value (JSON, say) that is changed in place.
                listen(getattr(model, name), "modified", self._on_modified(kind))

    def _attach_to_others(self) -> None:
        """Hear of what else writes rows of a tracked table.

        Second classes on it, relationships that have it for their secondary, and
        parents that children are taken from which cannot be without.
        """
        self._detach("others")
        self._links.forget()
        self._cascades.forget()
        self._cascades.find_second()
        for second in self._cascades.second:
            self._attach_to_class("others", second)
        listen = functools.partial(self._listen, "others", raw=True, propagate=True)
        for relation in self._cascades.tracked_secondaries():
            changed = self._links.follow(relation)
            for name in ("append", "remove") if relation.uselist else ("set",):
                listen(relation.class_attribute, name, changed)
        for relation in self._cascades.needed_parents():
            attribute = relation.class_attribute
            name, listener = (
                ("remove", self._on_remove(attribute))
                if relation.uselist
                else ("set", self._on_replace(attribute))
            )
            listen(attribute, name, listener)

    # ------------------------------------------------------------------------------

    def _listen(
        self, owner: object, target: Any, name: str, function: Any, **options: Any
    ) -> None:
        event.listen(target, name, function, **options)
        self._attached.setdefault(owner, []).append((target, name, function))

    def _detach(self, owner: object) -> None:
        for target, name, function in self._attached.pop(owner, ()):
            event.remove(target, name, function)
        if owner == "process":
            session_delete.detach()

    def _reaches(self, mapper: Mapper[Any]) -> bool:
        """Return whether deleting an object of the mapper may delete a subject."""
        self._reach.renew()
        return self._cascades.reaches(mapper) or any(
            table in self._reach.on_delete for table in mapper.tables
        )

    def _before(self, work: Work, tracked: TrackedModel) -> Callable[..., None]:
        def before(
            mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]
        ) -> None:
            log = self._unit_of_work.begin(connection)
            if tracked.covers(mapper):
                work(tracked, log, connection, state)

        return before

    def _after(self, work: Work, tracked: TrackedModel) -> Callable[..., None]:
        def after(
            mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]
        ) -> None:
            log = self._unit_of_work.end(connection)
            if tracked.covers(mapper):
                work(tracked, log, connection, state)
            if log.writes_at_once and not log.in_flight:
                self._recorder.write(connection)

        return after

    def _pending(self, _session: Session, state: InstanceState[Any]) -> None:
        if self._cascades.is_tracked(state.class_):
            self._stamps.put(state, Kind.PRESENCE)

    def _on_set(self, kind: Kind) -> Callable[..., None]:
        def on_set(
            state: InstanceState[Any], value: object, old: object, _initiator: object
        ) -> None:
            # A new object's stamp is that of its add(). The flush itself sets the key
            # of a joined subclass, to what it is already.
            if state.key is not None and value is not old:
                self._stamps.put(state, kind)

        return on_set

    def _on_modified(self, kind: Kind) -> Callable[..., None]:
        def on_modified(state: InstanceState[Any], _initiator: object) -> None:
            if state.key is not None:
                self._stamps.put(state, kind)

        return on_modified

    def _on_remove(self, parent: QueryableAttribute[Any]) -> Callable[..., None]:
        def on_remove(_: object, child: object, _initiator: object) -> None:
            self._stamps.put_removal(instance_state(child), parent)

        return on_remove

    def _on_replace(self, parent: QueryableAttribute[Any]) -> Callable[..., None]:
        def on_replace(
            _: object, child: object, old: object, _initiator: object
        ) -> None:
            if old is not child and hasattr(old, "_sa_instance_state"):
                self._stamps.put_removal(instance_state(old), parent)

        return on_replace
