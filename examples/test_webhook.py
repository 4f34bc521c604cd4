"""How an app tests what its handlers record: `pytest examples/test_webhook.py`."""

from pathlib import Path

from jira_app import open_database, track_customers
from outside_world import OutsideWorld, Site

from hydro_hooks.testing import RecordedEvents

ACME = Site(
    host="https://acme.atlassian.net",
    client_key="client-key-of-acme",
    secret="made-up-shared-secret-of-acme-yes",  # noqa: S106 - it opens nothing
    github_installation_id=48213911,
)


def test_whoever_disables_the_app_is_recorded(
    tmp_path: Path, hydro_events: RecordedEvents
) -> None:
    with track_customers():
        world = OutsideWorld(open_database(f"sqlite:///{tmp_path / 'app.db'}"))
        world.jira_calls("installed", ACME, is_new=True)
        world.jira_calls("enabled", ACME)
        world.jira_calls("disabled", ACME, user="5b10ac8d82e05b22cc7d4ef5")

    event = hydro_events.one("installation.disable", reason="jira webhook")
    assert event.jira_actor == "5b10ac8d82e05b22cc7d4ef5"
