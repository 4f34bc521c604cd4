"""Rules of the state machine: Core statements on whole sets of rows.

Through the session or past it, on a connection of its own, and in AUTOCOMMIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import (
    ColumnElement,
    Table,
    bindparam,
    delete,
    insert,
    inspect,
    not_,
    update,
)
from state_machine_models import (
    FLAGGED,
    MODELS,
    Badge,
    Bug,
    Device,
    Installation,
    Pair,
    Phone,
    Row,
    Seat,
    Subscription,
    Team,
    Ticket,
)
from state_machine_transactions import TransactionRules
from state_machine_unit_of_work import KEYS, rows
from state_machine_world import MAKERS, By

Flip: TypeAlias = Literal["not", "odd"] | bool | None
Keys: TypeAlias = Sequence[int] | None

FLIPS: st.SearchStrategy[Flip] = st.sampled_from((True, False, None, "not", "odd"))
"""A new flag: a value, its own opposite, or an expression over another column."""

SOME_KEYS: st.SearchStrategy[Keys] = st.none() | st.lists(
    KEYS, min_size=1, max_size=3, unique=True
)
"""Which rows; None: all of them."""


def batches(*models: type[Any]) -> st.SearchStrategy[list[Row]]:
    """Return one to three rows of one of these models."""
    return st.sampled_from(models).flatmap(
        lambda model: st.lists(rows(model), min_size=1, max_size=3)
    )


def column_of(model: type[Any], name: str) -> str:
    """Return the name of the column of an attribute."""
    found: str = inspect(model).attrs[name].columns[0].name
    return found


def column_values(row: Row) -> dict[str, Any]:
    """Return a row as its own table has it; the base's columns for a subclass."""
    values = {column_of(row.model, name): value for name, value in row.values().items()}
    values.pop("number", None)
    if issubclass(row.model, (Device, Ticket)):
        values["kind"] = row.model.__name__.lower()
    return values


def table_of(model: type[Any]) -> Table:
    """Return the table that holds the subjects of a model, also for a subclass."""
    table: Table = inspect(model).base_mapper.local_table
    return table


def flipped(model: type[Any], flip: Flip) -> Any:
    """Return what a statement sets the flag to."""
    if flip == "not":
        return not_(model.enabled)
    if flip == "odd":
        return model.id % 2 == 1
    return flip


def among(model: type[Any], keys: Keys) -> list[ColumnElement[bool]]:
    """Return the conditions that choose these rows."""
    key = model.left if model is Pair else model.id
    return [] if keys is None else [key.in_(keys)]


class CoreStatementRules(TransactionRules):
    """UPDATE, DELETE and INSERT on tables."""

    @precondition(lambda self: self.can_execute)
    @rule(
        model=st.sampled_from((*FLAGGED, Bug)),
        keys=SOME_KEYS,
        flip=FLIPS,
        is_direct=st.booleans(),
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def core_update(
        self,
        model: type[Any],
        keys: Keys,
        flip: Flip,
        is_direct: bool,  # noqa: FBT001
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        table = table_of(model)
        statement: Any = update(table).where(*_table_keys(table, keys))
        flag: Any = table.c.is_enabled
        values: dict[Any, Any] = {"not": not_(flag), "odd": table.c.id % 2 == 1}
        statement = statement.values(is_enabled=values.get(flip, flip))
        if is_returning and self.world.kind != "mariadb":
            statement = statement.returning(table.c.id)
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        model=st.sampled_from(MODELS),
        keys=SOME_KEYS,
        is_direct=st.booleans(),
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def core_delete(
        self,
        model: type[Any],
        keys: Keys,
        is_direct: bool,  # noqa: FBT001
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        table = table_of(model)
        statement: Any = delete(table).where(*_table_keys(table, keys))
        if is_returning:
            statement = statement.returning(*table.primary_key)
        self._core(statement, None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        batch=batches(*(model for model in MODELS if model is not Phone)),
        is_generated=st.booleans(),
        is_values=st.booleans(),
        is_direct=st.booleans(),
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def core_insert(
        self,
        batch: list[Row],
        is_generated: bool,  # noqa: FBT001
        is_values: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """One, or many: as parameters or as one VALUES list."""
        table = table_of(batch[0].model)
        values = [column_values(row) for row in batch]
        for one in values if is_generated else ():
            one.pop("id", None)
        statement: Any = insert(table)
        if is_returning:
            statement = statement.returning(*table.primary_key)
        if is_values:
            self._core(statement.values(values), None, by, is_direct=is_direct)
        else:
            self._core(statement, values, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        batch=batches(*FLAGGED, Bug),
        is_delete=st.booleans(),
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def core_executemany(
        self,
        batch: list[Row],
        is_delete: bool,  # noqa: FBT001
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        table = table_of(batch[0].model)
        chosen = table.c.id == bindparam("one")
        if is_delete:
            self._core(
                delete(table).where(chosen),
                [{"one": row.key} for row in batch],
                by,
                is_direct=is_direct,
            )
            return
        self._core(
            update(table).where(chosen).values(is_enabled=bindparam("flag")),
            [{"one": row.key, "flag": row.flag} for row in batch],
            by,
            is_direct=is_direct,
        )

    @precondition(lambda self: self.can_execute)
    @rule(row=rows(Team, Seat, Badge), is_direct=st.booleans(), by=MAKERS)
    def core_move(self, row: Row, is_direct: bool, by: By) -> None:  # noqa: FBT001
        """Give a child another parent, with which it goes from now on."""
        table = table_of(row.model)
        values = column_values(row)
        values.pop("is_enabled", None)
        del values["id"]
        statement = update(table).where(table.c.id == row.key)
        self._core(statement.values(values), None, by, is_direct=is_direct)

    @precondition(lambda self: self.can_execute)
    @rule(
        model=st.sampled_from((Installation, Subscription)),
        key=KEYS,
        client=KEYS,
        to=KEYS,
        is_direct=st.booleans(),
        by=MAKERS,
    )
    def core_update_of_values(
        self,
        model: type[Any],
        key: int,
        client: int,
        to: int,
        is_direct: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """No state changes; what others have been told of the row, and it tells, do."""
        table = table_of(model)
        name = column_of(model, "client_key")
        statement = update(table).where(table.c.id == key)
        values = {name: f"c{client}", "host": "other", "id": to}
        self._core(statement.values(values), None, by, is_direct=is_direct)


def _table_keys(table: Table, keys: Keys) -> list[ColumnElement[bool]]:
    key = table.c.left_side if table.name == "pair" else table.c.id
    return [] if keys is None else [key.in_(keys)]
