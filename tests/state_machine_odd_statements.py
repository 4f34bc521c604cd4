"""Rules of the state machine: upserts, statements over several tables, and raw SQL."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import Table, delete, insert, literal, not_, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from state_machine_core_statements import (
    FLIPS,
    SOME_KEYS,
    Flip,
    Keys,
    among,
    batches,
    column_values,
    flipped,
    table_of,
)
from state_machine_models import FLAGGED, Bug, Installation, Pair, Row, Seat, Ticket
from state_machine_transactions import TransactionRules
from state_machine_unit_of_work import FLAGS, KEYS, rows
from state_machine_world import MAKERS, By

Conflict: TypeAlias = Literal["nothing", "any", "key", "client", "flip", "where"]
CONFLICTS: st.SearchStrategy[Conflict] = st.sampled_from(
    ("nothing", "any", "key", "client", "flip", "where")
)
"""What an upsert does: leaves the row that is there (of the same key, or any conflict),
writes the new flag over it (found by key, or by the client's unique key), turns its
flag, or writes over it on a condition."""


class OddStatementRules(TransactionRules):
    """What is more than one table, or less than a statement of SQLAlchemy's."""

    @precondition(lambda self: self.can_execute)
    @rule(
        batch=batches(*FLAGGED, Pair),
        conflict=CONFLICTS,
        is_list=st.booleans(),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def upsert(
        self,
        batch: list[Row],
        conflict: Conflict,
        is_list: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        table = table_of(batch[0].model)
        if self.world.kind == "mariadb":
            statement = _mariadb_upsert(table, conflict)
        else:
            make = sqlite if self.world.kind == "sqlite" else postgresql
            statement = _upsert(make.insert(table), table, conflict)
        values = [column_values(row) for row in batch]
        if is_list:
            # As one VALUES list, else as parameters of one or many.
            self._core(statement.values(values), None, by, is_direct=is_direct)
        else:
            self._core(statement, values, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        keys=SOME_KEYS,
        source=st.sampled_from((Installation, Ticket)),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def insert_select(
        self,
        keys: Keys,
        source: type[Any],
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """Tickets from installations, or from tickets, four numbers on."""
        chosen = select(
            source.id + (4 if source is Ticket else 0),
            literal("ticket"),
            not_(source.enabled) if source is Ticket else source.enabled,
        ).where(*among(source, keys))
        table = table_of(Ticket)
        target: Any = Ticket if self.session is not None and not is_direct else table
        statement = insert(target).from_select(["id", "kind", "is_enabled"], chosen)
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        keys=SOME_KEYS,
        is_subquery=st.booleans(),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def update_from(
        self,
        keys: Keys,
        is_subquery: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """A ticket's flag from the installation of its number."""
        ticket, source = table_of(Ticket), table_of(Installation)
        statement = update(ticket)
        if is_subquery:
            flag = select(source.c.is_enabled).where(source.c.id == ticket.c.id)
            statement = statement.values(is_enabled=flag.scalar_subquery())
            statement = statement.where(ticket.c.id.in_(keys or [1, 2, 3, 4]))
        else:
            statement = statement.values(is_enabled=source.c.is_enabled)
            statement = statement.where(source.c.id == ticket.c.id)
            statement = statement.where(*among(Installation, keys))
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute and self.world.kind != "sqlite")
    @rule(flag=FLAGS, is_direct=st.booleans(), by=MAKERS)
    def delete_using(
        self,
        flag: bool | None,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """The seats, with their badges, whose ticket's flag is this."""
        seat, ticket = table_of(Seat), table_of(Ticket)
        statement = delete(seat).where(
            seat.c.id == ticket.c.id, ticket.c.is_enabled.is_(flag)
        )
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        child=st.sampled_from(("team", "seat")),
        keys=SOME_KEYS,
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def delete_by_subquery(
        self,
        child: str,
        keys: Keys,
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """Rows chosen by what another table has; the rest goes by cascade."""
        table, source = Installation.metadata.tables[child], table_of(Installation)
        chosen = select(source.c.id).where(source.c.is_enabled.is_not(True))
        statement = delete(table).where(table.c.id.in_(chosen))
        if keys is not None:
            statement = statement.where(table.c.id.in_(keys))
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute and self.world.kind == "postgresql")
    @rule(
        model=st.sampled_from((*FLAGGED, Bug)),
        keys=SOME_KEYS,
        what=st.sampled_from(("update", "delete", "insert", "both")),
        flip=FLIPS,
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def cte(
        self,
        model: type[Any],
        keys: Keys,
        what: str,
        flip: Flip,
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """DML inside a SELECT, inside an INSERT, and beside another DML."""
        ticket = table_of(Ticket)
        changed = update(model).where(*among(model, keys))
        changed = changed.values(enabled=flipped(model, flip))
        gone = delete(model).where(*among(model, keys)).returning(model.id)
        statement: Any
        if what == "update":
            statement = select(changed.returning(model.id).cte("changed"))
        elif what == "delete":
            statement = select(gone.cte("gone"))
        elif what == "insert":
            source = gone.cte("gone")
            chosen = select(source.c.id + 4, literal("ticket"), literal(value=True))
            statement = insert(ticket).from_select(["id", "kind", "is_enabled"], chosen)
        else:
            if model in (Ticket, Bug):
                return  # two changes of one row in one statement: PostgreSQL does one
            statement = delete(ticket).where(ticket.c.id.in_(keys or [1, 2]))
            statement = statement.add_cte(changed.cte("changed"))
        self._core(statement, None, by, is_direct=is_direct)

    # Raw SQL ------------------------------------------------------------------------

    @precondition(lambda self: self.can_execute)
    @rule(
        model=st.sampled_from(FLAGGED),
        key=KEYS,
        flip=FLIPS,
        is_driver=st.booleans(),
        is_literal=st.booleans(),
        by=MAKERS,
    )
    def raw_update(
        self,
        model: type[Any],
        key: int,
        flip: Flip,
        is_driver: bool,  # noqa: FBT001
        is_literal: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        name = model.__tablename__
        if flip in ("not", "odd"):
            sql = f"UPDATE {name} SET is_enabled = NOT is_enabled WHERE id = :key"  # noqa: S608
            self._raw(sql, {"key": key}, by, is_driver=is_driver, is_literal=is_literal)
            return
        sql = f"update {name} set is_enabled = :flag\n where id >= :key"  # noqa: S608
        values = {"flag": flip, "key": key}
        self._raw(sql, values, by, is_driver=is_driver, is_literal=is_literal)

    @precondition(lambda self: self.can_execute)
    @rule(
        table=st.sampled_from(
            (
                "installation",
                "subscription",
                "team",
                "seat",
                "badge",
                "device",
                "ticket",
            )
        ),
        key=KEYS,
        is_driver=st.booleans(),
        is_literal=st.booleans(),
        by=MAKERS,
    )
    def raw_delete(
        self,
        table: str,
        key: int,
        is_driver: bool,  # noqa: FBT001
        is_literal: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        sql = f"DELETE FROM {table} WHERE id = :key OR id > 3"  # noqa: S608
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
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        table = table_of(row.model).name
        sql = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
        self._raw(sql, values, by, is_driver=is_driver, is_literal=is_literal)

    @precondition(lambda self: self.can_execute)
    @rule(row=rows(Pair), is_driver=st.booleans(), by=MAKERS)
    def raw_hide(self, row: Row, is_driver: bool, by: By) -> None:  # noqa: FBT001
        sql = (
            "UPDATE pair SET deleted = NOT deleted, level = :level"
            " WHERE left_side = :key"
        )
        values = {"level": row.values()["level"], "key": row.key}
        self._raw(sql, values, by, is_driver=is_driver, is_literal=False)

    # --------------------------------------------------------------------------------

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


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'"
    return str(value).upper()


def _upsert(statement: Any, table: Table, conflict: Conflict) -> Any:
    """Return an upsert as SQLite and PostgreSQL write it."""
    flag = "level" if table.name == "pair" else "is_enabled"
    key = list(table.primary_key)
    if conflict == "nothing":
        return statement.on_conflict_do_nothing(index_elements=key)
    if conflict == "any":
        return statement.on_conflict_do_nothing()
    new: Any = statement.excluded[flag]
    if conflict == "client" and table.name == "installation":
        key = [table.c.client]
    if conflict == "flip" and flag == "is_enabled":
        new = not_(table.c[flag])
    where = table.c[flag].is_not(None) if conflict == "where" else None
    return statement.on_conflict_do_update(
        index_elements=key, set_={flag: new}, where=where
    )


def _mariadb_upsert(table: Table, conflict: Conflict) -> Any:
    """Return an upsert as MariaDB writes it; it asks for no key, any one will do."""
    flag = "level" if table.name == "pair" else "is_enabled"
    statement = mysql.insert(table)
    if conflict in ("nothing", "any"):
        return statement.prefix_with("IGNORE")
    new: Any = statement.inserted[flag]
    if conflict == "flip" and flag == "is_enabled":
        new = not_(table.c[flag])
    return statement.on_duplicate_key_update({flag: new})
