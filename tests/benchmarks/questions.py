"""The questions, each answered by an experiment that looks at what is recorded then.

An experiment has a customer of its own: an installation with two subscriptions, all
enabled. It returns the cell: "yes", "no", or a few words.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import sqlalchemy as sa
from benchmarks.compared import (
    CREATED,
    DESTROYED,
    INSTALLATION,
    SUBSCRIPTION,
    UPDATED,
    Subject,
)
from benchmarks.contenders import Hydro
from benchmarks.worlds import Customer, News, World
from sqlalchemy import orm

FIRST: Final = ("first reason", "ann")
SECOND: Final = ("second reason", "bob")
SCRIPT: Final = Path(__file__).with_name("comparison.py")


Question: TypeAlias = Callable[[World], str]


def yes(answer: bool) -> str:  # noqa: FBT001 - it is what is said
    return "yes" if answer else "no"


def which(**answers: bool) -> str:
    """Return "yes" if all, "no" if none, else the names of those."""
    if len(set(answers.values())) == 1:
        return yes(all(answers.values()))
    named = [name.replace("_", " ") for name, answer in answers.items() if answer]
    return f"{' and '.join(named)} only"


def unit_of_work(world: World) -> str:
    customer = world.customer()
    with world.news() as created:
        other = world.customer()
    with world.news() as changed, orm.Session(world.engine) as session:
        world.row(session, customer).enabled = False
        session.commit()
    with world.news() as deleted, orm.Session(world.engine) as session:
        key = customer.subscriptions[0]
        session.delete(session.get_one(world.models.subscription, key))
        session.commit()
    return which(
        INSERT=created.tells(CREATED, other.subject, *other.subscription_subjects),
        UPDATE=changed.tells(UPDATED, customer.subject),
        DELETE=deleted.tells(DESTROYED, (SUBSCRIPTION, key)),
    )


def _bulk(world: World, customer: Customer) -> tuple[News, News]:
    installation, subscription = world.models.installation, world.models.subscription
    with world.news() as changed, world.session() as session:
        session.execute(
            sa.update(installation)
            .where(installation.id == customer.id)
            .values(enabled=False)
        )
    with world.news() as deleted, world.session() as session:
        session.execute(
            sa.delete(subscription).where(subscription.installation_id == customer.id)
        )
    return changed, deleted


def _told(customer: Customer, changed: News, deleted: News) -> str:
    return which(
        UPDATE=changed.tells(UPDATED, customer.subject),
        DELETE=deleted.tells(DESTROYED, *customer.subscription_subjects),
    )


def bulk(world: World) -> str:
    customer = world.customer()
    return _told(customer, *_bulk(world, customer))


def _core(world: World, customer: Customer) -> tuple[News, News]:
    installation, subscription = world.rows()
    with world.news() as changed, world.engine.begin() as connection:
        connection.execute(
            sa.update(installation)
            .where(installation.c.id == customer.id)
            .values(enabled=False)
        )
    with world.news() as deleted, world.engine.begin() as connection:
        connection.execute(
            sa.delete(subscription).where(subscription.c.installation_id == customer.id)
        )
    return changed, deleted


def core(world: World) -> str:
    customer = world.customer()
    return _told(customer, *_core(world, customer))


UPDATE_SQL: Final = "UPDATE installation SET enabled = false WHERE id = {}"
DELETE_SQL: Final = "DELETE FROM subscription WHERE installation_id = {}"


def sql_text(world: World) -> str:
    customer = world.customer()
    with world.news() as changed, world.session() as session:
        session.execute(sa.text(UPDATE_SQL.format(customer.id)))
    with world.news() as deleted, world.session() as session:
        session.execute(sa.text(DELETE_SQL.format(customer.id)))
    return _told(customer, changed, deleted)


def _cascade(world: World, customer: Customer) -> News:
    with world.news() as news, orm.Session(world.engine) as session:
        session.delete(world.row(session, customer))
        session.commit()
    with world.engine.connect() as connection:
        left = connection.execute(
            sa.text(DELETE_SQL.format(customer.id).replace("DELETE", "SELECT 1"))
        )
        assert not left.all()
    return news


def cascade(world: World) -> str:
    customer = world.customer()
    news = _cascade(world, customer)
    return yes(news.tells(DESTROYED, *customer.subscription_subjects))


def cursor(world: World) -> str:
    customer = world.customer()
    with world.news() as news:
        raw = world.engine.raw_connection()
        raw.cursor().execute(UPDATE_SQL.format(customer.id))
        raw.commit()
        raw.close()
    return yes(news.tells(UPDATED, customer.subject))


def other_program(world: World) -> str:
    customer = world.customer()
    with world.news() as changed:
        world.change_behind(UPDATE_SQL.format(customer.id))
    with world.news() as deleted:
        world.change_behind(DELETE_SQL.format(customer.id))
    return _told(customer, changed, deleted)


def reconcile(world: World) -> str:
    customer = world.customer()
    before = world.contender.find_unseen(world.engine)
    with world.news() as news:
        world.change_behind(UPDATE_SQL.format(customer.id))
    if news.tells(UPDATED, customer.subject):
        return "no need: recorded at once"
    after = world.contender.find_unseen(world.engine)
    return yes(after - before == {customer.subject})


def net_of_nothing(world: World) -> str:
    customer = world.customer()
    with world.news() as news, orm.Session(world.engine) as session:
        link = world.subscription(customer.id)
        session.add(link)
        session.flush()
        session.delete(link)
        session.commit()
    found = " and ".join(one.action for one in news.records)
    return f"no: records {found}" if found else "yes"


def other_column(world: World) -> str:
    customer = world.customer()
    with world.news() as news, orm.Session(world.engine) as session:
        world.row(session, customer).visits = 2
        session.commit()
    told = {one.is_transition for one in news.records}
    if not told:
        return "yes"
    if told == {False}:
        return "yes: records an update that says so"
    return "no: its record of an update does not say"


def _survives_savepoint(world: World, *, comes_first: bool) -> bool:
    """Return whether what is kept is recorded, with its reason, and nothing else."""
    kept, undone, early = (world.customer() for _ in range(3))
    expected = {kept.subject} if comes_first else {kept.subject, early.subject}
    with world.news() as news, orm.Session(world.engine) as session:
        with world.contender.because(*FIRST):
            if not comes_first:
                world.row(session, early).enabled = False
                session.flush()
            nested = session.begin_nested()
            world.row(session, undone).enabled = False
            session.flush()
            nested.rollback()
            world.row(session, kept).enabled = False
            try:
                session.commit()
            except orm.exc.ObjectDeletedError as error:
                sys.stderr.write(f"{world.name}: after a savepoint: {error}\n")
                return False
    told = {(one.subject, one.reason, one.actor) for one in news.records}
    return told == {(subject, *FIRST) for subject in expected}


def savepoint(world: World) -> str:
    first = _survives_savepoint(world, comes_first=True)
    later = _survives_savepoint(world, comes_first=False)
    if later and not first:
        return "only if a change was flushed before it"
    return yes(first and later)


def reason(world: World) -> str:
    customer = world.customer()
    with world.news() as news, orm.Session(world.engine) as session:
        with world.contender.because(*FIRST):
            world.row(session, customer).enabled = False
            session.commit()
    return yes(news.causes(customer.subject) == {FIRST})


def reason_of_statements(world: World) -> str:
    bulk, core, gone = world.customer(), world.customer(), world.customer()
    with world.contender.because(*FIRST):
        of_bulk, _ = _bulk(world, bulk)
        of_core, _ = _core(world, core)
        of_cascade = _cascade(world, gone)
    return which(
        bulk=of_bulk.causes(bulk.subject) == {FIRST},
        Core=of_core.causes(core.subject) == {FIRST},
        cascade=all(
            of_cascade.causes(one) == {FIRST} for one in gone.subscription_subjects
        ),
    )


def _own(news: News, first: Subject, second: Subject) -> str:
    found = (news.causes(first), news.causes(second))
    if found == ({FIRST}, {SECOND}):
        return "yes"
    causes = set().union(*found)
    if len(causes) > 1:
        return "no"
    return "no: that of the flush" if causes == {SECOND} else "no: one for both"


def cause_of_change(world: World) -> str:
    first, second = world.customer(), world.customer()
    with world.news() as news, orm.Session(world.engine) as session:
        rows = [world.row(session, one) for one in (first, second)]
        with world.contender.because(*FIRST):
            rows[0].enabled = False
        with world.contender.because(*SECOND):
            rows[1].enabled = False
            session.commit()
    return _own(news, first.subject, second.subject)


def cause_of_flush(world: World) -> str:
    first, second = world.customer(), world.customer()
    with world.news() as news, orm.Session(world.engine) as session:
        for one, why in ((first, FIRST), (second, SECOND)):
            with world.contender.because(*why):
                world.row(session, one).enabled = False
                session.flush()
        session.commit()
    return _own(news, first.subject, second.subject)


def killed(world: World) -> str:
    """Kill a process right before its COMMIT, and another right after it."""
    agreed = {}
    for moment in ("before", "after"):
        customer = world.customer()
        with world.news() as news:
            process = subprocess.run(
                [
                    *(sys.executable, SCRIPT, "--arm", world.name),
                    world.engine.url.render_as_string(hide_password=False),
                    *("--die", moment, str(customer.id)),
                ],
                check=False,
            )
        assert process.returncode == -signal.SIGKILL
        with orm.Session(world.engine) as session:
            is_changed = not world.row(session, customer).enabled
        assert is_changed == (moment == "after")
        agreed[moment] = news.tells(UPDATED, customer.subject) == is_changed
    return yes(all(agreed.values()))


def delivery(world: World) -> str:
    world.customer()
    places = world.contender.deliver(world.engine)
    if isinstance(world.contender, Hydro):
        world.customer()
        places += world.contender.deliver_to_kafka(world.engine)
    return " and ".join(places) or "no"


def whole_rows(world: World) -> str:
    customer = world.customer()
    with orm.Session(world.engine) as session:
        world.row(session, customer).visits = 2
        session.commit()
    found = world.contender.old_visits(world.engine, world.models, customer.id)
    return yes(found == {1, 2})


def revert(world: World) -> str:
    customer = world.customer()
    with orm.Session(world.engine) as session:
        row = world.row(session, customer)
        row.visits = 2
        session.commit()
        try:
            world.contender.revert(row)
        except NotImplementedError:
            return "no"
        session.commit()
        return yes(row.visits == 1)


def additions(world: World) -> str:
    """Count what the database has beyond the program's own two tables."""
    tables = set(sa.inspect(world.engine).get_table_names())
    with world.engine.connect() as connection:
        triggers = connection.scalar(
            sa.text("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal")
        )
    more = len(tables - {INSTALLATION, SUBSCRIPTION})
    told = f"{more} table{'' if more == 1 else 's'}"
    return f"{told}, {triggers} triggers" if triggers else told


QUESTIONS: Final[dict[str, Question]] = {
    "sees a change by the unit of work": unit_of_work,
    "sees a bulk ORM UPDATE and DELETE": bulk,
    "sees Core statements on a connection": core,
    "sees SQL text": sql_text,
    "sees a row that goes by ON DELETE CASCADE": cascade,
    "sees what the driver's own cursor does": cursor,
    "sees a row changed by another program": other_program,
    "finds afterwards what it did not see": reconcile,
    "no record of what is created and destroyed in one transaction": net_of_nothing,
    "another column's update is no transition of `enabled`": other_column,
    "a rolled back savepoint leaves no record, what follows it does": savepoint,
    "reason and actor, of a flushed change": reason,
    "reason and actor, of bulk and Core statements and cascades": reason_of_statements,
    "two causes, one flush: each that of its change": cause_of_change,
    "two causes, two flushes, one transaction: each its own": cause_of_flush,
    "killed (-9) before and after COMMIT: change and record agree": killed,
    "delivers elsewhere by itself": delivery,
    "keeps whole old versions of rows": whole_rows,
    "puts an old version back": revert,
    "adds to the database": additions,
}


def ask(world: World, name: str) -> str:
    try:
        return QUESTIONS[name](world)
    except Exception as error:
        # Whatever a contender raises is its answer.
        sys.stderr.write(f"{world.name}: {name}: {error!r}\n")
        return f"no: {type(error).__name__}"


def time_of(world: World, count: int) -> float:
    """Return the seconds that so many commits of one changed row take."""
    customer = world.customer()
    with orm.Session(world.engine, expire_on_commit=False) as session:
        row = world.row(session, customer)
        session.commit()
        began_at = time.perf_counter()
        for _ in range(count):
            with world.contender.because(*FIRST):
                row.enabled = not row.enabled
                session.commit()
        return time.perf_counter() - began_at
