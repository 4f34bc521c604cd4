"""Who is compared: one small program, and the packages that record its changes.

Each is set up as its own documentation advises, and told the reason and the actor by
the means that it has:

- hydro_hooks: `because()`.
- SQLAlchemy-Continuum, and SQLAlchemy-History, a fork of it: a plugin of one's own, as
  theirs for Flask is, gives the key-value pairs of `TransactionMetaPlugin`.
  `PropertyModTrackerPlugin` tells which columns changed.
- the same with `native_versioning`: triggers of PostgreSQL. They see a statement only
  where the transaction has a `Transaction` already, so this program makes one by
  `create_transaction()` at the start of every session that executes statements.
- PostgreSQL-Audit: `values` of its manager. It has a column for the actor; the one for
  the reason is added by a factory of the transaction's model. It tells them before a
  flush, so this program also calls `set_activity_values()` at the start of every
  session that executes statements. An old version is put back by merging `object`.
- after_flush: what is written by hand at first, without any package: one audit row per
  object of `session.new`, `dirty` and `deleted`.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from benchmarks.compared import (
    CREATED,
    DESTROYED,
    INSTALLATION,
    SUBSCRIPTION,
    UPDATED,
    Contender,
    Models,
    Record,
    Subject,
    cause,
)
from kafka_cluster import KafkaCluster
from sqlalchemy import event, orm
from sqlalchemy.schema import CreateTable

import hydro_hooks
from hydro_hooks.reconcile import Reconciliation
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings
from hydro_hooks.testing import recorded
from hydro_hooks.testing.gateway import LocalGateway


class Hydro(Contender):
    package = "hydro_hooks"
    _hooks: hydro_hooks.Hooks

    def start(self, models: Models) -> None:
        self._hooks = hydro_hooks.register(
            hydro_hooks.installation(
                models.installation, jira_hostname="jira_host", enabled="enabled"
            ),
            hydro_hooks.subscription(
                models.subscription,
                github_installation_id="github_installation_id",
                jira_integration_id="installation_id",
                enabled="enabled",
            ),
        )

    def create(self, engine: sa.Engine, models: Models) -> None:
        super().create(engine, models)
        hydro_hooks.create_tables(engine)

    def because(self, reason: str, actor: str) -> AbstractContextManager[object]:
        return hydro_hooks.because(reason, github_actor=actor)

    def records(self, engine: sa.Engine, _models: Models) -> list[Record]:
        return [
            Record(
                serial=one.id,
                subject=(one.association, int(one.subject_id or 0)),
                action=UPDATED if one.action in {"enable", "disable"} else one.action,
                is_transition=True,
                reason=one.reason,
                actor=None if one.github_actor is None else str(one.github_actor),
            )
            for one in recorded(engine)
        ]

    def deliver(self, engine: sa.Engine) -> list[str]:
        places = []
        with LocalGateway() as gateway:
            waiting = {one.id for one in recorded(engine)}
            Relay(engine, gateway.settings()).drain()
            if waiting and waiting <= {one.id for one in gateway.events()}:
                places.append("to an HTTP gateway")
        return places

    def deliver_to_kafka(self, engine: sa.Engine) -> list[str]:
        with KafkaCluster() as cluster:
            waiting = {one.id for one in recorded(engine)}
            Relay(engine, Settings(base_url=cluster.url())).drain()
            headers = [dict(message.headers()) for message in cluster.messages()]
        found = {one["id"].decode() for one in headers}
        return ["to Kafka"] if waiting and waiting <= found else []

    def find_unseen(self, engine: sa.Engine) -> set[Subject]:
        found = Reconciliation(engine=engine, models=self._hooks.models).run()
        return {(one.association, int(one.subject_id)) for one in found}


class Continuum(Contender):
    package = "sqlalchemy_continuum"
    options: ClassVar[dict[str, Any]] = {}
    _ACTIONS: Final = (CREATED, UPDATED, DESTROYED)

    def attach(self, _base: type[orm.DeclarativeBase]) -> None:
        self._module = importlib.import_module(str(self.package))
        plugins = importlib.import_module(f"{self.package}.plugins")

        def before_flush(_self: Any, work: Any, _session: object) -> None:
            transaction = work.current_transaction
            # A plain attribute: whether it has `meta` would be a query.
            if not getattr(transaction, "is_told", False):
                transaction.is_told, transaction.meta = True, _meta()

        methods = {"before_flush": before_flush}
        tell_cause = type("TellCause", (plugins.Plugin,), methods)
        self._meta = plugins.TransactionMetaPlugin()
        self._module.make_versioned(
            user_cls=None,
            plugins=[self._meta, plugins.PropertyModTrackerPlugin(), tell_cause()],
            options=dict(self.options),
        )

    def start(self, _models: Models) -> None:
        orm.configure_mappers()

    def records(self, engine: sa.Engine, models: Models) -> list[Record]:
        with orm.Session(engine) as session:
            meta: dict[tuple[int, str], str] = {
                (row.transaction_id, row.key): row.value
                for row in session.scalars(sa.select(self._meta.model_class))
            }
            return [
                Record(
                    serial=f"{row.transaction_id} {row.operation_type}",
                    subject=(table, row.id),
                    action=self._ACTIONS[row.operation_type],
                    is_transition=row.enabled_mod,
                    reason=meta.get((row.transaction_id, "reason")),
                    actor=meta.get((row.transaction_id, "actor")),
                )
                for table in (INSTALLATION, SUBSCRIPTION)
                for row in session.scalars(sa.select(self._version(models.of(table))))
            ]

    def _version(self, model: Any) -> Any:
        return self._module.version_class(model)

    def old_visits(
        self, engine: sa.Engine, models: Models, key: int
    ) -> set[int | None]:
        version = self._version(models.installation)
        with orm.Session(engine) as session:
            found = session.scalars(sa.select(version.visits).where(version.id == key))
            return set(found)

    def revert(self, row: Any) -> None:
        row.versions[0].revert()


class History(Continuum):
    package = "sqlalchemy_history"


class NativeContinuum(Continuum):
    options: ClassVar[dict[str, Any]] = {"native_versioning": True}

    def create(self, engine: sa.Engine, models: Models) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE EXTENSION hstore")
        super().create(engine, models)

    def begin(self, session: orm.Session) -> None:
        work = self._module.versioning_manager.unit_of_work(session)
        work.create_transaction(session).meta = _meta()


def _meta() -> dict[str, str]:
    named = zip(("reason", "actor"), cause.get(), strict=True)
    return {key: value for key, value in named if value is not None}


class PostgresqlAudit(Contender):
    package = "postgresql_audit"

    def attach(self, base: type[orm.DeclarativeBase]) -> None:
        module: Any = importlib.import_module(str(self.package))

        def with_reason(base: Any) -> Any:
            parent = importlib.import_module(f"{self.package}.base")
            columns = {"reason": sa.Column(sa.Text), "__tablename__": "transaction"}
            return type("Transaction", (parent.transaction_base(base, None),), columns)

        self._manager = module.VersioningManager()
        self._manager.transaction_model_factory = with_reason
        self._manager.values = {
            "reason": lambda: cause.get()[0],
            "actor_id": lambda: cause.get()[1],
        }
        self._manager.init(base)

    def start(self, _models: Models) -> None:
        orm.configure_mappers()

    def begin(self, session: orm.Session) -> None:
        self._manager.set_activity_values(session)

    def create(self, engine: sa.Engine, models: Models) -> None:
        # The functions first, which the other tables' triggers call.
        for model in (self._manager.transaction_cls, self._manager.activity_cls):
            model.__table__.create(engine)
        super().create(engine, models)

    def records(self, engine: sa.Engine, models: Models) -> list[Record]:
        actions = {"insert": CREATED, "update": UPDATED, "delete": DESTROYED}
        with orm.Session(engine) as session:
            return [
                Record(
                    serial=str(row.id),
                    subject=(row.table_name, int(row.data["id"])),
                    action=actions[row.verb],
                    is_transition="enabled" in row.changed_data,
                    reason=row.transaction and row.transaction.reason,
                    actor=row.transaction and row.transaction.actor_id,
                )
                for row in session.scalars(sa.select(self._manager.activity_cls))
                if row.table_name in models.base.metadata.tables
            ]

    def old_visits(
        self, engine: sa.Engine, _models: Models, key: int
    ) -> set[int | None]:
        activity = self._manager.activity_cls
        with orm.Session(engine) as session:
            rows = session.scalars(
                sa.select(activity).where(activity.table_name == INSTALLATION)
            )
            return {row.data["visits"] for row in rows if row.data["id"] == key}

    def revert(self, row: Any) -> None:
        session, activity = orm.object_session(row), self._manager.activity_cls
        assert session is not None
        of_table = sa.select(activity).where(activity.table_name == INSTALLATION)
        versions = session.scalars(of_table.order_by(activity.id))
        first = next(one for one in versions if one.data["id"] == row.id)
        session.merge(first.object)


class AfterFlush(Contender):
    def __init__(self) -> None:
        self._audit = sa.Table(
            "audit",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("table", sa.String(255)),
            sa.Column("row", sa.Integer),
            sa.Column("action", sa.String(255)),
            sa.Column("reason", sa.String(255)),
            sa.Column("actor", sa.String(255)),
        )

    def start(self, _models: Models) -> None:
        event.listen(orm.Session, "after_flush", self._write)

    def _write(self, session: orm.Session, _context: object) -> None:
        reason, actor = cause.get()
        for action, rows in (
            (CREATED, session.new),
            (UPDATED, session.dirty),
            (DESTROYED, session.deleted),
        ):
            for row in rows:
                values = {"action": action, "reason": reason, "actor": actor}
                values |= {"table": row.__tablename__, "row": row.id}
                session.execute(sa.insert(self._audit).values(values))

    def create(self, engine: sa.Engine, models: Models) -> None:
        super().create(engine, models)
        with engine.begin() as connection:
            connection.execute(CreateTable(self._audit))

    def records(self, engine: sa.Engine, _models: Models) -> list[Record]:
        with engine.connect() as connection:
            return [
                Record(
                    serial=str(row["id"]),
                    subject=(row["table"], row["row"]),
                    action=row["action"],
                    reason=row["reason"],
                    actor=row["actor"],
                )
                for row in connection.execute(sa.select(self._audit)).mappings()
            ]


PLAIN: Final = "plain"
CONTENDERS: Final[dict[str, type[Contender]]] = {
    "hydro_hooks": Hydro,
    "SQLAlchemy-Continuum": Continuum,
    "Continuum (native_versioning)": NativeContinuum,
    "SQLAlchemy-History": History,
    "PostgreSQL-Audit": PostgresqlAudit,
    "hand-written after_flush": AfterFlush,
}
