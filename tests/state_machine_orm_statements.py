"""Rules of the state machine: the ORM's statements on whole sets of rows."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import (
    delete,
    insert,
    inspect,
    update,
)
from state_machine_core_statements import (
    FLIPS,
    SOME_KEYS,
    Flip,
    Keys,
    among,
    batches,
    flipped,
)
from state_machine_models import (
    FLAGGED,
    MODELS,
    Bug,
    Device,
    Installation,
    Pair,
    Phone,
    Row,
    Subscription,
    Ticket,
)
from state_machine_transactions import TransactionRules
from state_machine_unit_of_work import KEYS, rows
from state_machine_world import MAKERS, By

Sync: TypeAlias = Literal["auto", "evaluate", "fetch", False]
SYNCS: st.SearchStrategy[Sync] = st.sampled_from(("auto", "evaluate", "fetch", False))


class OrmStatementRules(TransactionRules):
    """Bulk UPDATE, DELETE and INSERT, and the legacy methods; none is a flush."""

    @precondition(lambda self: self.has_session)
    @rule(
        model=st.sampled_from((*FLAGGED, Bug)),
        keys=SOME_KEYS,
        flip=FLIPS,
        sync=SYNCS,
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def orm_update(
        self,
        model: type[Any],
        keys: Keys,
        flip: Flip,
        sync: Sync,
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        statement: Any = (
            update(model)
            .where(*among(model, keys))
            .values(enabled=flipped(model, flip))
        )
        if is_returning and self.world.kind != "mariadb":
            statement = statement.returning(model.id)
        self._orm(statement, sync, by)

    @precondition(lambda self: self.has_session)
    @rule(keys=SOME_KEYS, row=rows(Pair), sync=SYNCS, by=MAKERS)
    def orm_update_of_pairs(self, keys: Keys, row: Row, sync: Sync, by: By) -> None:
        """Hide or show, and change what the flag is an expression of."""
        values = row.values()
        statement = update(Pair).where(*among(Pair, keys))
        statement = statement.values(
            {name: values[name] for name in ("level", "is_deleted")}
        )
        self._orm(statement, sync, by)

    @precondition(lambda self: self.has_session)
    @rule(
        model=st.sampled_from(MODELS),
        keys=SOME_KEYS,
        sync=SYNCS,
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def orm_delete(
        self,
        model: type[Any],
        keys: Keys,
        sync: Sync,
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        statement: Any = delete(model).where(*among(model, keys))
        if is_returning and model is not Phone:
            statement = statement.returning(*inspect(model).primary_key)
        self._orm(statement, sync, by)

    @precondition(lambda self: self.has_session)
    @rule(
        model=st.sampled_from((Installation, Subscription, Device, Ticket, Pair)),
        key=KEYS,
        to=KEYS,
        sync=SYNCS,
        by=MAKERS,
    )
    def orm_update_of_the_key(
        self, model: type[Any], key: int, to: int, sync: Sync, by: By
    ) -> None:
        name = "left" if model is Pair else "id"
        self._orm(
            update(model).where(*among(model, [key])).values({name: to}), sync, by
        )

    @precondition(lambda self: self.has_session)
    @rule(batch=batches(*FLAGGED, Bug, Phone, Pair), by=MAKERS)
    def orm_update_by_key(self, batch: list[Row], by: By) -> None:
        """A list of values, each with its primary key."""
        values = [row.values() for row in batch]
        model = batch[0].model
        self._work(by, lambda: self._through.execute(update(model), values))

    @precondition(lambda self: self.has_session)
    @rule(
        batch=batches(*MODELS),
        is_generated=st.booleans(),
        is_returning=st.booleans(),
        by=MAKERS,
    )
    def orm_insert(
        self,
        batch: list[Row],
        is_generated: bool,  # noqa: FBT001
        is_returning: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        model = batch[0].model
        statement: Any = insert(model)
        # MariaDB: not of a list for two tables.
        returns = is_returning and not (model is Phone and self.world.kind == "mariadb")
        if returns:
            statement = statement.returning(model)
        values = [_without_key(row, is_generated) for row in batch]

        def work() -> None:
            result = self._through.execute(statement, values)
            if returns:
                result.all()

        self._work(by, work)

    @precondition(lambda self: self.has_session)
    @rule(row=rows(*MODELS), by=MAKERS)
    def orm_insert_of_values(self, row: Row, by: By) -> None:
        if row.model is Phone:
            return  # of two tables: only a list of values goes into both
        statement = insert(row.model).values(**row.values())
        if issubclass(row.model, (Device, Ticket)):
            statement = statement.values(kind=row.model.__name__.lower())
        self._work(by, lambda: self._through.execute(statement))

    @precondition(lambda self: self.has_session)
    @rule(
        model=st.sampled_from((*FLAGGED, Bug)),
        keys=SOME_KEYS,
        flip=FLIPS,
        sync=SYNCS,
        is_delete=st.booleans(),
        by=MAKERS,
    )
    def query(
        self,
        model: type[Any],
        keys: Keys,
        flip: Flip,
        sync: Sync,
        is_delete: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """The legacy form of the same."""

        def work() -> None:
            query = self._through.query(model).filter(*among(model, keys))
            if is_delete:
                query.delete(synchronize_session=sync)
            else:
                query.update(
                    {"enabled": flipped(model, flip)}, synchronize_session=sync
                )

        self._work(by, work)

    @precondition(lambda self: self.has_session)
    @rule(
        batch=batches(*MODELS),
        how=st.sampled_from(("objects", "insert", "update")),
        is_generated=st.booleans(),
        is_told=st.booleans(),
        by=MAKERS,
    )
    def legacy_bulk(
        self,
        batch: list[Row],
        how: str,
        is_generated: bool,  # noqa: FBT001
        is_told: bool,  # noqa: FBT001
        by: By,
    ) -> None:
        """The bulk methods of the session; `is_told`: the new keys are given back."""
        model = batch[0].model
        values = [_without_key(row, is_generated and how != "update") for row in batch]

        def work() -> None:
            session = self._through
            if how == "objects":
                session.bulk_save_objects(
                    [model(**each) for each in values], return_defaults=is_told
                )
            elif how == "insert":
                session.bulk_insert_mappings(
                    inspect(model), values, return_defaults=is_told
                )
            else:
                session.bulk_update_mappings(inspect(model), values)

        self._work(by, work)

    # --------------------------------------------------------------------------------

    def _orm(self, statement: Any, sync: Sync, by: By) -> None:
        statement = statement.execution_options(synchronize_session=sync)
        self._work(by, lambda: self._through.execute(statement))


def _without_key(row: Row, is_generated: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return a row's values, without its key where the database is to make it."""
    values = row.values()
    if is_generated:
        values.pop("id", None)
    return values
