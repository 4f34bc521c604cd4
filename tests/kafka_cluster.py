"""librdkafka's own mock cluster, with the errors that a test injects.

The Python package binds no word of it, but the library that it brings has them all
(`rdkafka_mock.h`).
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

PRODUCE = 0
"""The number of the request that produces, by Kafka's protocol."""


def _library() -> Any:
    package = Path(confluent_kafka.__file__).parent
    beside = package.with_name("confluent_kafka.libs")
    [path] = [*beside.glob("librdkafka*"), *package.glob(".dylibs/librdkafka*")][:1]
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_new", "rd_kafka_conf_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class KafkaCluster:
    """Brokers on loopback, which forget all when the block ends."""

    def __init__(self, brokers: int = 1) -> None:
        self._library = _library()
        producer = 0
        problem = ctypes.create_string_buffer(256)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._client = ctypes.c_void_p(
            self._library.rd_kafka_new(producer, conf, problem, len(problem))
        )
        self._cluster = ctypes.c_void_p(
            self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        )

    def __enter__(self) -> KafkaCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @property
    def brokers(self) -> str:
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def url(self, topic: str = "hydro") -> str:
        return f"kafka://{self.brokers}/{topic}"

    def fail_next(self, *codes: int) -> None:
        """Answer the next requests to produce with these errors, one each."""
        self._library.rd_kafka_mock_push_request_errors(
            self._cluster,
            ctypes.c_int16(PRODUCE),
            ctypes.c_size_t(len(codes)),
            *(ctypes.c_int(code) for code in codes),
        )

    def set_down(self, broker: int = 1) -> None:
        self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def set_up(self, broker: int = 1) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def messages(self, topic: str = "hydro") -> list[Any]:
        """Return what a topic holds, in the order of each partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "test",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            message = consumer.poll(10)
            assert message is not None, "the mock cluster does not answer"
            if message.error() is None:
                found.append(message)
            else:
                ended += 1
        consumer.close()
        return found
