"""Rules of the state machine: upserts, and statements over several tables."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import Table, delete, insert, literal, not_, select, update
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
from state_machine_models import (
    FLAGGED,
    Bug,
    Device,
    Installation,
    Pair,
    Row,
    Seat,
    Ticket,
)
from state_machine_transactions import TransactionRules
from state_machine_unit_of_work import FLAGS, KEYS
from state_machine_world import MAKERS, By

Conflict: TypeAlias = Literal["nothing", "any", "key", "client", "flip", "where"]
CONFLICTS: st.SearchStrategy[Conflict] = st.sampled_from(
    ("nothing", "any", "key", "client", "flip", "where")
)
"""What an upsert does: leaves the row that is there (of the same key, or any conflict),
writes the new flag over it (found by key, or by the client's unique key), turns its
flag, or writes over it on a condition."""


class OddStatementRules(TransactionRules):
    """What changes rows as others tell it: of a conflict, of other tables."""

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
        statement = self._upserting(table, table, conflict)
        values = [column_values(row) for row in batch]
        if is_list:
            # As one VALUES list, else as parameters of one or many.
            self._core(statement.values(values), None, by, is_direct=is_direct)
        else:
            self._core(statement, values, by, is_direct=is_direct)

    @precondition(lambda self: self.has_session)
    @rule(
        batch=batches(Installation, Seat, Ticket, Pair),
        conflict=CONFLICTS,
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def orm_upsert(
        self,
        batch: list[Row],
        conflict: Conflict,
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """By the names of the attributes, giving objects back."""
        model = batch[0].model
        statement = self._upserting(model, table_of(model), conflict)
        # MariaDB gives nothing back of an INSERT IGNORE that ignores.
        returns = is_returning and self.world.kind != "mariadb"
        if returns:
            statement = statement.returning(model)
        statement = statement.execution_options(populate_existing=True)
        # Rows without a flag make a statement of their own, in which one given twice is
        # turned back: nothing to see from outside, yet changed.
        some = batch[:1] if conflict == "flip" else batch
        values = [row.values() for row in some]

        def work() -> None:
            result = self._through.execute(statement, values)
            if returns:
                result.all()

        self._work(by, work)

    @precondition(lambda self: self.can_execute and self.world.kind != "postgresql")
    @rule(
        batch=batches(*FLAGGED, Pair),
        word=st.sampled_from(("REPLACE", "IGNORE")),
        is_list=st.booleans(),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def insert_or(
        self,
        batch: list[Row],
        word: Literal["REPLACE", "IGNORE"],
        is_list: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """Put in place of the rows that are there, or behind them."""
        statement: Any = insert(table_of(batch[0].model))
        if self.world.kind == "sqlite":
            statement = statement.prefix_with(f"OR {word}")
        else:
            statement = statement.prefix_with("IGNORE")
        values = [column_values(row) for row in batch]
        if is_list:
            statement, values = statement.values(values), []
        self._core(statement, values or None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute and self.world.kind != "postgresql")
    @rule(
        model=st.sampled_from((Installation, Device, Ticket)),
        key=KEYS,
        to=KEYS,
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def update_or_ignore(
        self,
        model: type[Any],
        key: int,
        to: int,
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """Renumber, unless the new number is taken."""
        table = table_of(model)
        word = "OR IGNORE" if self.world.kind == "sqlite" else "IGNORE"
        statement = update(table).where(table.c.id >= key).values(id=to)
        self._core(statement.prefix_with(word), None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute and self.world.kind == "mariadb")
    @rule(keys=SOME_KEYS, flag=FLAGS, is_direct=st.booleans(), by=MAKERS)
    def update_of_two_tables(
        self,
        keys: Keys,
        flag: bool | None,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """The flags of installations and of the tickets with their numbers."""
        ticket, source = table_of(Ticket), table_of(Installation)
        statement = (
            update(ticket)
            .where(source.c.id == ticket.c.id, *among(Installation, keys))
            .values({ticket.c.is_enabled: flag, source.c.is_enabled: flag is False})
        )
        self._core(statement, None, by, is_direct=is_direct)

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
            # Keys of the database's making. Those made from the keys that go, nobody
            # can tell: "cannot be found and are not recorded", as a warning says.
            source = gone.cte("gone")
            chosen = select(literal("ticket"), source.c.id > 1)
            statement = insert(ticket).from_select(["kind", "is_enabled"], chosen)
        else:
            if model in (Ticket, Bug):
                return  # two changes of one row in one statement: PostgreSQL does one
            statement = delete(ticket).where(ticket.c.id.in_(keys or [1, 2]))
            statement = statement.add_cte(changed.cte("changed"))
        self._core(statement, None, by, is_direct=is_direct)

    def _upserting(self, target: Any, table: Table, conflict: Conflict) -> Any:
        """Return an upsert into a table or a model, as this database writes it."""
        if self.world.kind == "mariadb":
            return _mariadb_upsert(mysql.insert(target), table, conflict)
        make = sqlite if self.world.kind == "sqlite" else postgresql
        return _upsert(make.insert(target), table, conflict)


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


def _mariadb_upsert(statement: Any, table: Table, conflict: Conflict) -> Any:
    """Return an upsert as MariaDB writes it; it asks for no key, any one will do."""
    flag = "level" if table.name == "pair" else "is_enabled"
    if conflict in ("nothing", "any"):
        return statement.prefix_with("IGNORE")
    new: Any = statement.inserted[flag]
    if conflict == "flip" and flag == "is_enabled":
        new = not_(table.c[flag])
    return statement.on_duplicate_key_update({flag: new})
