"""The checker sees each thing that must not be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faults.checker import Committed, Findings, check
from faults.receiver import Delivery


def event(seq: int, action: str, **more: Any) -> Committed:
    """Return an event of installation 1."""
    state = {"create": "enabled", "enable": "enabled", "disable": "disabled"}
    value = {
        "eventId": f"id-{seq}",
        "association": "installation",
        "subjectId": "1",
        "action": action,
        "state": state.get(action, "absent"),
        "transactionId": f"transaction-{seq}",
        **more,
    }
    return Committed(seq=seq, id=f"id-{seq}", value=value, is_rejected=False)


LIFE = [event(1, "create"), event(2, "disable"), event(3, "destroy")]


def of(event: Committed) -> Delivery:
    return Delivery(id=event.id, value=dict(event.value), sender="relay", at=0.0)


def checked(
    committed: Sequence[Committed],
    delivered: Sequence[Committed],
    *,
    reported: Sequence[str] = (),
    row: str | None = None,
) -> Findings:
    return check(
        {event.id: event for event in committed},
        [of(event) for event in delivered],
        reported=reported,
        rows={} if row is None else {("installation", "1"): row},
    )


def test_what_is_delivered_in_order_has_no_flaw_and_repeats_are_counted() -> None:
    found = checked(LIFE, [*LIFE[:2], *LIFE])

    assert found == Findings(committed=3, delivered=3, rejected=0, repeats=2)
    assert found.flaws == []


def test_what_was_not_delivered_is_lost() -> None:
    [flaw] = checked(LIFE, LIFE[:2]).flaws

    assert flaw.startswith("lost: installation.destroy 1")


def test_what_was_reported_and_is_not_there_is_lost() -> None:
    [flaw] = checked(LIFE, LIFE, reported=["id-1", "id-4"]).flaws

    assert flaw == "lost: id-4 was reported as committed"


def test_a_row_that_differs_from_what_the_events_say_is_lost() -> None:
    [flaw] = checked(LIFE, LIFE, row="enabled").flaws

    assert "the events say absent, the table enabled" in flaw


def test_an_event_that_cannot_follow_the_one_before_tells_of_a_lost_one() -> None:
    events = [LIFE[0], LIFE[2], event(4, "disable")]

    [flaw] = checked(events, events, row="disabled").flaws

    assert flaw.startswith("lost: what came before installation.disable 1")


def test_what_was_never_committed_or_came_changed_is_invented() -> None:
    other = event(3, "destroy", reason="another")

    assert [flaw[:9] for flaw in checked(LIFE, [*LIFE, other]).flaws] == ["invented:"]
    assert [flaw[:9] for flaw in checked([], [other]).flaws] == ["invented:"]


def test_a_first_delivery_after_that_of_a_later_event_is_out_of_order() -> None:
    [flaw] = checked(LIFE, [LIFE[0], LIFE[2], LIFE[1], LIFE[0]]).flaws

    assert flaw.startswith("out of order: installation.disable 1 (seq 2")


def test_one_fact_under_two_ids_is_a_duplicate() -> None:
    again = event(4, "destroy", transactionId="transaction-3")
    events = [*LIFE, again]

    flaws = checked(events, events).flaws

    assert len(flaws) == 2  # the facts are the same, and it was absent already
    assert all(flaw.startswith("duplicate: installation.destroy 1") for flaw in flaws)
