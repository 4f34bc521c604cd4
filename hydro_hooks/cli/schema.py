"""`schema`: the wire schemas in the package."""

from __future__ import annotations

import json

import click

from hydro_hooks.cli.parameters import json_option
from hydro_hooks.cli.terminal import write, write_json
from hydro_hooks.schema import load, packaged_names


@click.command()
@click.argument("name", required=False)
@json_option
def schema(name: str | None, *, as_json: bool) -> None:
    """Print the JSON Schema called NAME; without a NAME, list the names.

    \b
    Example:
      hydro-hooks schema jira.v1.Action
    \b
    Exit codes: 0 printed, 2 there is no such schema.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    names = packaged_names()
    if name is None:
        for each in names:
            if as_json:
                write_json({"name": each})
            else:
                write(each)
        return
    if name not in names:
        message = f"{name!r} is not one of {', '.join(names)}"
        raise click.BadParameter(message, param_hint="NAME")
    document = load(name).document
    if as_json:
        write_json(document)
    else:
        click.echo(json.dumps(document, indent=2))
