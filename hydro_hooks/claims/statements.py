"""The statements of claiming, made once: to make one takes longer than to run it."""

from __future__ import annotations

import functools
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    SmallInteger,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from hydro_hooks.claims.moving import insert_rows, is_among_seqs, is_not_among_seqs
from hydro_hooks.claims.transactions import clock
from hydro_hooks.tables import SHARD_INDEX, journal, outbox, shard


def _is_free(dialect: str) -> ColumnElement[bool]:
    now = clock(dialect)
    return and_(
        or_(shard.c.leased_until.is_(None), shard.c.leased_until <= now),
        or_(shard.c.not_before.is_(None), shard.c.not_before <= now),
    )


_NUMBER: Final[BindParameter[int]] = bindparam("number", type_=SmallInteger)
_TOKEN: Final[BindParameter[str]] = bindparam("holder", type_=shard.c.token.type)
_LEASE: Final[BindParameter[int]] = bindparam("lease", type_=BigInteger)
_DELAY: Final[BindParameter[int]] = bindparam("delay", type_=BigInteger)
_KEPT: Final = bindparam("kept", type_=BigInteger)
_PASSED: Final = bindparam("passed", type_=BigInteger)

RELEASE: Final = (
    update(shard)
    .where(shard.c.shard == _NUMBER, shard.c.token == _TOKEN)
    .values(token=None, leased_until=None)
)
"""Ends the lease on the shard `number`, if it is the `holder`'s."""


@functools.cache
def free(dialect: str) -> Select[Any]:
    """Lock the shard `number` if it may be leased, and nobody is about to."""
    return (
        select(shard.c.attempts, shard.c.fault)
        .where(shard.c.shard == _NUMBER, _is_free(dialect))
        .with_for_update(skip_locked=True)
    )


@functools.cache
def lease(dialect: str) -> Update:
    """Lease the shard `number` to the `holder`, for so many µs."""
    return (
        update(shard)
        .where(shard.c.shard == _NUMBER)
        .values(token=_TOKEN, leased_until=clock(dialect, _LEASE))
    )


@functools.cache
def settle(dialect: str) -> Update:
    """Note what a batch came to in the shard `number`, if it is the `holder`'s.

    Holds it for `lease` µs more, leaves it alone for `delay` µs if there is one, and
    moves the mark up to `passed`, or down to `kept`.
    """
    mark = case(
        (shard.c.mark > _KEPT, _KEPT),  # not where nothing is kept, which is NULL
        (shard.c.mark < _PASSED, _PASSED),
        else_=shard.c.mark,
    )
    noted = (shard.c.attempts, shard.c.fault, shard.c.is_held)
    return (
        update(shard)
        .where(shard.c.shard == _NUMBER, shard.c.token == _TOKEN)
        .values(
            leased_until=clock(dialect, _LEASE),
            not_before=clock(dialect, _DELAY),
            mark=mark,
            **{
                each.name: bindparam(f"its_{each.name}", type_=each.type)
                for each in noted
            },
        )
    )


@functools.cache
def settle_at_once(added: tuple[str, ...]) -> Select[Any]:
    """Do the same, and move the rows with `seqs` to the journal; count the shard.

    In one statement, as PostgreSQL alone can; it takes as long to ask for one thing as
    to do five.

    Args:
        added: Columns of the journal that get the parameters `the_COLUMN`.
    """
    mine = settle("postgresql").returning(shard.c.shard).cte("mine")
    gone = (
        delete(outbox)
        .where(is_among_seqs("postgresql"), exists(select(mine)))
        .returning(outbox)
        .cte("gone")
    )
    moved = insert_rows("postgresql", journal, added, gone).cte("moved")
    return select(func.count()).select_from(mine).add_cte(gone, moved)


@functools.cache
def ready(dialect: str, *, from_the_bottom: bool) -> Select[Any]:
    """Tell of each shard whether it is free, its mark, and its first event's `seq`."""
    start = literal_column("0", Integer) if from_the_bottom else shard.c.mark
    first = _in_order(select(outbox.c.seq), dialect, shard.c.shard, start).limit(1)
    return select(
        shard.c.shard,
        _is_free(dialect).label("is_free"),
        shard.c.mark,
        first.scalar_subquery().label("first"),
    )


_NEEDED: Final = (
    outbox.c.seq,
    cast(outbox.c.id, Text).label("id"),  # drivers make an object of a UUID first
    outbox.c.aggregateid,
    outbox.c.type,
    outbox.c.payload,
    outbox.c.association,
    outbox.c.subject_id,
)


@functools.cache
def head_of(dialect: str, *, is_ahead: bool) -> Select[Any]:
    """Read at most `most` events of the shard `number`, from `start` on.

    Args:
        dialect: Its name.
        is_ahead: But for the `seqs`, which are on their way.
    """
    statement = select(*_NEEDED)
    start = bindparam("start", type_=BigInteger)
    in_order = _in_order(statement, dialect, _NUMBER, start)
    if is_ahead:
        in_order = in_order.where(is_not_among_seqs(dialect))
    return in_order.limit(bindparam("most", type_=Integer))


def _in_order(
    statement: Select[Any],
    dialect: str,
    number: ColumnElement[int],
    start: ColumnElement[int],
) -> Select[Any]:
    """Return it with the shard's rows from `start` on, by the index made for that.

    Left to itself, an optimizer may take the primary key, which has the order too, and
    read the rows of all other shards on its way.
    """
    if dialect == "postgresql":
        # The key alone does not give this order, and the first condition is where the
        # index is entered.
        return statement.where(
            tuple_(outbox.c.shard, outbox.c.seq) >= tuple_(number, start),
            outbox.c.shard <= number,
        ).order_by(outbox.c.shard, outbox.c.seq)
    hint = f"FORCE INDEX ({SHARD_INDEX})"
    return (
        statement.where(outbox.c.shard == number, outbox.c.seq >= start)
        .order_by(outbox.c.seq)
        .with_hint(outbox, hint, "mysql")
        .with_hint(outbox, hint, "mariadb")
    )
