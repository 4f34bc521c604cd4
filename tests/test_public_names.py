from __future__ import annotations

import hydro_hooks


def test_the_shop_window_shows_what_the_design_promises() -> None:
    promised = {
        "Reason",
        "because",
        "carried",
        "carry",
        "create_tables",
        "current_cause",
        "delivered",
        "installation",
        "metadata",
        "recorded",
        "register",
        "rejected",
        "subscription",
        "track",
    }

    assert promised <= set(hydro_hooks.__all__)


def test_every_public_name_is_there_and_documented() -> None:
    for name in hydro_hooks.__all__:
        value = getattr(hydro_hooks, name)
        if callable(value):
            assert value.__doc__, name
