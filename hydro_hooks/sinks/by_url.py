"""The sink that the settings name, by the scheme of their URL."""

from __future__ import annotations

from hydro_hooks.settings import KAFKA, Settings
from hydro_hooks.signing import Signer
from hydro_hooks.sinks import Sink
from hydro_hooks.sinks.http import HttpSink


def sink_of(settings: Settings, signer: Signer | None = None) -> Sink | None:
    """Return where events go; None where nothing says so.

    Args:
        settings: With a `base_url`: `https://` the gateway, `kafka://` a topic.
        signer: Instead of the one that the settings name; of the gateway alone.

    Raises:
        ConfigurationError: The settings are wrong.
        ModuleNotFoundError: A topic is meant, and the extra `kafka` is not installed.
    """
    if settings.base_url is None:
        return None
    if settings.base_url.startswith(KAFKA):
        from hydro_hooks.sinks.kafka import KafkaSink  # noqa: PLC0415 - an extra

        return KafkaSink(settings.base_url, settings.kafka_config())
    return HttpSink(settings, signer)
