"""A Kafka topic, by `kafka://broker:9092,broker:9092/topic`: one message an event.

The key is what events keep their order by, the event's id and type are headers. A
message counts as delivered in its delivery callback and nowhere else: the producer is
idempotent and waits for all replicas in sync. Needs the extra `kafka`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from hydro_hooks.forking import waiting
from hydro_hooks.settings import kafka_place
from hydro_hooks.sinks import Message
from hydro_hooks.verdict import Fault, Receipt

TOTAL_SECONDS: Final = 10.0

_ALWAYS: Final = {"enable.idempotence": True, "acks": "all"}
"""What the record's truth hangs on; a configuration cannot change it."""

_FOR_GOOD: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG}
)
_CONFIGURATION: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own codes, documented
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - as above
    }
)

LOG_SECONDS: Final = 60.0
"""How long librdkafka's log is spared what it has just told."""


class _Sparing(logging.Filter):
    """Lets a record of librdkafka's pass, and then none that says the same for a while.

    A broker that is away is told of at every try to connect, several times a second.
    """

    _VARYING: Final = re.compile(
        r"producer-\d+|\d+ms|, \d+ identical error\(s\) suppressed"
    )

    def __init__(self) -> None:
        super().__init__()
        self._told_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is worth a line."""
        now = time.monotonic()
        text = self._VARYING.sub("", record.getMessage())
        told_at = self._told_at.get(text)
        if told_at is not None and now - told_at < LOG_SECONDS:
            return False
        self._told_at = {
            known: moment
            for known, moment in self._told_at.copy().items()
            if now - moment < LOG_SECONDS
        }
        self._told_at[text] = now
        return True


_library_logger: Final = logging.getLogger(f"{__name__}.librdkafka")
_library_logger.addFilter(_Sparing())


class _Client:
    """A producer, and what last came between it and its brokers."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        # Not this object's own method, which would keep the producer from its end.
        troubles: deque[KafkaError] = deque(maxlen=1)

        def note(error: KafkaError) -> None:
            if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - see above
                troubles.append(error)

        self._troubles = troubles
        self.producer = Producer({**config, "error_cb": note}, logger=_library_logger)

    @property
    def trouble(self) -> KafkaError | None:
        """What it was, since it was last forgotten."""
        self.producer.poll(0)  # which calls back
        return self._troubles[0] if self._troubles else None

    def forget_trouble(self) -> None:
        """Forget it: something else begins."""
        self._troubles.clear()


class KafkaSink:
    """Produces batches to a topic.

    Safe to use from several threads, and after a fork, when the child makes a producer
    of its own.

    Args:
        url: `kafka://broker:9092,.../topic`.
        config: What librdkafka is told beside it, such as `security.protocol`.
        total_seconds: The most that a batch may take.

    Raises:
        ConfigurationError: The URL names no brokers or no topic.
    """

    def __init__(
        self,
        url: str,
        config: Mapping[str, Any] | None = None,
        *,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        brokers, self._topic = kafka_place(url)
        self._total_seconds = total_seconds
        self._config: dict[str, Any] = {
            "client.id": "hydro-hooks",
            "reconnect.backoff.max.ms": 1000,  # the pause between tries is the relay's
            **(config or {}),
            "bootstrap.servers": brokers,
            "delivery.timeout.ms": int(total_seconds * 1000),
            **_ALWAYS,
        }
        self._idle: list[_Client] = []
        _sinks.add(self)

    def __repr__(self) -> str:
        return f"KafkaSink({self._topic!r})"

    def close(self) -> None:
        """Let the producers go; the next batch makes another."""
        self._idle.clear()

    def send(self, messages: Sequence[Message], /) -> Receipt | Fault:
        """Send a batch and return what became of each message."""
        try:
            client = self._own_client()
        except KafkaException as error:
            return _refused(error)
        producer = client.producer
        errors: dict[int, KafkaError | None] = {}
        for index, message in enumerate(messages):
            self._produce(producer, message, partial(_note, errors, index))
        with waiting():
            producer.flush(self._total_seconds + 1)
        missing = len(messages) - len(errors)
        if missing:  # they are sent anew, so these are not to go any more
            producer.purge()
        failed = {index: error for index, error in errors.items() if error is not None}
        # An idempotent producer that lost its place is no more use.
        if not missing and not any(error.fatal() for error in failed.values()):
            self._idle.append(client)
        return _judged(failed, missing, len(messages), set(errors), client.trouble)

    def probe(self) -> int | Fault:
        """Return how many partitions the topic has, or why none can be told."""
        try:
            client = self._own_client()
        except KafkaException as error:
            return _refused(error)
        try:
            # Of all topics: one that is asked for by name, the brokers might make.
            found = client.producer.list_topics(timeout=self._total_seconds).topics
        except KafkaException as error:
            reason = _reason(client.trouble or error.args[0])
            return Fault(problem=f"Kafka cannot be reached ({reason})")
        if self._topic not in found:
            problem = f"the brokers know no topic {self._topic}, or do not show it"
            return Fault(problem=problem, is_passing=False)
        self._idle.append(client)
        return len(found[self._topic].partitions)

    def _produce(
        self,
        producer: Producer,
        message: Message,
        conclude: Callable[[KafkaError | None, Any], None],
    ) -> None:
        try:
            producer.produce(
                self._topic,
                message.value.encode(),
                message.key.encode(),
                on_delivery=conclude,
                headers=[("id", message.event_id), ("type", message.type)],
            )
        except KafkaException as error:
            conclude(error.args[0], None)
        except BufferError:
            conclude(KafkaError(KafkaError._QUEUE_FULL), None)  # noqa: SLF001 - as above

    def _own_client(self) -> _Client:
        """Return one that no other thread uses, and no other process."""
        try:
            client = self._idle.pop()
        except IndexError:
            return _Client(self._config)
        client.forget_trouble()
        return client

    def after_fork(self) -> None:
        """Leave the parent's producers alone, in a forked child.

        To let one go waits for its threads or their locks, and here nobody ends that:
        so they stay for as long as the process, whose own end lets go of all else.
        """
        for client in self._idle:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(client.producer))
        self._idle = []


_sinks: Final[weakref.WeakSet[KafkaSink]] = weakref.WeakSet()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _note(
    errors: dict[int, KafkaError | None],
    index: int,
    error: KafkaError | None,
    _message: Any,
) -> None:
    errors[index] = error


def _refused(error: KafkaException) -> Fault:
    problem = f"Kafka's configuration is refused: {_reason(error.args[0])}"
    return Fault(problem=problem, is_passing=False)


def _judged(
    failed: Mapping[int, KafkaError],
    missing: int,
    size: int,
    told: set[int],
    trouble: KafkaError | None,
) -> Receipt | Fault:
    kept = {index for index in range(size) if index not in told}
    rejected = []
    problem = f"Kafka did not tell of {missing} of them in time" if missing else ""
    for index, error in failed.items():
        if error.code() in _FOR_GOOD:
            rejected.append((index, f"Kafka refused it: {_reason(error)}"))
        else:
            kept.add(index)
            problem = f"Kafka did not take {len(kept)} of them: {_reason(error)}"
    if problem and trouble is not None:
        problem += f", after {_reason(trouble)}"
    if len(kept) == size:
        codes = {one.code() for one in (*failed.values(), trouble) if one is not None}
        is_passing = _CONFIGURATION.isdisjoint(codes)
        return Fault(problem=problem, is_passing=is_passing)
    delivered = [
        index for index in range(size) if index not in kept and index not in failed
    ]
    return Receipt(
        delivered=tuple(delivered), rejected=tuple(rejected), problem=problem
    )


def _reason(error: Any) -> str:
    # The code alone: librdkafka's text may quote what it was told.
    name: str = error.name() if isinstance(error, KafkaError) else type(error).__name__
    return name.lstrip("_")
