"""Settings, from arguments, else the environment, else defaults.

Names and meaning of `HYDRO_BASE_URL`, `HYDRO_APP_SECRET` and `TRACKING_DISABLED` are
those of the deployed client. What is wrong is said at start, never at the first event.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from hydro_hooks.errors import ConfigurationError, with_article

DEFAULT_APP: Final = "jira-integration"
DEFAULT_SCHEMA: Final = "jira.v1.Action"
KAFKA: Final = "kafka://"
_KAFKA: Final = re.compile(
    r"kafka://(?P<brokers>[\w.-]+(?::\d+)?(?:,[\w.-]+(?::\d+)?)*)"
    r"/(?P<topic>[A-Za-z0-9._-]{1,249})"
)
_SIGNER: Final = re.compile(r"[\w.]+:[\w.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the relay and the gateway need to know.

    Args:
        base_url: Where events are posted, such as `https://hydro.example/api/v1/events`,
            or the topic that they go to, `kafka://broker:9092,broker:9092/topic`; None:
            they are recorded and kept, not delivered.
        secrets: Shared secrets; the first signs, all are accepted. Never shown.
        app: The sending app, the value of `X-Hydro-App`.
        schema: Name of the wire schema.
        kafka_file: Path of a file of librdkafka's settings, `name=value` a line.
        signer: `module:attribute` of a signer of the app's own; None: `HydroHmac`.
        database_url: SQLAlchemy URL of the app's database, for commands.
        is_disabled: Nothing is recorded, nothing sent.

    Raises:
        ConfigurationError: `base_url` without a secret or a signer, not https (http
            only to loopback), or otherwise not a URL to post to; `signer` in another
            form.
    """

    base_url: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    app: str = DEFAULT_APP
    schema: str = DEFAULT_SCHEMA
    signer: str | None = None
    kafka_file: str | None = None
    database_url: str | None = field(default=None, repr=False)
    is_disabled: bool = False

    def __post_init__(self) -> None:
        refuse_text("secrets", self.secrets)
        if self.base_url is not None and not isinstance(self.base_url, str):
            kind = type(self.base_url).__name__
            message = f"HYDRO_BASE_URL is {with_article(kind)}; give the URL as text"
            raise ConfigurationError(message)
        if not self.app or not self.app.isascii() or not self.app.isprintable():
            message = f"HYDRO_APP is {self.app!r}; give the app's name in ASCII letters"
            raise ConfigurationError(message)
        if self.signer is not None and _SIGNER.fullmatch(self.signer) is None:
            message = (
                f"HYDRO_SIGNER is {self.signer!r}; give module:attribute, such as"
                " app.hydro:sign"
            )
            raise ConfigurationError(message)
        if self.base_url is None:
            return
        check_base_url(self.base_url)
        if self.base_url.startswith(KAFKA):
            return
        if not self.secrets and self.signer is None:
            message = (
                "there is a URL to deliver to, but HYDRO_APP_SECRET is unset or empty:"
                " refusing to sign with an empty key; set HYDRO_APP_SECRET (or name a"
                " signer of your own in HYDRO_SIGNER), or give no URL (HYDRO_BASE_URL,"
                " --url) to record without delivering"
            )
            raise ConfigurationError(message)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        base_url: str | None = None,
        schema: str | None = None,
        database_url: str | None = None,
    ) -> Settings:
        """Return the settings; an argument beats the environment beats the default.

        Args:
            environ: The environment; `os.environ` when None. Read are `HYDRO_BASE_URL`,
                `HYDRO_APP_SECRET` (several, for rotation, are separated by blanks),
                `TRACKING_DISABLED` (`true`, `1`, `yes` or `on`), `HYDRO_APP`,
                `HYDRO_SCHEMA`, `HYDRO_SIGNER`, `HYDRO_KAFKA_CONFIG` and
                `HYDRO_DATABASE_URL`. Unset and empty mean the same.
            base_url: Instead of `HYDRO_BASE_URL`.
            schema: Instead of `HYDRO_SCHEMA`.
            database_url: Instead of `HYDRO_DATABASE_URL`.

        Raises:
            ConfigurationError: As the class says.
        """
        source = os.environ if environ is None else environ
        return cls(
            base_url=base_url or source.get("HYDRO_BASE_URL") or None,
            secrets=tuple(source.get("HYDRO_APP_SECRET", "").split()),
            app=source.get("HYDRO_APP") or DEFAULT_APP,
            schema=schema or source.get("HYDRO_SCHEMA") or DEFAULT_SCHEMA,
            signer=source.get("HYDRO_SIGNER") or None,
            kafka_file=source.get("HYDRO_KAFKA_CONFIG") or None,
            database_url=database_url or source.get("HYDRO_DATABASE_URL") or None,
            is_disabled=_is_true(source.get("TRACKING_DISABLED", "")),
        )

    def kafka_config(self) -> dict[str, str]:
        """Return what the file of librdkafka's settings says.

        Raises:
            ConfigurationError: It cannot be read, or has a line of another form; or
                events would go to another machine and nothing says how.
        """
        config: dict[str, str] = {}
        if self.kafka_file is not None:
            config = _properties(self.kafka_file)
        brokers, _ = kafka_place(self.base_url or "")
        hosts = [broker.rpartition(":")[0] or broker for broker in brokers.split(",")]
        if "security.protocol" not in config and not all(map(is_loopback, hosts)):
            message = (
                "HYDRO_BASE_URL names Kafka brokers on other machines; say how to reach"
                " them: security.protocol=SASL_SSL (or SSL, or PLAINTEXT where the"
                " network is your own) in the file that HYDRO_KAFKA_CONFIG names"
            )
            raise ConfigurationError(message)
        return config


def refuse_text(name: str, values: object) -> None:
    """Raise `ConfigurationError` unless it is a collection of texts, not one text.

    Args:
        name: Of the argument.
        values: What was given, which the message does not tell: it may be a secret.
    """
    kind = type(values).__name__
    if isinstance(values, Collection) and not isinstance(values, (str, bytes)):
        kinds = [type(one).__name__ for one in values if not isinstance(one, str)]
        if not kinds:
            return
        kind = f"collection with {with_article(kinds[0])} in it"
    message = (
        f"{name} is {with_article(kind)}; give a tuple of texts, such as (secret,)"
    )
    raise ConfigurationError(message)


def _properties(path: str) -> dict[str, str]:
    """Return a file of `name=value` lines; `#` begins a comment line."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"HYDRO_KAFKA_CONFIG is {path!r}: {type(error).__name__}"
        raise ConfigurationError(message) from error
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, is_there, value = line.partition("=")
        if not is_there or not name.strip():
            message = f"{path}, line {number}, is not name=value"
            raise ConfigurationError(message)
        found[name.strip()] = value.strip()
    return found


def _is_true(text: str) -> bool:
    word = text.strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"", "false", "0", "no", "off"}:
        return False
    message = f"TRACKING_DISABLED is {text!r}; give true, or leave it unset"
    raise ConfigurationError(message)


def kafka_place(url: str) -> tuple[str, str]:
    """Return the brokers, separated by commas, and the topic of a `kafka://` URL.

    Raises:
        ConfigurationError: It has another form.
    """
    match = _KAFKA.fullmatch(url)
    if match is None:
        message = (
            "HYDRO_BASE_URL is not a topic's URL; give"
            " kafka://broker:9092,broker:9092/topic, and settings and passwords in the"
            " file that HYDRO_KAFKA_CONFIG names"
        )
        raise ConfigurationError(message)
    return match["brokers"], match["topic"]


def check_base_url(url: str) -> None:
    """Raise `ConfigurationError` unless events may be delivered to `url`."""
    if url.startswith(KAFKA):
        kafka_place(url)
        return
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        message = f"HYDRO_BASE_URL is not a URL ({error})"
        raise ConfigurationError(message) from None
    problem = _problem_of(parts)
    if problem:
        message = f"HYDRO_BASE_URL {problem}"
        raise ConfigurationError(message)


def _problem_of(parts: SplitResult) -> str | None:
    place = parts._replace(query="", fragment="").geturl()
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password; take it out, HYDRO_APP_SECRET signs"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return (
            f"is not a gateway's URL ({place!r}); give one such as"
            " https://hydro.example/api/v1/events"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return (
            f"is {place!r}, in clear text to another machine; use https://"
            " (http:// is for 127.0.0.1 and localhost)"
        )
    return None


def is_loopback(host: str) -> bool:
    """Return whether `host` (a name or an address, without a port) is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
