"""Every path on which the example app changes customers, and what it has to record.

A path is an entry point and its effect on one kind of row: where one deed deletes a
customer and its subscriptions, these are two.
"""

from __future__ import annotations

from dataclasses import replace

from jira_customers import (
    LOGIN,
    OTHER,
    SITE,
    STAFF,
    USER,
    became_customer,
    is_enabled_customer,
)
from jira_walks import EXAMPLES, AppPath, Effect, alembic, run, url_of
from outside_world import OutsideWorld, payload

SENDER = payload("github.installation.suspend")["sender"]["login"]
SECOND, THIRD, FOURTH = (replace(SITE, github_installation_id=n) for n in (5, 6, 7))

# What is there before. A second customer always is, with a connection to the same
# GitHub installation: nothing is to happen to it, but by GitHub's webhook.


def somebody_else(world: OutsideWorld) -> None:
    is_enabled_customer(world, OTHER)


def pending(world: OutsideWorld) -> None:
    somebody_else(world)
    became_customer(world)
    world.person_connects(SITE, login=LOGIN, user=USER)


def pending_and_unknown_to_jira(world: OutsideWorld) -> None:
    pending(world)
    world.jira_answer = 401


def connected(world: OutsideWorld) -> None:
    somebody_else(world)
    is_enabled_customer(world)
    for site in (SECOND, THIRD):
        world.person_connects(site, login=LOGIN, user=USER)


def suspended(world: OutsideWorld) -> None:
    connected(world)
    world.github_calls("suspend", SITE)


def connected_to_what_is_gone(world: OutsideWorld) -> None:
    connected(world)
    for site in (SECOND, THIRD):
        world.github_answers[site.github_installation_id] = 404


def orphans(world: OutsideWorld) -> None:
    """Leave subscriptions without their customer, in tables that Alembic is told of."""
    alembic(url_of(world), "stamp", "0001")
    connected(world)
    world.jira_answer = 401
    world.staff_does("verify", SITE, login=STAFF)


# Who comes as a process of its own.


def staff_script(world: OutsideWorld) -> None:
    numbers = [str(site.github_installation_id) for site in (SECOND, THIRD)]
    words = ["--staff", STAFF, SITE.host, *numbers]
    run(url_of(world), str(EXAMPLES / "uninstall.py"), *words)


# The paths.

INSTALLED_ANEW = Effect(
    association="installation",
    action="create",
    state="disabled",
    reason="jira webhook",
)
ENABLED_BY_JIRA = Effect(
    association="installation",
    action="enable",
    state="enabled",
    reason="jira webhook",
    jira_actor=USER,
)
DISABLED_BY_JIRA = replace(ENABLED_BY_JIRA, action="disable", state="disabled")
DELETED_BY_JIRA = replace(ENABLED_BY_JIRA, action="destroy", state="absent")
EACH_DELETED_BY_JIRA = replace(DELETED_BY_JIRA, association="subscription", rows=3)

ENABLED_BY_STAFF = Effect(
    association="installation",
    action="enable",
    state="enabled",
    reason="stafftools-api",
    github_actor=STAFF,
)
DELETED_BY_STAFF = replace(ENABLED_BY_STAFF, action="destroy", state="absent")
EACH_DELETED_BY_STAFF = replace(DELETED_BY_STAFF, association="subscription", rows=3)

CONNECTED = Effect(
    association="subscription",
    action="create",
    state="enabled",
    reason="web interaction",
    github_actor=LOGIN,
    jira_actor=USER,
)
DELETED_BY_PERSON = replace(CONNECTED, action="destroy", state="absent")

SUSPENDED = Effect(
    association="subscription",
    action="disable",
    state="disabled",
    reason="github webhook",
    github_actor=SENDER,
    rows=2,
)

PATHS = [
    AppPath(
        name="Jira webhook `installed`, new customer",
        before=somebody_else,
        deed=lambda w: w.jira_calls("installed", SITE, is_new=True),
        effect=INSTALLED_ANEW,
    ),
    AppPath(
        name="Jira webhook `installed` again, existing row",
        before=connected,
        deed=lambda w: w.jira_calls("installed", SITE, user=USER),
        effect=DISABLED_BY_JIRA,
    ),
    AppPath(
        name="Jira webhook `enabled`, then Jira verifies",
        before=pending,
        deed=lambda w: w.jira_calls("enabled", SITE, user=USER),
        effect=ENABLED_BY_JIRA,
    ),
    AppPath(
        name="Jira webhook `enabled`, Jira answers 401",
        before=pending_and_unknown_to_jira,
        deed=lambda w: w.jira_calls("enabled", SITE, user=USER),
        effect=DELETED_BY_JIRA,
    ),
    AppPath(
        name="Jira webhook `disabled`",
        before=connected,
        deed=lambda w: w.jira_calls("disabled", SITE, user=USER),
        effect=DISABLED_BY_JIRA,
    ),
    AppPath(
        name="Jira webhook `uninstalled`: each subscription",
        before=connected,
        deed=lambda w: w.jira_calls("uninstalled", SITE, user=USER),
        effect=EACH_DELETED_BY_JIRA,
        besides=DELETED_BY_JIRA,
    ),
    AppPath(
        name="Jira webhook `uninstalled`: the installation",
        before=connected,
        deed=lambda w: w.jira_calls("uninstalled", SITE, user=USER),
        effect=DELETED_BY_JIRA,
        besides=EACH_DELETED_BY_JIRA,
    ),
    AppPath(
        name="stafftools uninstall: each subscription",
        before=connected,
        deed=lambda w: w.staff_does("uninstall", SITE, login=STAFF),
        effect=EACH_DELETED_BY_STAFF,
        besides=DELETED_BY_STAFF,
    ),
    AppPath(
        name="stafftools uninstall: the installation",
        before=connected,
        deed=lambda w: w.staff_does("uninstall", SITE, login=STAFF),
        effect=DELETED_BY_STAFF,
        besides=EACH_DELETED_BY_STAFF,
    ),
    AppPath(
        name="stafftools verify",
        before=pending,
        deed=lambda w: w.staff_does("verify", SITE, login=STAFF),
        effect=ENABLED_BY_STAFF,
    ),
    AppPath(
        name="stafftools verify, Jira answers 401",
        before=pending_and_unknown_to_jira,
        deed=lambda w: w.staff_does("verify", SITE, login=STAFF),
        effect=DELETED_BY_STAFF,
    ),
    AppPath(
        name="web page, connect",
        before=connected,
        deed=lambda w: w.person_connects(FOURTH, login=LOGIN, user=USER),
        effect=CONNECTED,
    ),
    AppPath(
        name="web page, delete (GitHub side)",
        before=connected,
        deed=lambda w: w.person_deletes_on_github(SITE, login=LOGIN),
        effect=replace(DELETED_BY_PERSON, jira_actor=None),
    ),
    AppPath(
        name="web page, delete (Jira side)",
        before=connected,
        deed=lambda w: w.person_deletes_in_jira(SITE, user=USER),
        effect=replace(DELETED_BY_PERSON, github_actor=None),
    ),
    # Those that left no trace at all in the deployed app.
    AppPath(
        name="script, bulk `Subscription.uninstall`",
        before=connected,
        deed=staff_script,
        effect=replace(
            DELETED_BY_PERSON,
            reason="uninstall script",
            github_actor=STAFF,
            jira_actor=None,
            rows=2,
        ),
    ),
    AppPath(
        name="web page, bulk delete of stale subscriptions when it is loaded",
        before=connected_to_what_is_gone,
        deed=lambda w: w.person_looks_in_jira(SITE, user=USER),
        effect=replace(DELETED_BY_PERSON, github_actor=None, rows=2),
    ),
    AppPath(
        name="Alembic migration, bulk delete of subscriptions",
        before=orphans,
        deed=lambda w: alembic(url_of(w), "upgrade", "head"),
        effect=Effect(
            association="subscription",
            action="destroy",
            state="absent",
            reason="migration 0002: drop orphans",
            rows=3,
        ),
    ),
    AppPath(
        name="GitHub webhook `installation`: suspend",
        before=connected,
        deed=lambda w: w.github_calls("suspend", SITE),
        effect=SUSPENDED,
    ),
    AppPath(
        name="GitHub webhook `installation`: unsuspend",
        before=suspended,
        deed=lambda w: w.github_calls("unsuspend", SITE),
        effect=replace(SUSPENDED, action="enable", state="enabled"),
    ),
    AppPath(
        name="GitHub webhook `installation`: deleted",
        before=connected,
        deed=lambda w: w.github_calls("deleted", SITE),
        effect=replace(SUSPENDED, action="destroy", state="absent"),
    ),
]
