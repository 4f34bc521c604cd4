"""Events that go to a Kafka topic: librdkafka's mock cluster, over real sockets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from delivering import wait_until
from kafka_cluster import KafkaCluster
from sample_events import ids_in, record, rows_in, sample_event, sample_events
from sqlalchemy import Engine

from hydro_hooks import tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.relay import Relay
from hydro_hooks.settings import Settings
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.kafka import KafkaSink
from hydro_hooks.verdict import Fault, Receipt

MESSAGES = [
    Message(event_id=str(n), schema="s", value=f'{{"n":{n}}}', key="19", type="a.b")
    for n in range(3)
]


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as cluster:
        yield cluster


def relay_to(engine: Engine, url: str) -> Relay:
    return Relay(engine, Settings(base_url=url))


def test_events_reach_the_topic_with_key_and_headers(
    engine: Engine, cluster: KafkaCluster
) -> None:
    events = [*sample_events(3), sample_event(jira_integration_id=20)]
    ids = record(engine, events)

    counts = relay_to(engine, cluster.url()).drain()

    assert (counts.delivered, counts.waiting) == (4, 0)
    assert sorted(ids_in(engine, tables.journal)) == sorted(ids)
    found = cluster.messages()
    assert {message.key().decode() for message in found} == {"19", "20"}
    of_19 = [message for message in found if message.key() == b"19"]
    assert [dict(message.headers())["id"].decode() for message in of_19] == ids[:3]
    assert dict(of_19[0].headers())["type"] == b"subscription.destroy"
    assert json.loads(of_19[0].value())["eventId"] == ids[0]


def test_a_passing_error_is_tried_again_and_delivered_once(
    cluster: KafkaCluster,
) -> None:
    sink = KafkaSink(cluster.url())
    cluster.fail_next(
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
    )

    reply = sink.send(MESSAGES)

    assert reply == Receipt(delivered=(0, 1, 2))
    assert [message.value() for message in cluster.messages()] == [
        message.value.encode() for message in MESSAGES
    ]


def test_events_of_one_key_keep_their_order_over_errors(cluster: KafkaCluster) -> None:
    messages = [
        Message(event_id=str(number), schema="s", value=str(number), key="same")
        for number in range(200)
    ]
    # Small requests, several at once: a few of them fail on the way.
    sink = KafkaSink(cluster.url(), {"batch.num.messages": "10"})
    cluster.fail_next(
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NO_ERROR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
    )

    reply = sink.send(messages)

    assert reply == Receipt(delivered=tuple(range(200)))
    assert [message.value() for message in cluster.messages()] == [
        message.value.encode() for message in messages
    ]


def test_an_event_refused_among_others_of_its_key_leaves_their_order(
    cluster: KafkaCluster,
) -> None:
    values = ["1", "2" * 2000, "3", "4"]
    messages = [
        Message(event_id=value[0], schema="s", value=value, key="same")
        for value in values
    ]

    reply = KafkaSink(cluster.url(), {"message.max.bytes": 1500}).send(messages)

    assert isinstance(reply, Receipt)
    assert reply.delivered == (0, 2, 3)
    assert [index for index, _ in reply.rejected] == [1]
    assert [message.value() for message in cluster.messages()] == [b"1", b"3", b"4"]


FORKING = """
import os, sys
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.kafka import KafkaSink
from hydro_hooks.verdict import Receipt

def send(name):
    message = Message(event_id=name, schema="s", value=name, key=name)
    assert sink.send([message]) == Receipt(delivered=(0,)), name

sink = KafkaSink(sys.argv[1])
send("parent")
silent = [os.fork() or sys.exit(0) for _ in range(8)]
child = os.fork()
if child == 0:
    send("child")
    sink.close()
    send("child again")
    sys.exit(0)
send("parent again")
codes = [os.waitpid(pid, 0)[1] for pid in (*silent, child)]
sys.exit(os.waitstatus_to_exitcode(max(codes)))
"""


def test_a_forked_child_makes_a_producer_of_its_own_and_ends(
    cluster: KafkaCluster,
) -> None:
    done = subprocess.run(
        # From Python 3.12 on, a fork beside threads is warned of.
        [sys.executable, "-W", "ignore:This process", "-c", FORKING, cluster.url()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    values = sorted(message.value().decode() for message in cluster.messages())
    assert values == ["child", "child again", "parent", "parent again"]


def test_brokers_that_are_down_are_a_passing_fault(cluster: KafkaCluster) -> None:
    sink = KafkaSink(cluster.url(), total_seconds=2.0)
    assert isinstance(sink.send(MESSAGES[:1]), Receipt)
    cluster.set_down()

    fault = sink.send(MESSAGES[1:])

    assert isinstance(fault, Fault)
    assert fault.is_passing
    assert "MSG_TIMED_OUT, after TRANSPORT" in fault.problem
    cluster.set_up()
    wait_until(lambda: sink.send(MESSAGES[1:]) == Receipt(delivered=(0, 1)))


def test_brokers_that_are_down_are_logged_once_a_while(
    cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    url = cluster.url()
    cluster.set_down()

    for _ in range(2):  # with a producer of its own each
        KafkaSink(url, total_seconds=2.0).send(MESSAGES)

    told = [each for each in caplog.messages if "Connect to" in each]
    assert len(told) == 1
    assert "Connection refused" in told[0]


def test_a_count_of_what_librdkafka_spares_itself_makes_no_new_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("hydro_hooks.sinks.kafka.librdkafka")
    for count in (
        "",
        ", 1 identical error(s) suppressed",
        ", 70 identical error(s) suppressed",
    ):
        # As it says it when two tries have taken equally long.
        log.error(
            "FAIL [hydro-hooks#producer-1]: refused (after 0ms in state CONNECT%s)",
            count,
        )

    assert len(caplog.messages) == 1


def test_brokers_that_let_nobody_in_hold_all_until_somebody_mends_it(
    cluster: KafkaCluster,
) -> None:
    config = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    config |= {"sasl.username": "hydro", "sasl.password": "s3cret"}
    sink = KafkaSink(cluster.url(), config, total_seconds=2.0)

    fault, probed = sink.send(MESSAGES), sink.probe()

    assert isinstance(fault, Fault)
    assert isinstance(probed, Fault)
    assert "AUTHENTICATION" in fault.problem
    assert "AUTHENTICATION" in probed.problem
    assert not fault.is_passing


def test_events_wait_while_the_brokers_are_down_and_none_is_lost(
    engine: Engine, cluster: KafkaCluster
) -> None:
    ids = record(engine, sample_events(2))
    sink = KafkaSink(cluster.url(), total_seconds=2.0)
    cluster.set_down()

    counts = Relay(engine, sink=sink).drain()

    assert (counts.delivered, counts.waiting) == (0, 2)
    cluster.set_up()
    with engine.begin() as connection:
        connection.execute(tables.shard.update().values(not_before=None))
    assert relay_to(engine, cluster.url()).drain().delivered == 2
    assert ids_in(engine, tables.journal) == ids


@pytest.mark.parametrize(
    "code",
    [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED],
)
def test_an_error_that_somebody_has_to_mend_keeps_all(
    cluster: KafkaCluster, code: int
) -> None:
    cluster.fail_next(code)

    fault = KafkaSink(cluster.url()).send(MESSAGES)

    assert isinstance(fault, Fault)
    assert not fault.is_passing
    assert "AUTHORIZATION_FAILED" in fault.problem


def test_an_event_that_is_too_large_is_rejected_and_the_others_go(
    engine: Engine, cluster: KafkaCluster
) -> None:
    sink = KafkaSink(cluster.url(), {"message.max.bytes": 1500})
    small, large = sample_event(), sample_event(note="x" * 1500)
    record(engine, [large, small])

    counts = Relay(engine, sink=sink).drain()

    assert (counts.delivered, counts.rejected) == (1, 1)
    [refused] = rows_in(engine, tables.rejected)
    assert refused["id"] == large.id
    assert "MSG_SIZE_TOO_LARGE" in refused["error"]


def test_a_closed_sink_opens_again(cluster: KafkaCluster) -> None:
    sink = KafkaSink(cluster.url())
    sink.send(MESSAGES[:1])
    sink.close()

    assert sink.send(MESSAGES[1:]) == Receipt(delivered=(0, 1))
    assert repr(sink) == "KafkaSink('hydro')"


def test_settings_that_librdkafka_refuses_are_a_configuration_fault(
    cluster: KafkaCluster,
) -> None:
    fault = KafkaSink(cluster.url(), {"no.such.setting": "secret"}).send(MESSAGES)

    assert isinstance(fault, Fault)
    assert not fault.is_passing
    assert "secret" not in fault.problem


def test_no_payload_or_password_is_logged(
    cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = {"sasl.password": "s3cret", "message.max.bytes": 1000}
    large = Message(event_id="1", schema="s", value="payload" * 1000, key="k")
    KafkaSink(cluster.url(), config).send([large])

    assert "s3cret" not in caplog.text
    assert "payload" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["kafka://", "kafka://b", "kafka://b/", "kafka://u:p@b/t", "kafka://b/t?x=1"],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="topic's URL"):
        Settings(base_url=url)


def test_brokers_elsewhere_are_refused_unless_it_is_said_how(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# how\n\nsecurity.protocol = SSL\n")
    environ = {"HYDRO_BASE_URL": "kafka://kafka.example:9093,other/hydro"}

    with pytest.raises(ConfigurationError, match=r"security\.protocol"):
        Settings.from_env(environ).kafka_config()

    environ["HYDRO_KAFKA_CONFIG"] = str(file)
    assert Settings.from_env(environ).kafka_config() == {"security.protocol": "SSL"}


@pytest.mark.parametrize(("text", "says"), [("what", "line 1"), (None, "NotFound")])
def test_a_file_that_cannot_be_read_is_told_of(
    tmp_path: Path, text: str | None, says: str
) -> None:
    file = tmp_path / "kafka.properties"
    if text is not None:
        file.write_text(text)
    settings: Any = Settings(base_url="kafka://b/t", kafka_file=str(file))

    with pytest.raises(ConfigurationError, match=says):
        settings.kafka_config()
