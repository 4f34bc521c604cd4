"""What tests of an app need: the events that it recorded, and a gateway on loopback.

    with capture_events(engine) as events:
        client.post("/jira/events/uninstalled")

    assert [event.type for event in events] == ["installation.destroy"]

    with watch_events() as events:
        client.post("/jira/events/disabled")
        events.one("installation.disable", reason="jira webhook")

`hydro_hooks.testing.gateway.LocalGateway` needs the extra `gateway`; nothing here needs
pytest.
"""

from hydro_hooks.registration import hooks_off
from hydro_hooks.testing.events import capture_events, recorded
from hydro_hooks.testing.watching import RecordedEvents, watch_events

__all__ = ["RecordedEvents", "capture_events", "hooks_off", "recorded", "watch_events"]
