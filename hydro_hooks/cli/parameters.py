"""Arguments and options that several commands take, and what is wrong with them."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from hydro_hooks.cli.extras import remedy_for
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.journal import Kind, age_in, span_in
from hydro_hooks.settings import Settings, check_base_url

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])

_URL_FORM: Final = (
    "give an SQLAlchemy URL such as sqlite:///app.db or"
    " postgresql+psycopg://user@host/name"
)
_FILE_NAME: Final = re.compile(r"[\w./-]+")  # which holds no password
_OUR_DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite",
}


def database_url(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> URL | None:
    """Return an option's URL, or refuse it without a password that it may hold.

    Raises:
        click.BadParameter: It is no URL of a database, or its driver is an async one.
    """
    if value is None:
        return None
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        message = f"{_shown(value)} is not a database's URL; {_url_form(value)}"
        raise click.BadParameter(message) from None
    try:
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        message = f"{url.drivername!r} is no known database; {_URL_FORM}"
        raise click.BadParameter(message) from None
    if "@" in (url.host or ""):  # where the rest of a password is then told as the host
        message = "there is an @ in its user name or password; write it as %40"
        raise click.BadParameter(message)
    if is_async:
        ours = _OUR_DRIVERS.get(url.get_backend_name(), "another driver")
        message = f"{url.drivername} is an async driver; write {ours}:// instead"
        raise click.BadParameter(message)
    return url


def _shown(value: str) -> str:
    return repr(value) if _FILE_NAME.fullmatch(value) else "it"


def _url_form(value: str) -> str:
    """Return what to give, in terms of what was given where that is a file's name."""
    if _FILE_NAME.fullmatch(value):
        return _URL_FORM.replace("app.db", value, 1)
    return _URL_FORM


def _moment(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    return None if value is None else _span_or_refuse(value)[1]


def _start(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    return None if value is None else _span_or_refuse(value)[0]


def _span_or_refuse(value: str) -> tuple[datetime, datetime]:
    try:
        return span_in(value, now=datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def duration(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> timedelta:
    """Return how long `90s`, `30m`, `12h`, `7d` or `2w` is, or refuse it."""
    try:
        return age_in(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _kind(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> Kind | None:
    return None if value is None else Kind(value)


def _database_option(help_text: str) -> Callable[[AnyCommand], AnyCommand]:
    return click.option(
        "--database",
        callback=database_url,
        envvar="HYDRO_DATABASE_URL",
        show_envvar=True,
        required=True,
        metavar="URL",
        help=help_text,
    )


database_option = _database_option(
    "SQLAlchemy URL of the app's database, or of a gateway's."
)
app_database_option = _database_option("SQLAlchemy URL of the app's database.")


def _gateway_url(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    if value is None:
        return None
    try:
        check_base_url(value)
    except ConfigurationError as error:
        message = str(error).replace("HYDRO_BASE_URL", "it", 1)
        raise click.BadParameter(message) from None
    return value


gateway_url_option = click.option(
    "--url",
    callback=_gateway_url,
    metavar="URL",
    help="Where events are posted; instead of HYDRO_BASE_URL.",
)


def address_options(port: int) -> Callable[[AnyCommand], AnyCommand]:
    """Return what adds --host and --port, with a default for the latter."""

    def add(command: AnyCommand) -> AnyCommand:
        command = click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="0 takes a free one.",
        )(command)
        return click.option("--host", default="127.0.0.1", show_default=True)(command)

    return add


token_option = click.option(
    "--token",
    envvar="HYDRO_WEB_TOKEN",
    show_envvar=True,
    metavar="TEXT",
    help="What opens the pages from other machines; 16 letters or more.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON Lines, for programs."
)


def form_options(command: AnyCommand) -> AnyCommand:
    """Add --json and --csv, of which the last one counts."""
    for form, name in (("csv", "a table as CSV"), ("json", "JSON Lines")):
        command = click.option(
            f"--{form}", "form", flag_value=form, help=f"Write {name}, for programs."
        )(command)
    return command


limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="The newest so many.",
)
kind_option = click.option(
    "--as",
    "kind",
    type=click.Choice([kind.value for kind in Kind]),
    callback=_kind,
    help="What the text is, where it could be several things.",
)


def moment_option(name: str, help_text: str) -> Callable[[AnyCommand], AnyCommand]:
    """Return an option for the last moment of a span, in UTC."""
    return click.option(name, callback=_moment, metavar="DATE", help=help_text)


def start_option(name: str, help_text: str) -> Callable[[AnyCommand], AnyCommand]:
    """Return an option for the first moment of a span, in UTC."""
    return click.option(name, callback=_start, metavar="DATE", help=help_text)


def app_settings() -> Settings:
    """Return what is told of the app, without a look at where it delivers to."""
    names = ("HYDRO_APP", "HYDRO_APP_SECRET", "HYDRO_SCHEMA")
    return Settings.from_env({name: os.environ.get(name, "") for name in names})


def driver_remedy(url: URL, error: ImportError) -> str:
    """Return what to do when the driver of a database cannot be imported."""
    ours = _OUR_DRIVERS.get(url.get_backend_name())
    wanted = ours.partition("+")[2] if ours else ""
    line = remedy_for(wanted)
    if ours is None or line is None:
        return f"the driver of {url.drivername} cannot be imported: {error}"
    if url.drivername in {ours, wanted} or error.name == wanted:
        return line
    rewrite = f"write {ours}:// instead of {url.drivername}://"
    try:
        importlib.import_module(wanted)
    except ImportError:
        return f"{line}, and {rewrite}"
    return f"{error.name} is not installed, but {wanted} is: {rewrite}"
