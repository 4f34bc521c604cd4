"""From an ORM change to an answer: the main job of hydro_hooks, on one machine.

    python examples/demo.py            plays the story, then ends
    python examples/demo.py --serve    keeps the gateway open until Ctrl-C

A small Jira app (jira_app/) takes webhooks, staff's actions and clicks on its pages.
Its models are registered once (jira_app/hooks.py), its handlers say why with `because`,
and every installation and subscription that changes is recorded in the transaction that
changes it. A relay delivers what was recorded to the gateway, the stand-in for Hydro.
In the end a support engineer asks why a customer is disabled, and is told.

Needs `pip install "hydro-hooks[demo]"`. All that it writes is in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from jira_app import Installation, open_database, track_customers
from outside_world import OutsideWorld, Site, payload
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hydro_hooks import Event
from hydro_hooks.relay import Relay
from hydro_hooks.testing import capture_events
from hydro_hooks.testing.gateway import LocalGateway

Deed = Callable[[], TestResponse | None]
Acts = list[tuple[str, Deed]]
NOTHING: Final = {
    "GitHub: created": "nothing: it is not connected yet",
    "Mara connects it once more": "nothing: it is connected already",
}

_INSTALLED: Final = payload("jira.installed")
TIDEWATER: Final = Site(
    host=_INSTALLED["baseUrl"],
    client_key=_INSTALLED["clientKey"],
    secret=_INSTALLED["sharedSecret"],
    github_installation_id=payload("github.installation.created")["installation"]["id"],
)
QUAYSIDE: Final = Site(
    host="https://quayside.atlassian.net",
    client_key="client-key-of-quayside",
    secret="made-up-shared-secret-of-quayside",  # noqa: S106 - it opens nothing
    github_installation_id=48213911,
)
QUESTION: Final = """
Tidewater writes to support: nothing arrives in Jira any more. Why?"""

ANSWER: Final = """
No one at Tidewater switched the app off: Jira delivered "installed" once more, which
sets a known customer back to pending, and no "enabled" followed."""

JETTY: Final = Site(
    host="https://jetty.atlassian.net",
    client_key="client-key-of-jetty",
    secret="made-up-shared-secret-of-jetty-yes",  # noqa: S106 - it opens nothing
    github_installation_id=48213934,
)
ADA: Final = {"login": "ada-jetty", "user": "5b10b02f9d3fd25ba1c9e0c2"}
MARA: Final = {"login": "mara-tidewater", "user": "5b10ac8d82e05b22cc7d4ef5"}
JONAS: Final = {"login": "jonas-quayside", "user": "5b10a2844c20165700ede21g"}
STAFF: Final = "hubot-support"


def acts_of_jetty(world: OutsideWorld) -> Acts:
    """Return the life of a customer that staff remove."""
    site = JETTY
    return [
        ("Jira: installed", partial(world.jira_calls, "installed", site, is_new=True)),
        ("Jira: enabled", partial(world.jira_calls, "enabled", site)),
        ("Ada connects GitHub", partial(world.person_connects, site, **ADA)),
        ("Staff uninstall", partial(world.staff_does, "uninstall", site, login=STAFF)),
    ]


def acts_of_quayside(world: OutsideWorld, engine: Engine) -> Acts:
    """Return the life of a customer that a script switches off, and that leaves."""
    site, user = QUAYSIDE, JONAS["user"]
    call = world.jira_calls
    github = partial(world.github_calls, login=JONAS["login"])
    connect = partial(world.person_connects, site, **JONAS)
    return [
        ("Jira: installed", partial(call, "installed", site, is_new=True)),
        ("Jira: enabled", partial(call, "enabled", site)),
        ("A script switches it off", partial(nightly_script, engine, site)),
        ("Staff verify", partial(world.staff_does, "verify", site, login=STAFF)),
        ("Jonas connects GitHub", connect),
        ("GitHub: deleted", partial(github, "deleted", site)),
        ("GitHub: created", partial(github, "created", site)),
        ("Jonas connects GitHub", connect),
        (
            "Jonas deletes it, in Jira",
            partial(world.person_deletes_in_jira, site, user=user),
        ),
        ("Jira: uninstalled", partial(call, "uninstalled", site, user=user)),
    ]


def acts_of_tidewater(world: OutsideWorld) -> Acts:
    """Return the life of the customer that will be asked about."""
    site, user = TIDEWATER, MARA["user"]
    call, github = world.jira_calls, world.github_calls
    return [
        ("Jira: installed", partial(call, "installed", site, is_new=True)),
        ("Jira: enabled", partial(call, "enabled", site, user=user)),
        ("Mara connects GitHub", partial(world.person_connects, site, **MARA)),
        ("Mara connects it once more", partial(world.person_connects, site, **MARA)),
        ("GitHub: suspend", partial(github, "suspend", site)),
        ("GitHub: unsuspend", partial(github, "unsuspend", site)),
        ("Jira: disabled", partial(call, "disabled", site, user=user)),
        ("Jira: enabled", partial(call, "enabled", site, user=user)),
        ("Jira: installed, once more", partial(call, "installed", site)),
    ]


def nightly_script(engine: Engine, site: Site) -> None:
    """Switch a customer off, as code does that never heard of `because`."""
    with Session(engine) as session:
        statement = select(Installation).filter_by(jira_host=site.host)
        session.scalars(statement).one().enabled = False
        session.commit()


def play(site: Site, acts: Acts, engine: Engine) -> None:
    """Do one thing after the other, and print what was recorded of it."""
    print(f"\n{site.host}")
    print(_line("what happens", "what is recorded", "reason", "who, or where in code"))
    for title, deed in acts:
        with capture_events(engine) as events:
            answer = deed()
        if answer is not None and answer.status_code >= HTTPStatus.BAD_REQUEST:
            sys.exit(f"{title}: the app answered {answer.status}")
        lines = [_told(event) for event in events] or [(NOTHING[title], "", "")]
        for first, line in zip([title] + [""] * len(lines), lines, strict=False):
            print(_line(first, *line))


def _told(event: Event) -> tuple[str, str, str]:
    what = f"{event.association} {event.action}, now {event.state}"
    named = (("GitHub", event.github_actor), ("Jira", event.jira_actor))
    actors = [f"{system} {_short(str(who))}" for system, who in named if who]
    return what, event.reason, ", ".join(actors) or f"at {event.origin}"


def _short(actor: str) -> str:
    """Return the start of an account id, which tells them apart here."""
    return f"{actor[:6]}..." if len(actor) > len(MARA["login"]) else actor


def _line(*columns: str) -> str:
    return "  {:<26}  {:<34}  {:<15}  {}".format(*columns).rstrip()


def ask_why(place: str, database: Path) -> None:
    """Ask as a support engineer does, on the command line."""
    command = ["hydro-hooks", "why", TIDEWATER.host]
    url = f"sqlite:///{database}"
    print(f"\nFrom the {place}:\n$ {shlex.join(command)} --database {url}")
    sys.stdout.flush()  # the command writes to the same place
    arguments = [sys.executable, "-m", "hydro_hooks.cli", *command[1:]]
    subprocess.run([*arguments, "--database", url], check=True)  # noqa: S603 - our own


def tell(folder: Path, gateway: LocalGateway) -> None:
    """Play the story, deliver what was recorded, and ask why."""
    engine = open_database(f"sqlite:///{folder / 'app.db'}")
    world = OutsideWorld(engine)
    relay = Relay(engine, gateway.settings())
    try:
        with track_customers():
            relay.start()
            play(JETTY, acts_of_jetty(world), engine)
            play(QUAYSIDE, acts_of_quayside(world, engine), engine)
            play(TIDEWATER, acts_of_tidewater(world), engine)
        relay.stop()
        waiting = relay.drain().waiting
    finally:
        relay.stop()
        engine.dispose()
    held = len(gateway.events())
    print(f"\nThe relay delivered {held} events to the gateway; {waiting} wait.")
    print(QUESTION)
    ask_why("app's database", folder / "app.db")
    ask_why("gateway's database", folder / "gateway.db")
    print(ANSWER)


def main() -> None:
    """Play the story in a temporary folder."""
    parser = argparse.ArgumentParser(description="The main job, on one machine.")
    parser.add_argument(
        "--serve", action="store_true", help="keep the gateway open until Ctrl-C"
    )
    is_serving = parser.parse_args().serve
    forget_environment()
    with tempfile.TemporaryDirectory(prefix="hydro-demo-") as name:
        folder = Path(name)
        with LocalGateway(store=f"sqlite:///{folder / 'gateway.db'}") as gateway:
            tell(folder, gateway)
            if is_serving:
                serve(gateway)


def forget_environment() -> None:
    """Leave out what this machine is set to: the demo is a world of its own."""
    for name in list(os.environ):
        if name == "TRACKING_DISABLED" or name.startswith("HYDRO_"):
            del os.environ[name]


def serve(gateway: LocalGateway) -> None:
    """Leave the gateway and both databases open to questions until Ctrl-C."""
    try:
        print(f"\nThe gateway listens on {gateway.url}; Ctrl-C ends it.", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nThe gateway is closed; the temporary folder goes with it.")


if __name__ == "__main__":
    main()
