"""What tests of an app need: the events that it recorded, and a gateway on loopback.

    with capture_events(engine) as events:
        client.post("/jira/events/uninstalled")

    assert [event.type for event in events] == ["installation.destroy"]

`hydro_hooks.testing.gateway.LocalGateway` needs the extra `gateway`; nothing here needs
pytest.
"""

from hydro_hooks.testing.events import capture_events, recorded

__all__ = ["capture_events", "recorded"]
