"""The Kafka topic that events go to: is it there. Needs the extra `kafka`."""

from __future__ import annotations

import contextlib
from typing import Final

from hydro_hooks.diagnosis.findings import Finding, failed, passed
from hydro_hooks.settings import Settings
from hydro_hooks.verdict import Fault

TOTAL_SECONDS: Final = 10.0


def examine_topic(
    settings: Settings, *, total_seconds: float = TOTAL_SECONDS
) -> Finding:
    """Say whether the brokers know the topic; nothing is produced.

    Args:
        settings: With the URL of a topic.
        total_seconds: The longest wait for an answer.

    Raises:
        ConfigurationError: What they say of Kafka is wrong.
        ModuleNotFoundError: The extra `kafka` is not installed.
    """
    from hydro_hooks.sinks.kafka import KafkaSink  # noqa: PLC0415 - an extra

    url, config = settings.base_url or "", settings.kafka_config()
    sink = KafkaSink(url, config, total_seconds=total_seconds)
    with contextlib.closing(sink):
        reply = sink.probe()
    if not isinstance(reply, Fault):
        partitions = "1 partition" if reply == 1 else f"{reply} partitions"
        return passed(f"it is there, with {partitions}")
    if reply.is_passing:
        remedy = "check the brokers in HYDRO_BASE_URL, the network, and the login"
    else:
        remedy = "make it, or check HYDRO_BASE_URL and HYDRO_KAFKA_CONFIG"
    return failed(f"{reply.problem}: {remedy}")
