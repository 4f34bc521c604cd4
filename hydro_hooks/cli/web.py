"""`web`: the pages over a journal."""

from __future__ import annotations

import click
from sqlalchemy import URL
from sqlalchemy.pool import NullPool

from hydro_hooks.cli.database import opened
from hydro_hooks.cli.parameters import (
    address_options,
    app_settings,
    database_option,
    token_option,
)
from hydro_hooks.cli.terminal import logs_on_stderr, write
from hydro_hooks.settings import is_loopback


@click.command()
@database_option
@address_options(port=8788)
@token_option
def web(database: URL, host: str, port: int, token: str | None) -> None:
    """Show what happened, and why, on pages for a browser.

    Works on the app's database and on a gateway's, and only reads. On this machine
    nobody has to log in; on another address than loopback the pages ask for --token, as
    the password, whatever the user's name. Prints the URL to open; ends by SIGTERM or
    SIGINT. Signatures of stored requests are checked with HYDRO_APP_SECRET.

    \b
    Example:
      hydro-hooks web --database sqlite:///app.db
    \b
    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    if token is None and not is_loopback(host):
        message = (
            f"{host} is reachable from other machines; use 127.0.0.1, or give a --token"
        )
        raise click.BadParameter(message, param_hint="--host")
    # Imported late: flask and waitress are an extra of their own.
    from hydro_hooks import web as its  # noqa: PLC0415

    guard = its.only_from_here if token is None else its.with_token(token)
    # A connection that was kept would read on in a file of SQLite's that is deleted.
    with logs_on_stderr(), opened(database, pool=NullPool) as engine:
        app = its.create_pages_app(engine, secrets=app_settings().secrets, guard=guard)
        its.serve(
            app, host=host, port=port, on_ready=lambda server: write(f"{server.url}/")
        )
