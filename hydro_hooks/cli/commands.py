"""The group `hydro-hooks`, and the one place where a command's errors end."""

from __future__ import annotations

from typing import Any

import click

from hydro_hooks.cli.doctor import doctor
from hydro_hooks.cli.extras import remedy_for
from hydro_hooks.cli.gateway import gateway
from hydro_hooks.cli.journal import journal
from hydro_hooks.cli.lookups import history, show, unattributed, why
from hydro_hooks.cli.outbox import outbox
from hydro_hooks.cli.reconcile import reconcile
from hydro_hooks.cli.relay import relay
from hydro_hooks.cli.schema import schema
from hydro_hooks.cli.terminal import printable
from hydro_hooks.cli.web import web
from hydro_hooks.errors import HydroHooksError


class Commands(click.Group):
    """A group whose commands fail in one line.

    What is ours or the database's to say is said without a traceback, exit code 1; a
    bug keeps its traceback, which is how it is found.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HydroHooksError as error:
            raise click.ClickException(printable(error)) from error
        except ModuleNotFoundError as error:
            remedy = remedy_for(error.name)
            if remedy is None:
                raise
            raise click.ClickException(remedy) from error


@click.group(cls=Commands)
@click.version_option(package_name="hydro-hooks")
def hydro_hooks() -> None:
    """Ask why an installation is as it is, and deliver what is recorded.

    Data goes to stdout, messages to stderr; --json gives JSON Lines.

    \b
    Example:
      hydro-hooks why test-host.jira.com --database sqlite:///app.db
    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are


for command in (
    why,
    history,
    show,
    unattributed,
    relay,
    outbox,
    reconcile,
    doctor,
    journal,
    gateway,
    schema,
    web,
):
    hydro_hooks.add_command(command)
