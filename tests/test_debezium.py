"""The outbox as Debezium's Outbox Event Router takes it, without any setting."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from delivering import drained
from sample_events import record, sample_event, sample_events
from scripted_gateway import ScriptedGateway, failures
from sqlalchemy import Engine, event, inspect
from sqlalchemy.orm import Session
from tracked_models import Base, Installation, mappings

from hydro_hooks import claims, register
from hydro_hooks.claims import Wanted

TYPES = {
    "sqlite": ("VARCHAR(36)", "TEXT"),
    "postgresql": ("UUID", "JSONB"),
    "mariadb": ("VARCHAR(36)", "MEDIUMTEXT"),
}
"""Of the id, and of the payload."""


def test_the_outbox_has_its_default_columns_and_types(engine: Engine) -> None:
    columns = {
        column["name"]: (_type(column["type"]), column["nullable"])
        for column in inspect(engine).get_columns("hydro_outbox")
    }

    identifier, payload = TYPES[engine.dialect.name]
    assert columns["id"] == (identifier, False)
    assert columns["aggregatetype"] == ("VARCHAR(255)", False)
    assert columns["aggregateid"] == ("VARCHAR(255)", False)
    assert columns["type"] == ("VARCHAR(255)", False)
    assert columns["payload"] == (payload, False)


def _type(of_column: Any) -> str:
    # MariaDB's has the character set and the collation behind it.
    return re.sub(r' (?:CHARACTER SET|COLLATE) ["\w]+', "", str(of_column)).upper()


def test_rows_are_only_inserted_and_deleted(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    seen: set[str] = set()

    @event.listens_for(engine, "before_cursor_execute")
    def note(_conn: object, _cursor: object, sql: str, *_: object) -> None:
        found = re.match(
            r"\s*(INSERT|UPDATE|DELETE|REPLACE)(?: INTO| FROM)?\s+\"?hydro_outbox\b",
            sql,
        )
        if found:
            seen.add(found[1])

    with register(*mappings()), Session(engine) as session:
        session.add(Installation(id=1))
        session.commit()
    refused, tried_again = failures((0, "no", False)), failures((0, "later", True))
    with ScriptedGateway([tried_again, refused]) as gateway:
        drained(engine, gateway)
    record(engine, [sample_event(), *sample_events(3)])
    claims.redrive(engine, Wanted())
    claims.hand_over(engine, older_than=timedelta(0), delivered_by="kafka-connect")

    assert seen == {"INSERT", "DELETE"}
