"""What a session does is recorded: the net of each transaction, and nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, null, select, text, update
from sqlalchemy.orm import Session
from tracked_models import HOST, Account, Installation, Subscription, Untracked, told

from hydro_hooks import Action, Reason, State, because
from hydro_hooks.testing import recorded


def stored(session: Session, *objects: object) -> None:
    """Commit objects, and forget what was recorded of that."""
    session.add_all(objects)
    session.commit()
    session.execute(text("DELETE FROM hydro_outbox"))
    session.commit()


def actions(session: Session) -> list[str]:
    return [event.type for event in recorded(session)]


def test_a_created_row_is_recorded_with_its_values(session: Session) -> None:
    with because(Reason.WEB_INTERACTION, github_actor="octocat"):
        session.add(Installation(id=7))
    session.commit()

    [event] = recorded(session)
    assert (event.association, event.subject_id) == ("installation", "7")
    assert (event.action, event.state) == (Action.CREATE, State.ENABLED)
    assert (event.jira_hostname, event.jira_integration_id) == (HOST, 7)
    assert (event.reason, event.github_actor) == ("web interaction", "octocat")
    assert event.origin is not None
    assert "test_a_created_row_is_recorded_with_its_values" in event.origin


def test_a_row_born_disabled_is_a_create_in_state_disabled(session: Session) -> None:
    session.add(Installation(enabled=False))
    session.commit()

    [event] = recorded(session)
    assert (event.action, event.state) == (Action.CREATE, State.DISABLED)


def test_null_in_the_flag_is_disabled(session: Session) -> None:
    session.add(Installation(enabled=null()))
    session.commit()

    [event] = recorded(session)
    assert event.state is State.DISABLED


def test_disable_and_enable_are_recorded(session: Session) -> None:
    row = Installation()
    stored(session, row)

    row.enabled = False
    session.commit()
    row.enabled = True
    session.commit()

    assert actions(session) == ["installation.disable", "installation.enable"]


def test_from_false_to_null_nothing_happened(session: Session) -> None:
    row = Installation(enabled=False)
    stored(session, row)

    row.enabled = None
    session.commit()

    assert recorded(session) == []


def test_a_destroyed_row_is_recorded_as_others_last_saw_it(session: Session) -> None:
    row = Subscription(github_installation_id=99)
    stored(session, row)

    row.jira_host = "https://renamed.jira.com"
    session.flush()
    session.delete(row)
    session.commit()

    [event] = recorded(session)
    assert (event.action, event.state) == (Action.DESTROY, State.ABSENT)
    assert (event.github_installation_id, event.jira_hostname) == (99, HOST)


def test_values_of_a_create_are_those_that_were_committed(session: Session) -> None:
    row = Installation()
    session.add(row)
    session.flush()

    row.jira_host = "https://renamed.jira.com"
    session.commit()

    [event] = recorded(session)
    assert event.jira_hostname == "https://renamed.jira.com"


def test_values_of_a_disable_are_those_that_were_committed(session: Session) -> None:
    row = Installation()
    stored(session, row)

    row.enabled = False
    session.flush()
    row.jira_host = "https://renamed.jira.com"
    session.commit()

    [event] = recorded(session)
    assert event.jira_hostname == "https://renamed.jira.com"


def test_only_values_changed_nothing_happened(session: Session) -> None:
    row = Installation()
    stored(session, row)

    row.jira_host = "https://renamed.jira.com"
    session.commit()

    assert recorded(session) == []


def test_create_and_destroy_in_one_transaction_record_nothing(
    session: Session,
) -> None:
    row = Installation()
    session.add(row)
    session.flush()
    session.delete(row)
    session.commit()

    assert recorded(session) == []


def test_enable_then_disable_in_one_transaction_record_nothing(
    session: Session,
) -> None:
    row = Installation(enabled=False)
    stored(session, row)

    row.enabled = True
    session.flush()
    row.enabled = False
    session.commit()

    assert recorded(session) == []


def test_many_flushes_are_one_event(session: Session) -> None:
    row = Installation(enabled=False)
    session.add(row)
    session.flush()
    row.enabled = True
    session.flush()
    row.enabled = False
    session.flush()
    row.enabled = True
    session.commit()

    [event] = recorded(session)
    assert (event.action, event.state) == (Action.CREATE, State.ENABLED)


def test_a_disabled_row_that_is_deleted_was_destroyed(session: Session) -> None:
    row = Installation()
    stored(session, row)

    row.enabled = False
    session.flush()
    session.delete(row)
    session.commit()

    assert actions(session) == ["installation.destroy"]


def test_delete_and_add_of_one_key_nets_to_what_differs(session: Session) -> None:
    row = Installation(id=1)
    stored(session, row)

    session.delete(row)
    session.add(Installation(id=1, enabled=False))
    session.commit()

    assert actions(session) == ["installation.disable"]


def test_delete_and_add_in_two_flushes_net_to_what_differs(session: Session) -> None:
    row = Installation(id=1)
    stored(session, row)

    session.delete(row)
    session.flush()
    session.add(Installation(id=1, enabled=True))
    session.commit()

    assert recorded(session) == []


def test_a_changed_key_is_a_destroy_and_a_create(session: Session) -> None:
    row = Installation(id=1)
    stored(session, row)

    with because("renumbered"):
        row.id = 2
    session.commit()

    told_of = {(event.subject_id, event.type) for event in recorded(session)}
    assert told_of == {("1", "installation.destroy"), ("2", "installation.create")}
    assert {event.reason for event in recorded(session)} == {"renumbered"}


def test_a_key_given_as_text_is_the_same_row(session: Session) -> None:
    session.add(Installation(id="5", enabled=False))
    session.commit()
    row = session.scalars(select(Installation)).one()
    row.enabled = True
    session.commit()

    assert [event.subject_id for event in recorded(session)] == ["5", "5"]


def test_children_go_with_their_parent(session: Session) -> None:
    row = Installation(subscriptions=[Subscription(), Subscription()])
    stored(session, row)

    with because(Reason.STAFFTOOLS_API):
        session.delete(row)
    session.commit()

    events = recorded(session)
    assert sorted(told(events)) == [
        "installation.destroy: stafftools-api",
        "subscription.destroy: stafftools-api",
        "subscription.destroy: stafftools-api",
    ]
    assert len({event.transaction_id for event in events}) == 1


def test_children_of_an_untracked_parent_are_seen_to_go(session: Session) -> None:
    account = Account(installations=[Installation(subscriptions=[Subscription()])])
    stored(session, account)

    with because("closed"):
        session.delete(account)
    session.commit()

    assert sorted(told(recorded(session))) == [
        "installation.destroy: closed",
        "subscription.destroy: closed",
    ]


def test_an_orphan_is_destroyed(session: Session) -> None:
    row = Installation(subscriptions=[Subscription(), Subscription()])
    stored(session, row)

    with because("removed"):
        row.subscriptions.remove(row.subscriptions[0])
    session.commit()

    assert told(recorded(session)) == ["subscription.destroy: removed"]


def test_children_of_an_orphan_carry_its_cause(session: Session) -> None:
    account = Account(installations=[Installation(subscriptions=[Subscription()])])
    stored(session, account)

    with because("removed"):
        account.installations.clear()
    session.commit()

    assert sorted(told(recorded(session))) == [
        "installation.destroy: removed",
        "subscription.destroy: removed",
    ]


def test_a_replaced_collection_destroys_what_is_no_longer_in_it(
    session: Session,
) -> None:
    row = Installation(subscriptions=[Subscription()])
    stored(session, row)

    with because("replaced"):
        row.subscriptions = [Subscription()]
    session.commit()

    assert sorted(told(recorded(session))) == [
        "subscription.create: replaced",
        "subscription.destroy: replaced",
    ]


def test_merge_is_seen(session: Session) -> None:
    stored(session, Installation(id=1))

    with because("merged"):
        session.merge(Installation(id=1, enabled=False))
        session.merge(Installation(id=2))
    session.commit()

    assert sorted(told(recorded(session))) == [
        "installation.create: merged",
        "installation.disable: merged",
    ]


def test_the_database_is_believed_not_the_object(tracked: Engine) -> None:
    """Another transaction has disabled the row since it was loaded."""
    with Session(tracked, expire_on_commit=False) as session:
        row = Installation()
        stored(session, row)
        with Session(tracked) as other:
            other.get_one(Installation, row.id).enabled = False
            other.commit()

        row.enabled = False
        row.secret = "x"
        session.commit()

        assert actions(session) == ["installation.disable"]


def test_values_that_were_not_set_come_from_the_database(tracked: Engine) -> None:
    with Session(tracked, expire_on_commit=False) as session:
        row = Installation()
        stored(session, row)
        with Session(tracked) as other:
            other.get_one(Installation, row.id).jira_host = "https://renamed.jira.com"
            other.commit()

        row.enabled = False
        session.commit()

        [event] = recorded(session)
        assert event.jira_hostname == "https://renamed.jira.com"


def test_an_expired_flag_set_to_what_it_is_changes_nothing(session: Session) -> None:
    row = Installation(enabled=False)
    stored(session, row)

    session.expire_all()
    row.enabled = False
    session.commit()

    assert recorded(session) == []


def test_a_flag_set_by_an_sql_expression_is_read_back(session: Session) -> None:
    row = Installation()
    stored(session, row)

    row.enabled = Installation.id == -1
    session.commit()

    assert actions(session) == ["installation.disable"]


def test_what_a_hook_of_the_program_changes_in_the_flush_is_seen(
    session: Session,
) -> None:
    row = Installation()
    stored(session, row)

    def disable(_mapper: object, _connection: object, target: Installation) -> None:
        target.enabled = False

    event.listen(Installation, "before_update", disable)
    try:
        row.secret = "rotated"
        session.commit()
    finally:
        event.remove(Installation, "before_update", disable)

    assert actions(session) == ["installation.disable"]


def test_what_before_commit_changes_is_seen(session: Session) -> None:
    row = Installation()
    stored(session, row)

    @event.listens_for(session, "before_commit")
    def disable(session: Session) -> None:
        row.enabled = False

    session.commit()

    assert actions(session) == ["installation.disable"]


def test_a_hundred_creates_are_a_hundred_events_of_one_transaction(
    session: Session,
) -> None:
    session.add_all(Installation() for _ in range(100))
    session.commit()

    events = recorded(session)
    assert len({event.id for event in events}) == 100
    assert len({event.transaction_id for event in events}) == 1


class Counter:
    """Counts the statements that reach the database."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[str] = []
        event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _conn: object, _cursor: object, sql: str, *_: object) -> None:
        self.seen.append(sql)


def test_untracked_models_and_columns_cost_no_statement(session: Session) -> None:
    row, other = Installation(), Untracked()
    stored(session, row, other)
    assert (row.secret, other.text) == (None, None)
    counter = Counter(session.get_bind())  # type: ignore[arg-type]

    row.secret = "rotated"
    row.enabled = True
    other.text = "changed"
    session.commit()

    assert [sql.split()[0] for sql in counter.seen if sql != "BEGIN"] == [
        "UPDATE",
        "UPDATE",
    ]


def test_a_transaction_is_recorded_by_one_insert(session: Session) -> None:
    counter = Counter(session.get_bind())  # type: ignore[arg-type]

    session.add_all([Installation(), Installation(), Subscription()])
    session.commit()

    assert sum("INSERT INTO hydro_outbox" in sql for sql in counter.seen) == 1
    assert not any("SELECT" in sql and "hydro" in sql for sql in counter.seen)


def test_rows_of_one_flush_are_read_together(session: Session) -> None:
    rows = [Installation() for _ in range(20)]
    stored(session, *rows)
    for row in session.scalars(select(Installation)):
        row.enabled = False
    counter = Counter(session.get_bind())  # type: ignore[arg-type]

    session.commit()

    assert sum(sql.startswith("SELECT") for sql in counter.seen) == 1
    assert len(recorded(session)) == 20


def test_a_core_statement_on_an_untracked_column_is_not_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(update(Installation).values(secret="x"))
    session.execute(update(Untracked).values(text="x"))
    session.execute(text("SELECT 1 FROM installation"))
    session.commit()

    assert caplog.messages == []
