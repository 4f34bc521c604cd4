"""Steps in, transitions out: checked by hand and against a slow, obvious model."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import given

from hydro_hooks.cause import Cause
from hydro_hooks.netting import Netting, action_between
from hydro_hooks.transition import (
    Action,
    Stamp,
    State,
    Step,
    Subject,
    Values,
)

ROW = Subject("installation", (1,))
ABSENT, ENABLED, DISABLED = State.ABSENT, State.ENABLED, State.DISABLED


def step(before: State, after: State, who: str = "", subject: Subject = ROW) -> Step:
    stamp = Stamp(Cause(reason=who or "r"), datetime.now(UTC), None)
    return Step(subject, before, after, values(before, who), values(after, who), stamp)


def values(state: State, who: str) -> Values:
    return Values(None, f"{state} {who}", None)


def net(*steps: Step) -> list[tuple[Action, str]]:
    netting = Netting()
    for one in steps:
        netting.add(one)
    return [(one.action, one.stamp.cause.reason) for one in netting.transitions()]


def test_every_pair_of_states_has_its_action() -> None:
    table = {
        (ABSENT, ENABLED): Action.CREATE,
        (ABSENT, DISABLED): Action.CREATE,
        (ENABLED, DISABLED): Action.DISABLE,
        (DISABLED, ENABLED): Action.ENABLE,
        (ENABLED, ABSENT): Action.DESTROY,
        (DISABLED, ABSENT): Action.DESTROY,
    }

    for before in State:
        for after in State:
            assert action_between(before, after) == table.get((before, after))


def test_nothing_taken_is_nothing() -> None:
    netting = Netting()

    assert not netting
    assert list(netting.transitions()) == []
    assert netting.latest(ROW) is None


def test_presence_is_by_who_created_flag_by_who_set_it_last() -> None:
    assert net(step(ABSENT, ENABLED, "a"), step(ENABLED, DISABLED, "b")) == [
        (Action.CREATE, "a")
    ]
    assert net(
        step(ENABLED, DISABLED, "a"),
        step(DISABLED, ENABLED, "b"),
        step(ENABLED, DISABLED, "c"),
        step(DISABLED, DISABLED, "d"),
    ) == [(Action.DISABLE, "c")]


def test_a_destroyed_and_recreated_row_is_by_who_recreated_it() -> None:
    assert net(step(ENABLED, ABSENT, "a"), step(ABSENT, DISABLED, "b")) == [
        (Action.DISABLE, "b")
    ]


def test_values_are_the_old_of_a_destroyed_row_else_the_last() -> None:
    netting = Netting()
    renamed = step(ENABLED, ENABLED, "a")
    netting.add(renamed._replace(new=values(ENABLED, "b")))
    netting.add(step(ENABLED, ABSENT, "b"))
    [destroyed] = netting.transitions()
    assert destroyed.values == values(ENABLED, "a")

    netting = Netting()
    netting.add(step(ENABLED, DISABLED, "a"))
    netting.add(step(DISABLED, DISABLED, "b"))
    [disabled] = netting.transitions()
    assert disabled.values == values(DISABLED, "b")


def test_a_hidden_savepoint_name_is_found_again_after_the_release() -> None:
    netting = Netting()
    netting.add(step(ABSENT, ENABLED))
    netting.savepoint("a")
    netting.add(step(ENABLED, DISABLED))
    netting.savepoint("a")
    netting.add(step(DISABLED, ABSENT))
    netting.release("a")
    netting.rollback_to("a")

    [created] = netting.transitions()
    assert created.after is ENABLED


States = st.sampled_from(list(State))
Subjects = st.sampled_from([Subject("installation", (key,)) for key in (1, 2)])
Operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), Subjects, States),
        st.tuples(st.just("savepoint"), st.sampled_from("ab")),
        st.tuples(st.just("release"), st.integers(0, 3)),
        st.tuples(st.just("rollback"), st.integers(0, 3)),
    ),
    max_size=25,
)


@given(
    initial=st.fixed_dictionaries(
        {Subject("installation", (key,)): States for key in (1, 2)}
    ),
    operations=Operations,
)
def test_any_sequence_nets_to_the_difference_of_two_snapshots(
    initial: dict[Subject, State], operations: list[tuple[object, ...]]
) -> None:
    """The model copies the whole database at every savepoint."""
    netting = Netting()
    now = dict(initial)
    saved: list[tuple[str, dict[Subject, State]]] = []
    for operation in operations:
        match operation:
            case ("set", Subject() as subject, State() as after):
                netting.add(step(now[subject], after, subject=subject))
                now[subject] = after
            case ("savepoint", str() as name):
                if netting:  # a netting begins with the first step
                    netting.savepoint(name)
                saved.append((name, copy.copy(now)))
            case (("release" | "rollback") as what, int() as place) if saved:
                name = saved[place % len(saved)][0]
                found = max(i for i, (mark, _) in enumerate(saved) if mark == name)
                if what == "release":
                    netting.release(name)
                    del saved[found:]
                else:
                    netting.rollback_to(name)
                    now = copy.copy(saved[found][1])
                    del saved[found + 1 :]

    expected = {
        subject: action
        for subject in initial
        if (action := action_between(initial[subject], now[subject]))
    }
    assert {one.subject: one.action for one in netting.transitions()} == expected
