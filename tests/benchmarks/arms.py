"""The arms: one program, and the ways in which its changes are recorded.

- plain, control: not at all.
- hydro_hooks: registered on the model.
- minimum: what somebody would write by hand for this one model. Mapper events collect,
  one Core INSERT at the engine's commit event writes, into the same table; `uuid4`,
  `json.dumps`, the reason from a ContextVar. It knows less: the state before a change
  is the attribute's history, the origin is a constant, and savepoints, bulk statements
  and a second connection are beyond it.
- trigger: the same INSERT, done by the database. Reason and actor are constants: to
  tell it the true ones would cost a statement more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4
from zlib import crc32

import sqlalchemy as sa
from databases import begin_explicitly
from sqlalchemy import event, orm

import hydro_hooks
from hydro_hooks import creation, tables

REASON: Final = "web interaction"
ACTOR: Final = "octocat"
ORIGIN: Final = "benchmarks.cases:100 in create"
SETTINGS: Final = {
    "sqlite": "SELECT sqlite_version(), 'journal mode ' || journal_mode, 'synchronous '"
    " || synchronous FROM pragma_journal_mode, pragma_synchronous",
    "postgresql": "SELECT current_setting('server_version'), 'synchronous_commit '"
    " || current_setting('synchronous_commit'), 'fsync ' || current_setting('fsync')",
    "mariadb": "SELECT version(), concat('innodb_flush_log_at_trx_commit ',"
    " @@innodb_flush_log_at_trx_commit)",
}

cause: ContextVar[tuple[str, str]] = ContextVar("cause", default=(REASON, ACTOR))


class Base(orm.DeclarativeBase):
    pass


class InstallationColumns:
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    jira_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    enabled: orm.Mapped[bool]
    visits: orm.Mapped[int]


class Installation(InstallationColumns, Base):
    __tablename__ = "installation"


class Prepared(InstallationColumns, Base):
    """What `installation` holds before each block."""

    __tablename__ = "prepared"


class Untracked(InstallationColumns, Base):
    __tablename__ = "untracked"


def open_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        begin_explicitly(engine)

        @event.listens_for(engine, "connect")
        def connect(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.execute("PRAGMA journal_mode = WAL")
            dbapi_connection.execute("PRAGMA synchronous = NORMAL")

    return engine


def fill(url: sa.URL, arm: str, rows: int) -> str:
    """Make an arm's tables, and rows to start from; return the database's settings."""
    engine = open_engine(url)
    Base.metadata.create_all(engine)
    creation.create_tables(engine)
    values = [
        {"id": one, "jira_host": host(one), "enabled": True, "visits": 0}
        for one in range(1, rows + 1)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(Prepared), values)
        if engine.dialect.name == "postgresql":
            sequence = sa.func.pg_get_serial_sequence("installation", "id")
            connection.execute(sa.select(sa.func.setval(sequence, 1_000_000)))
        if arm == "trigger":
            for statement in _triggers(engine.dialect.name):
                connection.exec_driver_sql(statement)
        settings = connection.exec_driver_sql(SETTINGS[engine.dialect.name]).one()
    engine.dispose()
    return f"{engine.dialect.name} {', '.join(settings)}"


def host(number: int) -> str:
    return f"https://customer-{number}.atlassian.net"


def attach(arm: str, engine: sa.Engine) -> None:
    """Make this process that arm's."""
    if arm == "hydro_hooks":
        # What it says of statements that it does not follow is not what is measured.
        logging.getLogger("hydro_hooks").setLevel(logging.CRITICAL)
        hydro_hooks.register(
            hydro_hooks.installation(
                Installation, jira_hostname="jira_host", enabled="enabled"
            )
        )
    elif arm == "minimum":
        _Minimum().attach(engine)


class _Minimum:
    """A collector of changes, and one Core INSERT at the commit."""

    def __init__(self) -> None:
        self._changes: list[tuple[str, Installation, datetime]] = []
        self._insert = sa.insert(tables.outbox)

    def attach(self, engine: sa.Engine) -> None:
        event.listen(Installation, "after_insert", self._inserted)
        event.listen(Installation, "after_update", self._updated)
        event.listen(Installation, "after_delete", self._deleted)
        event.listen(engine, "commit", self._write)
        event.listen(engine, "rollback", self._forget)

    def _inserted(self, _mapper: object, _: object, target: Installation) -> None:
        self._changes.append(("create", target, datetime.now(UTC)))

    def _updated(self, _mapper: object, _: object, target: Installation) -> None:
        if orm.attributes.get_history(target, "enabled").has_changes():
            action = "enable" if target.enabled else "disable"
            self._changes.append((action, target, datetime.now(UTC)))

    def _deleted(self, _mapper: object, _: object, target: Installation) -> None:
        self._changes.append(("destroy", target, datetime.now(UTC)))

    def _forget(self, _connection: object) -> None:
        self._changes.clear()

    def _write(self, connection: sa.Connection) -> None:
        if self._changes:
            transaction_id = str(uuid4())
            rows = [
                row_of(action, installation, made_at, transaction_id)
                for action, installation, made_at in self._changes
            ]
            self._changes.clear()
            connection.execute(self._insert, rows)


def row_of(
    action: str, row: InstallationColumns, made_at: datetime, transaction_id: str
) -> dict[str, Any]:
    """Return the row of the outbox that a change makes."""
    made, key = str(uuid4()), str(row.id)
    reason, actor = cause.get()
    is_gone = action == "destroy"
    state = "absent" if is_gone else "enabled" if row.enabled else "disabled"
    payload = {
        "eventId": made,
        "occurredAt": made_at.isoformat(timespec="milliseconds")[:-6] + "Z",
        "association": "installation",
        "subjectId": key,
        "action": action,
        "state": state,
        "jiraHostname": row.jira_host,
        "jiraIntegrationId": row.id,
        "reason": reason,
        "githubActor": actor,
        "transactionId": transaction_id,
        "origin": ORIGIN,
    }
    return {
        "id": made,
        "aggregatetype": "installation",
        "aggregateid": key,
        "type": f"installation.{action}",
        "payload": json.dumps(payload),
        "shard": crc32(key.encode()) % tables.SHARDS,
        "transaction_id": transaction_id,
        "occurred_at": made_at,
        "association": "installation",
        "subject_id": key,
        "action": action,
        "state": state,
        "jira_hostname": row.jira_host,
        "jira_integration_id": key,
        "reason": reason,
        "github_actor": actor,
        "origin": ORIGIN,
    }


class BareInsert:
    """The INSERT of rows as the driver takes them, with everything else done before."""

    def __init__(self, engine: sa.Engine, rows: Sequence[dict[str, Any]]) -> None:
        names, dialect = list(rows[0]), engine.dialect
        insert = sa.insert(tables.outbox).inline()
        compiled: Any = insert.compile(dialect=dialect, column_keys=names)
        for name in names:
            kind = tables.outbox.c[name].type.dialect_impl(dialect)
            process = kind.bind_processor(dialect)
            if process is not None:
                for row in rows:
                    row[name] = process(row[name])
        order = compiled.positiontup
        self._sql = str(compiled)
        self._parameters: list[Any] = (
            list(rows)
            if order is None
            else [tuple(row[name] for name in order) for row in rows]
        )

    def run(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(self._sql, self._parameters)


_WRITE: Final = """
INSERT INTO hydro_outbox (id, aggregatetype, aggregateid, type, payload, shard,
  transaction_id, occurred_at, association, subject_id, action, state, jira_hostname,
  jira_integration_id, reason, github_actor, origin)
SELECT CAST(made.id AS {uuid}), 'installation', made.subject,
  'installation.' || made.action,
  {object}('eventId', made.id, 'occurredAt', {timestamp}, 'association', 'installation',
    'subjectId', made.subject, 'action', made.action, 'state', made.state,
    'jiraHostname', {row}.jira_host, 'jiraIntegrationId', {row}.id,
    'reason', '{reason}', 'githubActor', '{actor}',
    'transactionId', made.transaction_id, 'origin', '{origin}'),
  {row}.id & 15, CAST(made.transaction_id AS {uuid}), {now}, 'installation',
  made.subject, made.action, made.state, {row}.jira_host, made.subject, '{reason}',
  '{actor}', '{origin}'
FROM (SELECT {id} AS id, {transaction} AS transaction_id, {action} AS action,
  {state} AS state, CAST({row}.id AS VARCHAR) AS subject LIMIT 1) AS made;
"""
_HEX: Final = "lower(hex(randomblob({})))"
_UUID: Final = " || '-' || ".join(_HEX.format(size) for size in (4, 2, 2, 2, 6))
_WORDS: Final = {
    "sqlite": {
        "uuid": "VARCHAR",
        "object": "json_object",
        "timestamp": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
        "id": _UUID,
        "transaction": _UUID,
    },
    "postgresql": {
        "uuid": "UUID",
        "object": "jsonb_build_object",
        "timestamp": 'to_char(clock_timestamp(), \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')',
        "now": "clock_timestamp()",
        "id": "gen_random_uuid()",
        "transaction": "lpad(to_hex(txid_current()), 32, '0')",
    },
}
_SQLITE: Final = "CREATE TRIGGER on_{event} AFTER {when} {condition} BEGIN {write} END"
_POSTGRESQL: Final = """
CREATE FUNCTION on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN {write} RETURN NULL; END $$;
CREATE TRIGGER on_{event} AFTER {when} FOR EACH ROW {condition}
  EXECUTE FUNCTION on_{event}();
"""


def _triggers(dialect: str) -> list[str]:
    is_new = "CASE WHEN NEW.enabled THEN '{}' ELSE '{}' END".format
    state = is_new("enabled", "disabled")
    words = {**_WORDS[dialect], "reason": REASON, "actor": ACTOR, "origin": ORIGIN}
    change = is_new("enable", "disable")
    differs = "IS NOT" if dialect == "sqlite" else "IS DISTINCT FROM"
    is_changed = f"WHEN (OLD.enabled {differs} NEW.enabled)"
    return [
        (_SQLITE if dialect == "sqlite" else _POSTGRESQL).format(
            event=when.split()[0].lower(),
            when=f"{when} ON installation",
            condition=condition,
            write=_WRITE.format(row=row, action=action, state=state, **words),
        )
        for when, row, action, state, condition in (
            ("INSERT", "NEW", "'create'", state, ""),
            ("UPDATE OF enabled", "NEW", change, state, is_changed),
            ("DELETE", "OLD", "'destroy'", "'absent'", ""),
        )
    ]
