"""The tables: what is waiting, what was delivered, what was refused, and who works.

`metadata` is for the app's database; hand it to Alembic, or call `create_tables()`.
`gateway_metadata` is for a database of the gateway's own: a journal, and the requests
as they came in.

Rows of `hydro_outbox` are only inserted and deleted. The columns `id`, `aggregatetype`,
`aggregateid`, `type` and `payload` are those of Debezium's Outbox Event Router.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    cast,
    text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

SHARDS: Final = 16
"""How many parts the outbox is delivered in; the events of one subject share one."""

SHARD_INDEX: Final = "ix_hydro_outbox_shard"
"""The index of the outbox by which the events of a shard are read in their order."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, also where the database has no zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the dialect's own type."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Turn an aware datetime into what the dialect stores."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Return it aware, in UTC."""
        if value is None:
            return None
        return (
            value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        )


class _JsonbText(UserDefinedType[str]):
    """PostgreSQL's jsonb, as text in Python: the relay passes it on unread."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "JSONB"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read it as text."""
        return cast(colexpr, Text)


def _utf8mb4_bin(length: int) -> mysql.VARCHAR:
    return mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")


def _text(length: int) -> String:
    """Return a type of names and ids, which all databases compare byte by byte.

    Left to themselves, MariaDB takes no notice of case, and PostgreSQL goes by a
    language's rules, which make each entry of an index take longer.
    """
    return (
        String(length)
        .with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")
        .with_variant(_utf8mb4_bin(length), "mysql", "mariadb")
    )


_LONG_TEXT: Final = Text().with_variant(
    mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
_ID: Final = (
    String(36)
    .with_variant(postgresql.UUID(as_uuid=False), "postgresql")
    .with_variant(_utf8mb4_bin(36), "mysql", "mariadb")
)


def _searchable() -> list[Column[Any]]:
    """Return the columns of an event that a person or a page searches by."""
    return [
        Column("transaction_id", _ID),
        Column("occurred_at", UtcDateTime(), nullable=False),
        Column("association", _text(100), nullable=False),
        Column("subject_id", _text(255)),
        Column("action", _text(20), nullable=False),
        Column("state", _text(20)),
        Column("github_installation_id", _text(255)),
        Column("jira_hostname", _text(255)),
        Column("jira_integration_id", _text(255)),
        Column("reason", _text(200), nullable=False),
        Column("github_actor", _text(255)),
        Column("jira_actor", _text(255)),
        Column("note", _LONG_TEXT),
        Column("origin", _text(255)),
    ]


LOWER_HOST: Final = "jira_hostname_lower"
"""The journal's column of hosts in small letters, which people ask for in any case."""

_TABLE_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}


_NUMBERED: Final[dict[str, Any]] = {
    **_TABLE_OPTIONS,
    "sqlite_autoincrement": True,  # a number never comes back, also when it is emptied
}


def _search_indexes(table: str) -> list[Index]:
    """Return indexes for "this host", "this integration", ..., newest first."""
    always = [
        Index(f"ix_{table}_{name}", *columns, "seq")
        for name, columns in (
            ("host", (LOWER_HOST,)),
            ("github", ("github_installation_id",)),
            ("integration", ("jira_integration_id",)),
            ("subject", ("association", "subject_id")),
            ("occurred_at", ("occurred_at",)),
            ("transaction", ("transaction_id",)),
            ("reason", ("reason",)),
        )
    ]
    # Of an event's two actors seldom both are known, and often neither.
    return always + [
        Index(
            f"ix_{table}_{actor}",
            actor,
            "seq",
            sqlite_where=text(f"{actor} IS NOT NULL"),
            postgresql_where=text(f"{actor} IS NOT NULL"),
        )
        for actor in ("github_actor", "jira_actor")
    ]


metadata: Final = MetaData()
gateway_metadata: Final = MetaData()

outbox: Final = Table(
    "hydro_outbox",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("aggregatetype", _text(255), nullable=False),
    Column("aggregateid", _text(255), nullable=False),
    Column("type", _text(255), nullable=False),
    Column(
        "payload", _LONG_TEXT.with_variant(_JsonbText(), "postgresql"), nullable=False
    ),
    Column("shard", SmallInteger(), nullable=False),
    *_searchable(),
    Index(SHARD_INDEX, "shard", "seq"),
    Index("ix_hydro_outbox_subject", "subject_id"),
    **_NUMBERED,
)
"""Events that are committed and wait for delivery."""

journal: Final = Table(
    "hydro_journal",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("payload", _LONG_TEXT, nullable=False),
    *_searchable(),
    Column("schema", _text(255), nullable=False),
    Column("settled_at", UtcDateTime(), nullable=False),
    Column("attempts", Integer()),
    Column("settled_by", _text(255)),
    Column("request_id", _ID),
    Column(LOWER_HOST, _text(255), Computed("lower(jira_hostname)", persisted=True)),
    *_search_indexes("hydro_journal"),
    **_NUMBERED,
)
"""Events that were delivered (the app's database) or received (the gateway's).

`seq` is the outbox' number in the app's database, the order of arrival in the
gateway's; `settled_by` is the relay's name or the sending app's; `request_id` leads to
the request that brought it.
"""

rejected: Final = Table(
    "hydro_rejected",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    Column("payload", _LONG_TEXT, nullable=False),
    *_searchable(),
    Column("schema", _text(255), nullable=False),
    Column("rejected_at", UtcDateTime(), nullable=False),
    Column("attempts", Integer()),
    Column("error", _LONG_TEXT, nullable=False),
    Index("ix_hydro_rejected_subject", "subject_id"),
    **_TABLE_OPTIONS,
)
"""Events that are not tried again until somebody redrives them."""

shard: Final = Table(
    "hydro_shard",
    metadata,
    Column("shard", SmallInteger(), primary_key=True, autoincrement=False),
    Column("token", _ID),
    Column("leased_until", UtcDateTime()),
    Column("attempts", Integer(), nullable=False, default=0),
    Column("not_before", UtcDateTime()),
    Column("fault", _text(500)),
    Column("is_held", Boolean(), nullable=False, default=False),
    Column("mark", _NUMBER, nullable=False, default=0),
    **_TABLE_OPTIONS,
)
"""Who delivers which part of the outbox, why it waits, and when it is tried again.

`fault` is why the last try failed; `is_held` says that somebody has to act, so that a
relay that starts anew tries at once. Below `mark` nothing is left and
nothing will appear, but for what is put back: a relay looks there now and then."""

meta: Final = Table(
    "hydro_meta",
    metadata,
    Column("name", _text(120), primary_key=True),
    Column("value", _text(255), nullable=False),
    **_TABLE_OPTIONS,
)
"""What is known of the tables as a whole: their `version`, and until when `reconcile`
found nothing that it did not record."""

_gateway_journal: Final = journal.to_metadata(gateway_metadata)
Index("ix_hydro_journal_request", _gateway_journal.c.request_id)

request: Final = Table(
    "hydro_request",
    gateway_metadata,
    Column("id", _ID, primary_key=True),
    Column("received_at", UtcDateTime(), nullable=False),
    Column("app", _text(255), nullable=False),
    Column("authorization", _text(255), nullable=False),
    Column("status", SmallInteger(), nullable=False),
    Column(
        "body",
        LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
        nullable=False,
    ),
    **_TABLE_OPTIONS,
)
"""Requests that stored at least one event, byte for byte, with their signature."""

for _table in (*metadata.tables.values(), *gateway_metadata.tables.values()):
    # A `schema_translate_map` is for the program's tables, these are where it connects:
    # so SQLAlchemy marks what it does not translate.
    _table._use_schema_map = False  # noqa: SLF001 - it has no public name
