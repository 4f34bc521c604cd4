"""The example app: each of its paths is recorded with its effect, reason and actor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from databases import Database
from jira_app import open_database, track_customers
from jira_customers import (
    LOGIN,
    OTHER,
    SITE,
    STAFF,
    USER,
    assert_told,
    became_customer,
    happened,
    installations,
    is_enabled_customer,
    subscriptions,
)
from outside_world import OutsideWorld

SENDER = "mara-tidewater"

CREATE = ("create", "enabled")
BORN_PENDING = ("create", "disabled")
ENABLE = ("enable", "enabled")
DISABLE = ("disable", "disabled")
DESTROY = ("destroy", "absent")


@pytest.fixture
def world(database: Database) -> Iterator[OutsideWorld]:
    """Yield the app, without customers, on each database."""
    engine = open_database(database.text_url)
    with track_customers():
        yield OutsideWorld(engine)
    engine.dispose()


# The fourteen paths.


def test_installed_by_a_new_customer(world: OutsideWorld) -> None:
    [event] = happened(world, lambda: world.jira_calls("installed", SITE, is_new=True))

    assert installations(world) == [(SITE.host, SITE.secret, False)]
    assert_told(
        event,
        "installation",
        BORN_PENDING,
        reason="jira webhook",
        customer=int(event.subject_id or 0),
        github_installation_id=None,
    )


def test_installed_again_disables_the_customer(world: OutsideWorld) -> None:
    customer = is_enabled_customer(world)

    [event] = happened(world, lambda: world.jira_calls("installed", SITE, user=USER))

    assert installations(world) == [(SITE.host, SITE.secret, False)]
    assert_told(
        event,
        "installation",
        DISABLE,
        reason="jira webhook",
        customer=customer,
        jira_actor=USER,
    )


def test_enabled_enables_once_jira_has_verified(world: OutsideWorld) -> None:
    customer = became_customer(world)

    [event] = happened(world, lambda: world.jira_calls("enabled", SITE, user=USER))

    assert installations(world) == [(SITE.host, SITE.secret, True)]
    assert_told(
        event,
        "installation",
        ENABLE,
        reason="jira webhook",
        customer=customer,
        github_installation_id=None,
        jira_actor=USER,
    )


def test_enabled_deletes_the_customer_whom_jira_answers_401(
    world: OutsideWorld,
) -> None:
    customer = became_customer(world)
    world.jira_answer = 401

    [event] = happened(world, lambda: world.jira_calls("enabled", SITE))

    assert installations(world) == []
    assert_told(
        event,
        "installation",
        DESTROY,
        reason="jira webhook",
        customer=customer,
        github_installation_id=None,
    )


def test_disabled_disables_the_customer(world: OutsideWorld) -> None:
    customer = is_enabled_customer(world)

    [event] = happened(world, lambda: world.jira_calls("disabled", SITE, user=USER))

    assert installations(world) == [(SITE.host, SITE.secret, False)]
    assert_told(
        event,
        "installation",
        DISABLE,
        reason="jira webhook",
        customer=customer,
        jira_actor=USER,
    )


def test_uninstalled_deletes_the_customer_and_each_subscription(
    world: OutsideWorld,
) -> None:
    customer = is_enabled_customer(world)
    second = replace(SITE, github_installation_id=5)
    world.person_connects(second, login=LOGIN, user=USER)

    events = happened(world, lambda: world.jira_calls("uninstalled", SITE, user=USER))

    assert installations(world) == subscriptions(world) == []
    assert {(one.association, one.github_installation_id) for one in events} == {
        ("installation", SITE.github_installation_id),
        ("subscription", SITE.github_installation_id),
        ("subscription", 5),
    }
    assert len({event.transaction_id for event in events}) == 1
    for event in events:
        assert_told(
            event,
            event.association,
            DESTROY,
            reason="jira webhook",
            customer=customer,
            github_installation_id=int(event.github_installation_id or 0),
            jira_actor=USER,
        )


def test_stafftools_uninstall_deletes_both_and_names_the_member_of_staff(
    world: OutsideWorld,
) -> None:
    customer = is_enabled_customer(world)

    events = happened(world, lambda: world.staff_does("uninstall", SITE, login=STAFF))

    assert installations(world) == subscriptions(world) == []
    associations = [event.association for event in events]
    assert sorted(associations) == ["installation", "subscription"]
    for event in events:
        assert_told(
            event,
            event.association,
            DESTROY,
            reason="stafftools-api",
            customer=customer,
            github_actor=STAFF,
        )


def test_stafftools_verify_enables(world: OutsideWorld) -> None:
    customer = became_customer(world)

    [event] = happened(world, lambda: world.staff_does("verify", SITE, login=STAFF))

    assert installations(world) == [(SITE.host, SITE.secret, True)]
    assert_told(
        event,
        "installation",
        ENABLE,
        reason="stafftools-api",
        customer=customer,
        github_installation_id=None,
        github_actor=STAFF,
    )


def test_stafftools_verify_deletes_the_customer_whom_jira_answers_401(
    world: OutsideWorld,
) -> None:
    customer = is_enabled_customer(world)
    world.jira_answer = 401

    [event] = happened(world, lambda: world.staff_does("verify", SITE, login=STAFF))

    assert installations(world) == []
    assert_told(
        event,
        "installation",
        DESTROY,
        reason="stafftools-api",
        customer=customer,
        github_actor=STAFF,
    )


def test_connect_creates_a_subscription(world: OutsideWorld) -> None:
    customer = became_customer(world)

    [event] = happened(
        world, lambda: world.person_connects(SITE, login=LOGIN, user=USER)
    )

    assert subscriptions(world) == [(SITE.host, SITE.github_installation_id, True)]
    assert_told(
        event,
        "subscription",
        CREATE,
        reason="web interaction",
        customer=customer,
        github_actor=LOGIN,
        jira_actor=USER,
    )


def test_delete_from_the_github_side(world: OutsideWorld) -> None:
    customer = is_enabled_customer(world)

    [event] = happened(world, lambda: world.person_deletes_on_github(SITE, login=LOGIN))

    assert subscriptions(world) == []
    assert_told(
        event,
        "subscription",
        DESTROY,
        reason="web interaction",
        customer=customer,
        github_actor=LOGIN,
    )


def test_delete_from_the_jira_side(world: OutsideWorld) -> None:
    customer = is_enabled_customer(world)

    [event] = happened(world, lambda: world.person_deletes_in_jira(SITE, user=USER))

    assert subscriptions(world) == []
    assert_told(
        event,
        "subscription",
        DESTROY,
        reason="web interaction",
        customer=customer,
        jira_actor=USER,
    )


# Beyond the deployed app: GitHub's webhook.


def test_github_suspend_and_unsuspend_switch_the_subscription(
    world: OutsideWorld,
) -> None:
    customer = is_enabled_customer(world)

    [off] = happened(world, lambda: world.github_calls("suspend", SITE))
    suspended = subscriptions(world)
    [on] = happened(world, lambda: world.github_calls("unsuspend", SITE))

    assert [row[-1] for row in suspended + subscriptions(world)] == [False, True]
    for event, effect in ((off, DISABLE), (on, ENABLE)):
        assert_told(
            event,
            "subscription",
            effect,
            reason="github webhook",
            customer=customer,
            github_actor=SENDER,
        )


def test_github_deleted_destroys_the_subscriptions_of_every_customer(
    world: OutsideWorld,
) -> None:
    customers = {is_enabled_customer(world, SITE), is_enabled_customer(world, OTHER)}

    events = happened(world, lambda: world.github_calls("deleted", SITE))

    assert subscriptions(world) == []
    assert {event.jira_integration_id for event in events} == customers
    assert {event.jira_hostname for event in events} == {SITE.host, OTHER.host}
    assert {event.github_actor for event in events} == {SENDER}
    assert {event.type for event in events} == {"subscription.destroy"}
