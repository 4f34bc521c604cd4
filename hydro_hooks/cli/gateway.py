"""`gateway`: a local stand-in for Hydro, for development and tests."""

from __future__ import annotations

import click
from sqlalchemy import URL

from hydro_hooks.cli.parameters import (
    address_options,
    app_settings,
    database_url,
    token_option,
)
from hydro_hooks.cli.terminal import logs_on_stderr, say, write
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.settings import Settings, is_loopback


@click.command()
@address_options(port=8787)
@click.option(
    "--database",
    callback=database_url,
    default="sqlite:///hydro-gateway.db",
    show_default=True,
    metavar="URL",
    help="SQLAlchemy URL of a database of the gateway's own.",
)
@click.option(
    "--app",
    "apps",
    multiple=True,
    metavar="NAME",
    help="A sending app to accept, several times for several; HYDRO_APP if not given.",
)
@click.option(
    "--allow-remote", is_flag=True, help="Listen on a host that is not loopback."
)
@token_option
def gateway(
    host: str,
    port: int,
    database: URL,
    apps: tuple[str, ...],
    token: str | None,
    *,
    allow_remote: bool,
) -> None:
    """Receive events as Hydro does, and keep them with their requests.

    A stand-in for one machine: senders sign with HYDRO_APP_SECRET, but nothing else
    guards it, so it listens on loopback unless told otherwise. Prints the URL to post
    to, for HYDRO_BASE_URL; ends by SIGTERM or SIGINT. Beside the packaged schemas it
    accepts the one that HYDRO_SCHEMA names by path. At / are the pages over what it
    holds: for this machine alone or, with --token, for whoever knows that.

    \b
    Example:
      HYDRO_APP_SECRET=s3cret hydro-hooks gateway --port 8787
    \b
    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    if not allow_remote and not is_loopback(host):
        message = (
            f"{host} is reachable from other machines, and this stand-in has no login;"
            " use 127.0.0.1, or say --allow-remote"
        )
        raise click.BadParameter(message, param_hint="--host")
    settings = app_settings()
    if not settings.secrets:
        message = (
            "HYDRO_APP_SECRET is unset or empty, so no signature can be checked; set it"
            " to the secret that the sending app signs with"
        )
        raise ConfigurationError(message)
    with logs_on_stderr():
        _serve(database, settings, apps or (settings.app,), (host, port), token)


def _serve(
    database: URL,
    settings: Settings,
    apps: tuple[str, ...],
    place: tuple[str, int],
    token: str | None,
) -> None:
    # Imported late: flask and waitress are an extra of their own, and the other
    # commands do without them.
    from hydro_hooks import web  # noqa: PLC0415

    def tell(server: web.Server) -> None:
        write(f"{server.url}{web.EVENTS_PATH}")
        say(f"its pages are at {server.url}/")

    guard = web.only_from_here if token is None else web.with_token(token)
    engine = web.open_store(database)
    try:
        app = web.create_app(
            engine,
            secrets=settings.secrets,
            apps=apps,
            schemas=[settings.schema],
            guard=guard,
        )
        web.serve(
            app,
            host=place[0],
            port=place[1],
            on_ready=tell,
        )
    finally:
        engine.dispose()
