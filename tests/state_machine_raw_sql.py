"""Rules of the state machine: SQL that the program writes as text.

Only forms that hydro_hooks claims to understand: a warning is a failure here.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import bindparam, select, text
from state_machine_core_statements import FLIPS, Flip, batches, column_values, table_of
from state_machine_models import FLAGGED, Pair, Row, Ticket
from state_machine_transactions import TransactionRules
from state_machine_unit_of_work import KEYS, rows
from state_machine_world import MAKERS, By

Dress: TypeAlias = Literal[
    "plain", "quoted", "qualified", "commented", "semicolon", "lines"
]
DRESSES: st.SearchStrategy[Dress] = st.sampled_from(
    ("plain", "quoted", "qualified", "commented", "semicolon", "lines")
)
"""How a statement is written."""

OnConflict: TypeAlias = Literal["fail", "ignore", "replace", "update"]
ON_CONFLICT: st.SearchStrategy[OnConflict] = st.sampled_from(
    ("fail", "ignore", "replace", "update")
)

TABLES = ("installation", "subscription", "team", "seat", "badge", "device", "ticket")


class RawSqlRules(TransactionRules):
    """UPDATE, DELETE, INSERT and TRUNCATE as text, and as the driver takes it."""

    @precondition(lambda self: self.can_execute)
    @rule(
        model=st.sampled_from(FLAGGED),
        key=KEYS,
        flip=FLIPS,
        dress=DRESSES,
        is_driver=st.booleans(),
        is_literal=st.booleans(),
        by=MAKERS,
    )
    def raw_update(
        self,
        model: type[Any],
        key: int,
        flip: Flip,
        dress: Dress,
        is_driver: bool,  # noqa: FBT001
        is_literal: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        name = self._named(model.__tablename__, dress)
        values: dict[str, Any] = {"key": key}
        if flip in ("not", "odd"):
            sql = f"UPDATE {name} AS one SET is_enabled = NOT one.is_enabled"  # noqa: S608
            sql += " WHERE one.id = :key"
        else:
            sql = f"update {name} set is_enabled = :flag\n where id >= :key"  # noqa: S608
            values["flag"] = flip
        self._raw(
            _dressed(sql, dress), values, by, is_driver=is_driver, is_literal=is_literal
        )

    @precondition(lambda self: self.can_execute)
    @rule(
        table=st.sampled_from(TABLES),
        key=KEYS,
        dress=DRESSES,
        is_driver=st.booleans(),
        is_literal=st.booleans(),
        by=MAKERS,
    )
    def raw_delete(
        self,
        table: str,
        key: int,
        dress: Dress,
        is_driver: bool,  # noqa: FBT001
        is_literal: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        name = self._named(table, dress)
        sql = _dressed(f"DELETE FROM {name} WHERE id = :key OR id > 3", dress)  # noqa: S608
        self._raw(sql, {"key": key}, by, is_driver=is_driver, is_literal=is_literal)

    @precondition(lambda self: self.can_execute)
    @rule(
        row=rows(*FLAGGED, Pair),
        is_driver=st.booleans(),
        is_literal=st.booleans(),
        by=MAKERS,
    )
    def raw_insert(
        self,
        row: Row,
        is_driver: bool,  # noqa: FBT001
        is_literal: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        values = column_values(row)
        sql = _insert_of(table_of(row.model).name, values)
        self._raw(sql, values, by, is_driver=is_driver, is_literal=is_literal)

    @precondition(lambda self: self.can_execute)
    @rule(
        batch=batches(*FLAGGED, Pair),
        on_conflict=ON_CONFLICT,
        is_generated=st.booleans(),
        is_list=st.booleans(),
        dress=DRESSES,
        by=MAKERS,
    )
    def raw_insert_of_many(
        self,
        batch: list[Row],
        on_conflict: OnConflict,
        is_generated: bool,  # noqa: FBT001
        is_list: bool,  # noqa: FBT001
        dress: Dress,
        by: By,
    ) -> None:
        """As one VALUES list, or as a list of parameters."""
        model = batch[0].model
        sets = [column_values(row) for row in batch]
        if is_generated and on_conflict == "fail":
            for values in sets:
                values.pop("id", None)
        name = self._named(table_of(model).name, dress)
        head = _insert_of(name, sets[0])
        places = head[head.index(" VALUES ") + 8 :]
        given: Any = sets
        if is_list:
            lists = [
                places.replace(":", f":of_{number}_") for number in range(len(sets))
            ]
            head = head.removesuffix(places) + ", ".join(lists)
            given = {
                f"of_{number}_{key}": value
                for number, values in enumerate(sets)
                for key, value in values.items()
            }
        statement = text(_dressed(self._on_conflict(head, model, on_conflict), dress))
        through: Any = self.session or self.connection
        self._work(by, lambda: through.execute(statement, given))

    @precondition(lambda self: self.can_execute)
    @rule(
        key=KEYS,
        on_conflict=st.none() | ON_CONFLICT,
        dress=DRESSES,
        is_driver=st.booleans(),
        by=MAKERS,
    )
    def raw_insert_select(
        self,
        key: int,
        on_conflict: OnConflict | None,
        dress: Dress,
        is_driver: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """Without keys, or with some that may be taken."""
        name = self._named("ticket", dress)
        sql = (
            f"INSERT INTO {name} (kind, is_enabled)"  # noqa: S608
            " SELECT 'bug', is_enabled FROM installation WHERE id >= :key"
        )
        if on_conflict is not None:
            sql = self._on_conflict(
                f"INSERT INTO {name} (kind, id, is_enabled)"  # noqa: S608
                " SELECT 'ticket', i.id + 1, NOT i.is_enabled"
                " FROM installation AS i WHERE i.id >= :key",
                Ticket,
                on_conflict,
            )
        self._raw(
            _dressed(sql, dress),
            {"key": key},
            by,
            is_driver=is_driver,
            is_literal=False,
        )

    @precondition(lambda self: self.can_execute)
    @rule(row=rows(Pair), is_driver=st.booleans(), by=MAKERS)
    def raw_hide(self, row: Row, is_driver: bool, by: By) -> None:  # noqa: FBT001
        sql = (
            "UPDATE pair SET deleted = NOT deleted, level = :level"
            " WHERE left_side = :key"
        )
        values = {"level": row.values()["level"], "key": row.key}
        self._raw(sql, values, by, is_driver=is_driver, is_literal=False)

    @precondition(lambda self: self.can_execute)
    @rule(
        table=st.sampled_from(("installation", "subscription", "ticket")),
        key=KEYS,
        to=KEYS,
        is_driver=st.booleans(),
        by=MAKERS,
    )
    def raw_renumber(
        self,
        table: str,
        key: int,
        to: int,
        is_driver: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        sql = f"UPDATE {table} SET id = :to WHERE id = :key"  # noqa: S608
        values = {"to": to, "key": key}
        self._raw(sql, values, by, is_driver=is_driver, is_literal=False)

    @precondition(lambda self: self.can_execute)
    @rule(batch=batches(*FLAGGED), is_delete=st.booleans(), by=MAKERS)
    def raw_executemany(self, batch: list[Row], is_delete: bool, by: By) -> None:  # noqa: FBT001
        table = table_of(batch[0].model).name
        sql = f"UPDATE {table} SET is_enabled = :flag WHERE id = :key"  # noqa: S608
        if is_delete:
            sql = f"DELETE FROM {table} WHERE id = :key OR id = :key"  # noqa: S608
        values = [{"key": row.key, "flag": row.flag} for row in batch]
        through: Any = self.session or self.connection
        self._work(by, lambda: through.execute(text(sql), values))

    @precondition(lambda self: self.can_execute)
    @rule(
        keys=st.lists(KEYS, max_size=3),
        flag=st.booleans(),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def raw_expanding(
        self,
        keys: list[int],
        flag: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        statement = text("UPDATE ticket SET is_enabled = :flag WHERE id IN :keys")
        statement = statement.bindparams(bindparam("keys", expanding=True))
        self._core(statement, {"flag": flag, "keys": keys}, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute and self.world.kind != "mariadb")
    @rule(key=KEYS, flag=st.booleans(), is_driver=st.booleans(), by=MAKERS)
    def raw_update_from(
        self,
        key: int,
        flag: bool,  # noqa: FBT001
        is_driver: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        sql = (
            "UPDATE ticket SET is_enabled = i.is_enabled FROM installation AS i"
            " WHERE i.id = ticket.id AND (i.id = :key OR ticket.is_enabled = :flag)"
        )
        values = {"key": key, "flag": flag}
        self._raw(sql, values, by, is_driver=is_driver, is_literal=False)

    @precondition(lambda self: self.can_execute and self.world.kind == "mariadb")
    @rule(
        table=st.sampled_from(("installation", "seat", "device", "ticket")),
        limit=KEYS,
        is_delete=st.booleans(),
        is_driver=st.booleans(),
        by=MAKERS,
    )
    def raw_limited(
        self,
        table: str,
        limit: int,
        is_delete: bool,  # noqa: FBT001
        is_driver: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        verb = f"DELETE FROM {table}"  # noqa: S608
        if not is_delete:
            verb = f"UPDATE {table} SET is_enabled = NOT is_enabled"  # noqa: S608
        sql = f"{verb} WHERE id > 0 ORDER BY id DESC LIMIT :n"
        self._raw(sql, {"n": limit}, by, is_driver=is_driver, is_literal=False)

    @precondition(lambda self: self.has_session and self.world.kind != "mariadb")
    @rule(key=KEYS, is_delete=st.booleans(), by=MAKERS)
    def raw_from_statement(self, key: int, is_delete: bool, by: By) -> None:  # noqa: FBT001
        """Objects from the rows that a statement returns."""
        sql = "UPDATE ticket SET is_enabled = NOT is_enabled WHERE id <= :key"
        if is_delete:
            sql = "DELETE FROM ticket WHERE id = :key"
        returning = text(f"{sql} RETURNING id, kind, is_enabled")
        statement = select(Ticket).from_statement(returning)
        self._work(by, lambda: self._through.execute(statement, {"key": key}).all())

    @precondition(lambda self: self.can_execute and self.world.kind == "postgresql")
    @rule(table=st.sampled_from(TABLES), dress=DRESSES, by=MAKERS)
    def raw_truncate(self, table: str, dress: Dress, by: By) -> None:
        name = self._named(table, dress)
        sql = _dressed(f"TRUNCATE TABLE {name} CASCADE", dress)
        self._raw(sql, {}, by, is_driver=False, is_literal=False)

    # --------------------------------------------------------------------------------

    def _named(self, table: str, dress: Dress) -> str:
        """Return the name of a table as a statement has it."""
        dialect = self.world.engine.dialect
        if dress == "quoted":
            return dialect.identifier_preparer.quote_identifier(table)
        if dress == "qualified":
            schema = {"sqlite": "main", "postgresql": "public"}.get(self.world.kind)
            return f"{schema or self.world.engine.url.database}.{table}"
        return table

    def _on_conflict(self, sql: str, model: type[Any], what: OnConflict) -> str:
        """Return an INSERT that does this where a row is in its way."""
        if what == "fail":
            return sql
        kind = self.world.kind
        verb = {
            ("mariadb", "ignore"): "INSERT IGNORE",
            ("mariadb", "replace"): "REPLACE",
            ("sqlite", "replace"): "INSERT OR REPLACE",
        }.get((kind, what))
        if verb is not None:
            return sql.replace("INSERT", verb, 1)
        flag = "level" if model is Pair else "is_enabled"
        if kind == "mariadb":
            return f"{sql} ON DUPLICATE KEY UPDATE {flag} = VALUES({flag})"
        if what == "ignore":
            return f"{sql} ON CONFLICT DO NOTHING"
        key = ", ".join(column.name for column in table_of(model).primary_key)
        return f"{sql} ON CONFLICT ({key}) DO UPDATE SET {flag} = excluded.{flag}"

    def _raw(
        self,
        sql: str,
        values: dict[str, Any],
        by: By,
        *,
        is_driver: bool,
        is_literal: bool,
    ) -> None:
        """Execute text: by text(), or as the driver takes it; values in it or apart."""
        through: Any = self.session or self.connection
        if is_literal:
            for name, value in values.items():
                sql = sql.replace(f":{name}", _literal(value))
            values = {}
        if not is_driver:
            self._work(by, lambda: through.execute(text(sql), values))
            return
        mark = "?" if self.world.kind == "sqlite" else "%s"
        order = sorted(values, key=lambda name: sql.index(f":{name}"))
        for name in order:
            sql = sql.replace(f":{name}", mark)
        parameters = tuple(values[name] for name in order)
        self._work(by, lambda: self.connection.exec_driver_sql(sql, parameters or None))


def _dressed(sql: str, dress: Dress) -> str:
    if dress == "commented":
        return f"/* it's; */ {sql} -- not really"
    if dress == "lines":
        return sql.replace(" ", "\n\t  ") + "\n"
    return f"{sql};" if dress == "semicolon" else sql


def _insert_of(table: str, values: dict[str, Any]) -> str:
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'"
    return str(value).upper()
