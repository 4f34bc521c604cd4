"""No secret, signature, password or payload is told: in logs, output, errors, reprs.

All that touches them is driven over real sockets and databases, also by a gateway that
echoes what it was sent, and everything that can be heard of it is searched.
"""

from __future__ import annotations

import json
import logging
import os
import pprint
import ssl
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from database_users import PASSWORD, own, user_without
from databases import Database
from delivering import end_back_off, wait_until
from kafka_cluster import KafkaCluster
from sample_events import record, rows_in, sample_event, sample_events
from scripted_gateway import Received, Scripted, ScriptedGateway, failures
from signed_requests import body_of, signature_of, value_of
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session
from test_http_sink import untrusted
from tracked_models import Installation

from hydro_hooks import (
    Event,
    HydroHmac,
    OutgoingRequest,
    RecordingError,
    Settings,
    because,
    creation,
    outbox,
    schema,
    signals,
    tables,
)
from hydro_hooks.errors import DatabaseError, HydroHooksError
from hydro_hooks.journal import by_event_id, request_of
from hydro_hooks.relay import Relay
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.http import HttpSink
from hydro_hooks.sinks.kafka import KafkaSink
from hydro_hooks.testing.gateway import LocalGateway
from hydro_hooks.verdict import Answer, Fault, judge
from hydro_hooks.web import incoming, store

__all__ = ["untrusted"]

SECRET = 'x"s3crét\\2dd220c366ec5b86'
OLD_SECRET = "b86104efd7324c2d405-the-one-before"
SASL_PASSWORD = "sasl-p4ssw0rd-5b86104e"
NOTE = "the note that only the payload has"

MESSAGES = [
    Message(event_id="1", schema="jira.v1.Action", value=f'{{"note":"{NOTE}"}}'),
    Message(event_id="2", schema="jira.v1.Action", value='{"note":"tëst 4711"}'),
]


class Overheard:
    """All that was said, and what must not be in it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._said: list[str] = []
        self._hidden: dict[str, str] = {}
        for secret in (SECRET, OLD_SECRET):
            self.hide("secret", secret)
        self.hide("database password", PASSWORD)
        self.hide("password of Kafka", SASL_PASSWORD)

    def hide(self, what: str, word: str) -> None:
        """Have a word looked for, also in the forms that JSON and Python give it."""
        for form in (
            word,
            *(quoted(word)[1:-1] for quoted in (json.dumps, repr, ascii)),
        ):
            self._hidden[form] = what

    def hide_payloads(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.hide("payload", text)

    def hide_requests(self, received: Iterable[Received]) -> None:
        """Have the signatures and payloads of requests looked for."""
        for request in received:
            authorization = request.headers.get("Authorization", "")
            if authorization:
                self.hide("signature", authorization.rpartition(" ")[2])
            if request.body:
                self.hide_payloads(message["value"] for message in request.messages)

    def hide_stored(self, gateway: str) -> None:
        """Have the signatures looked for that a gateway's database keeps."""
        engine = create_engine(gateway)
        with engine.connect() as connection:
            found = connection.scalars(select(tables.request.c.authorization)).all()
        engine.dispose()
        assert found
        for authorization in found:
            self.hide("signature", authorization.rpartition(" ")[2])

    def hear(self, *things: object) -> None:
        """Note what things say of themselves, and an error with all that led to it."""
        for thing in things:
            self._said += [str(thing), repr(thing), pprint.pformat(thing)]
            if isinstance(thing, BaseException):
                self._said += traceback.format_exception(thing)

    @property
    def told(self) -> list[str]:
        """What was told that must not be."""
        records = self._caplog.get_records("call")
        said = [*self._said, self._caplog.text]
        said += [repr((each.msg, each.args)) for each in records]
        return [
            f"{what} in: {text[:2000]}"
            for text in said
            for word, what in self._hidden.items()
            if word in text
        ]


@pytest.fixture
def overheard(caplog: pytest.LogCaptureFixture) -> Overheard:
    """Return what listens to all logs, each at DEBUG.

    But to SQLAlchemy's, which is silent unless an app asks it for its statements.
    """
    caplog.set_level(logging.DEBUG)
    for name in ("hydro_hooks", "urllib3", "requests", "waitress", "werkzeug"):
        caplog.set_level(logging.DEBUG, logger=name)
    return Overheard(caplog)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(Scripted):
    """An answer of any bytes."""

    raw: bytes = b""

    def as_bytes(self) -> bytes:
        return self.raw


def words_of(request: Received) -> str:
    """Return what an indiscreet gateway might say."""
    return f"{request.headers} {SECRET} {OLD_SECRET} {request.body.decode()}"


def echo(status: int) -> Callable[[Received], Scripted]:
    """Return what answers with all that it was sent, in body and header."""

    def answer(request: Received) -> Scripted:
        authorization = request.headers["Authorization"]
        headers = {"X-Echo": authorization, "Location": f"/?{authorization}"}
        body = {"error": words_of(request), "failures": [words_of(request)]}
        return Scripted(status=status, headers=headers, body=body)

    return answer


def echo_as(form: bytes) -> Callable[[Received], Scripted]:
    """Return what answers in bytes that are no HTTP, with the signature in them."""

    def answer(request: Received) -> Scripted:
        words = request.headers["Authorization"].encode() + b" " + request.body
        return Bytes(raw=form.replace(b"WORDS", words), declares_length=False)

    return answer


BROKEN = {
    "status": b"HTTP/1.1 WORDS\r\n\r\n",
    "no HTTP": b"WORDS\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\nX: 1\r\nWORDS\r\nY: 2\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: WORDS\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nWORDS\r\n",
}
ECHOES = {
    **{str(status): echo(status) for status in (200, 307, 400, 401, 404, 422, 503)},
    **{name: echo_as(form) for name, form in BROKEN.items()},
}


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES)
def test_a_gateway_that_echoes_makes_the_sink_tell_nothing(
    overheard: Overheard, answer: Callable[[Received], Scripted]
) -> None:
    with ScriptedGateway(answer) as gateway:
        settings = gateway.settings(secrets=(SECRET, OLD_SECRET))
        with closing(HttpSink(settings, total_seconds=1)) as sink:
            reply = sink.send(MESSAGES)
            overheard.hear(sink, reply, sink.probe())
    assert isinstance(reply, Answer | Fault)
    overheard.hear(judge(reply, size=2, now=datetime.now(UTC)))
    overheard.hide_requests(gateway.requests)

    assert gateway.requests
    assert overheard.told == []


def test_a_secret_that_is_passed_over_is_not_told(overheard: Overheard) -> None:
    def answer(request: Received) -> Scripted:
        given = request.headers["Authorization"]
        is_known = HydroHmac([OLD_SECRET]).verify(request.body, given)
        return Scripted() if is_known else echo(401)(request)

    with ScriptedGateway(answer) as gateway:
        settings = gateway.settings(secrets=(SECRET, OLD_SECRET))
        with closing(HttpSink(settings)) as sink:
            overheard.hear(sink.send(MESSAGES), sink)
    overheard.hide_requests(gateway.requests)

    assert len(gateway.requests) == 2
    assert overheard.told == []


def raising(_: OutgoingRequest) -> Mapping[str, str]:
    message = f"the key {SECRET} is bad"
    raise LookupError(message)


def signing_two_lines(_: OutgoingRequest) -> Mapping[str, str]:
    return {"Authorization": f"Hydro {OLD_SECRET}\r\nX-Other: 1"}


def signing_beyond_latin_1(_: OutgoingRequest) -> Mapping[str, str]:
    return {"Authorization": f"Hydro ключ {OLD_SECRET}"}


def naming_beyond_ascii(_: OutgoingRequest) -> Mapping[str, str]:
    return {f"ключ-{OLD_SECRET}": "1"}


@pytest.mark.parametrize(
    "signer", [raising, signing_two_lines, signing_beyond_latin_1, naming_beyond_ascii]
)
def test_a_signer_that_fails_tells_no_secret(
    overheard: Overheard, signer: Callable[[OutgoingRequest], Mapping[str, str]]
) -> None:
    with ScriptedGateway() as gateway:
        with closing(HttpSink(gateway.settings(), signer)) as sink:
            reply = sink.send(MESSAGES)
            overheard.hear(sink, reply)

    assert isinstance(reply, Fault)
    assert not reply.is_passing
    assert gateway.requests == []
    assert overheard.told == []


def test_a_gateway_that_cannot_be_spoken_to_is_told_of_without_secrets(
    overheard: Overheard, untrusted: ssl.SSLContext
) -> None:
    with ScriptedGateway([Scripted(resets=True)]) as gateway:
        places = [gateway.settings(secrets=(SECRET,))]
        with closing(HttpSink(places[0])) as sink:
            overheard.hear(sink.send(MESSAGES))
    with ScriptedGateway(tls=untrusted) as other:
        places.append(other.settings(secrets=(SECRET,)))
        for settings in places:
            with closing(HttpSink(settings)) as sink:
                overheard.hear(sink.send(MESSAGES))
    overheard.hide_requests(gateway.requests)

    assert overheard.told == []


def refusing(request: Received) -> Scripted:
    """Refuse the first event for good, in the gateway's own indiscreet words."""
    return failures((0, words_of(replace(request, body=b"")), False))


def test_the_relay_tells_nothing_and_keeps_nothing_of_what_is_echoed(
    engine: Engine, overheard: Overheard
) -> None:
    heard: list[Event] = []
    record(engine, [sample_event(note=NOTE) for _ in range(4)])
    payloads = [row["payload"] for row in rows_in(engine, tables.outbox)]
    answers = iter([echo(503), echo(401), echo(401), refusing, echo(404)])

    def answer(request: Received) -> Scripted:
        return next(answers, lambda _: Scripted())(request)

    def listen(_: object, event: Event) -> None:
        heard.append(event)
        message = "a listener fails"
        raise LookupError(message)

    with (
        ScriptedGateway(answer) as gateway,
        signals.delivered.connected_to(listen),
        signals.rejected.connected_to(listen),
    ):
        settings = gateway.settings(secrets=(SECRET, OLD_SECRET))
        relay = Relay(engine, settings)
        for _ in range(5):
            overheard.hear(relay.drain(), relay)
            record(engine, [sample_event(note=NOTE)])
            end_back_off(engine)
    overheard.hide_payloads(payloads)
    overheard.hide_requests(gateway.requests)
    [rejected] = rows_in(engine, tables.rejected)
    overheard.hear(*heard, rejected["error"], *rows_in(engine, tables.shard))

    assert len(heard) > 4
    assert "***" in rejected["error"]
    assert overheard.told == []


def test_a_database_that_fails_the_relay_is_told_of_without_payloads(
    engine: Engine, overheard: Overheard, caplog: pytest.LogCaptureFixture
) -> None:
    record(engine, sample_events(3, note=NOTE))
    overheard.hide_payloads(row["payload"] for row in rows_in(engine, tables.outbox))
    with ScriptedGateway() as gateway:
        settings = gateway.settings(secrets=(SECRET,))
        relay = Relay(engine, settings, lease=timedelta(seconds=0.1))
        tables.journal.drop(engine)
        with pytest.raises(DatabaseError, match="has no hydro_journal") as failed:
            relay.drain()
        overheard.hear(failed.value)
        relay.start()
        wait_until(lambda: "cannot use the app's database" in caplog.text)
        relay.stop()
        overheard.hide_requests(gateway.requests)

    assert overheard.told == []


def test_what_cannot_be_recorded_is_told_of_without_what_it_says(
    tracked: Engine, overheard: Overheard
) -> None:
    overheard.hide("note", NOTE)
    tables.outbox.drop(tracked)
    with because("web interaction", note=NOTE), Session(tracked) as session:
        session.add(Installation())
        with pytest.raises(RecordingError) as failed:
            session.commit()
    overheard.hear(failed.value)

    assert overheard.told == []


def post(url: str, body: bytes, secret: str, app: str = "jira-integration") -> int:
    headers = {"X-Hydro-App": app, "Authorization": signature_of(body, secret)}
    return requests.post(url, data=body, headers=headers, timeout=30).status_code


def test_the_gateway_tells_nothing_of_what_it_gets(overheard: Overheard) -> None:
    value = value_of(note=NOTE)
    bodies = [
        body_of(value),
        body_of({**value, "more": NOTE}),
        body_of(value, schema_name="x.v1.Action"),
        body_of("{" + json.dumps(value)),
        body_of(value)[:-1],
        b'{"events":[]}',
    ]
    statuses = []
    with LocalGateway(secrets=[SECRET, OLD_SECRET]) as gateway:
        for body in bodies:
            statuses.append(post(gateway.url, body, OLD_SECRET))
            overheard.hide("signature", signature_of(body, OLD_SECRET)[6:])
        statuses.append(post(gateway.url, bodies[0], "another secret"))
        statuses.append(post(gateway.url, bodies[0], SECRET, app="another"))
        overheard.hide_payloads([json.dumps(value), bodies[0].decode()])
        overheard.hear(gateway, *gateway.events(), gateway.settings())
        tables.journal.drop(gateway.engine)
        statuses.append(post(gateway.url, bodies[0], SECRET))

    assert statuses == [200, 422, 404, 422, 422, 422, 401, 400, 503]
    assert overheard.told == []


@contextmanager
def with_a_password(database: Database) -> Iterator[str]:
    """Yield a URL with a password in it, where the kind of database knows any."""
    if database.kind == "sqlite":
        with own(database):
            yield database.text_url
    else:
        with user_without(database) as url:
            yield url


class CommandLine:
    """Runs commands as a user does, with secrets and a password in the environment."""

    def __init__(self, overheard: Overheard, folder: Path, database: str) -> None:
        self._overheard = overheard
        self._folder = folder
        self._environment = {
            **os.environ,
            "HYDRO_APP_SECRET": f"{SECRET} {OLD_SECRET}",
            "HYDRO_DATABASE_URL": database,
            "PYTHONWARNINGS": "default",
        }

    def run(self, *words: str, **environment: str) -> int:
        """Run a command, hear all of its output, and return its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "hydro_hooks.cli", *words],
            env={**self._environment, **environment},
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self._overheard.hear(done.stdout, done.stderr)
        return done.returncode

    def run_all(self, *commands: tuple[str, ...]) -> list[int]:
        """Run commands one after the other, and return their exit codes."""
        return [self.run(*words) for words in commands]

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """Yield the URL of a gateway, and hear what it has said once it has ended."""
        with subprocess.Popen(
            [sys.executable, "-m", "hydro_hooks.cli", "gateway", "--port", "0"],
            env=self._environment,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.terminate()
            self._overheard.hear(*process.communicate(timeout=30))


def test_no_command_tells_a_secret_a_password_or_a_payload(
    database: Database, overheard: Overheard, tmp_path: Path
) -> None:
    with with_a_password(database) as url:
        engine = database.engine()
        record(engine, sample_events(4, note=NOTE))
        overheard.hide_payloads(
            row["payload"] for row in rows_in(engine, tables.outbox)
        )
        here = CommandLine(overheard, tmp_path, url)
        with ScriptedGateway(echo(401)) as gateway:
            there = ("--url", gateway.url)
            refused = here.run_all(
                ("relay", "--once", *there), ("doctor", *there), ("outbox", "status")
            )
        overheard.hide_requests(gateway.requests)
        with ScriptedGateway(refusing) as gateway:
            delivered = here.run_all(("relay", "--once", "--url", gateway.url))
        overheard.hide_requests(gateway.requests)
        told = here.run_all(
            ("doctor", "--json"),
            ("outbox", "status"),
            ("outbox", "status", "--json"),
            ("outbox", "rejected"),
            ("outbox", "redrive", "--all", "--dry-run"),
            ("why", "19"),
            ("history", "19"),
        )
        engine.dispose()

    assert [*refused, *delivered] == [1, 1, 0, 0]
    assert told == [0] * 7
    assert overheard.told == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_shows_a_payload_tells_no_secret_and_no_signature(
    database: Database, overheard: Overheard, tmp_path: Path
) -> None:
    with with_a_password(database) as url:
        engine = database.engine()
        [rejected, delivered] = record(engine, sample_events(2))
        here = CommandLine(overheard, tmp_path, url)
        with ScriptedGateway(refusing) as gateway:
            here.run("relay", "--once", "--url", gateway.url)
        [received] = record(engine, [sample_event()])
        there = ("--database", f"sqlite:///{tmp_path / 'hydro-gateway.db'}")
        with here.gateway() as own_url:
            codes = here.run_all(
                ("relay", "--once", "--url", own_url),
                ("doctor", "--url", own_url),
                ("outbox", "rejected", "--json"),
                ("history", "19", "--json"),
                ("show", rejected),
                ("show", delivered, "--json"),
                ("journal", "export"),
                ("show", received, *there),
                ("show", received, "--raw", *there),
                ("show", received, "--raw", "--json", *there),
            )
        engine.dispose()
    overheard.hide_requests(replace(each, body=b"") for each in gateway.requests)
    overheard.hide_stored(there[1])

    assert codes == [0] * 10
    assert overheard.told == []


@pytest.mark.parametrize(
    "place",
    [
        f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/app",
        f"postgresql+psycopg://u@127.0.0.1:1/app?password={PASSWORD}",
        f"mariadb+pymysql://u:{PASSWORD}@127.0.0.1:1/app",
        f"mariadb+pymysql://u:p@{PASSWORD}@127.0.0.1:1/app",
        f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:one/app",
        f"host=h password={PASSWORD}",
    ],
)
def test_a_database_that_cannot_be_used_is_told_of_without_its_password(
    overheard: Overheard, tmp_path: Path, place: str
) -> None:
    here = CommandLine(overheard, tmp_path, place)

    codes = [
        here.run(*words)
        for words in (
            ("doctor",),
            ("doctor", "--json", "--url", "http://127.0.0.1:1/"),
            ("relay", "--once", "--url", "http://127.0.0.1:1/"),
            ("outbox", "status"),
            ("why", "19"),
        )
    ]

    assert set(codes) <= {1, 2}
    assert overheard.told == []


@pytest.mark.parametrize(
    "environment",
    [
        {"HYDRO_BASE_URL": f"https://u:{PASSWORD}@hydro.example/"},
        {"HYDRO_BASE_URL": f"kafka://u:{PASSWORD}@hydro.example/t"},
        {"HYDRO_BASE_URL": "http://hydro.example/"},
        {"HYDRO_SCHEMA": "jira.v9.Action"},
        {"HYDRO_SIGNER": "no_such:signer"},
        {"HYDRO_APP": "ä"},
        {"TRACKING_DISABLED": "perhaps"},
    ],
    ids=str,
)
def test_wrong_settings_are_told_of_without_the_secrets_beside_them(
    overheard: Overheard, tmp_path: Path, environment: dict[str, str]
) -> None:
    given = {
        "HYDRO_BASE_URL": "http://127.0.0.1:1/",
        "HYDRO_APP_SECRET": SECRET,
        "HYDRO_DATABASE_URL": f"sqlite:///{tmp_path / 'x.db'}",
        **environment,
    }

    with pytest.raises(HydroHooksError) as refused:
        Relay(create_engine("sqlite://"), Settings.from_env(given))
    overheard.hear(refused.value)
    here = CommandLine(overheard, tmp_path, "sqlite:///x.db")
    code = here.run("doctor", **environment)

    assert code == 1
    assert overheard.told == []


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_kafka_tells_neither_its_password_nor_a_payload(
    overheard: Overheard, tmp_path: Path, protocol: str
) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(
        f"security.protocol={protocol}\nsasl.mechanism=PLAIN\nsasl.username=u\n"
        f"sasl.password={SASL_PASSWORD}\ndebug=all\n"
    )
    overheard.hide_payloads(message.value for message in MESSAGES)
    with KafkaCluster() as cluster:
        settings = Settings(base_url=cluster.url(), kafka_file=str(path))
        sink = KafkaSink(cluster.url(), settings.kafka_config(), total_seconds=1)
        overheard.hear(sink.send(MESSAGES), sink.probe(), sink, settings)
        sink.close()
        engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
        creation.create_tables(engine)
        record(engine, [sample_event(note=NOTE)])
        overheard.hide_payloads(
            row["payload"] for row in rows_in(engine, tables.outbox)
        )
        overheard.hear(Relay(engine, sink=sink).drain(), sink)
        engine.dispose()

    assert overheard.told == []


@pytest.mark.parametrize("text", ["sasl.pass", "sasl.password", "ssl.key.password"])
def test_settings_of_kafka_that_are_refused_are_not_quoted(
    overheard: Overheard, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(f"security.protocol=SSL\n{text}={SASL_PASSWORD}\n")
    settings = Settings(base_url="kafka://127.0.0.1:1/t", kafka_file=str(path))
    sink = KafkaSink("kafka://127.0.0.1:1/t", settings.kafka_config(), total_seconds=1)
    overheard.hear(sink.send(MESSAGES[:1]), sink.probe())
    path.write_text(f"{SASL_PASSWORD}\n")
    with pytest.raises(HydroHooksError) as refused:
        settings.kafka_config()
    overheard.hear(refused.value)

    assert overheard.told == []


def test_nothing_that_holds_a_secret_shows_it(overheard: Overheard) -> None:
    event = sample_event(note=NOTE)
    payload = outbox.row_of(event)["payload"]
    body = body_of(schema.parse(payload))
    authorization = signature_of(body, SECRET)
    now = datetime.now(UTC)
    settings = Settings(
        base_url="https://hydro.example/",
        secrets=(SECRET, OLD_SECRET),
        database_url=f"postgresql+psycopg://u:{PASSWORD}@h/d",
    )
    arrived = incoming.read(body, incoming.accepted_schemas(), received_at=now)
    signer = HydroHmac(settings.secrets)
    overheard.hide_payloads([payload, json.dumps(schema.parse(payload)), body.decode()])
    overheard.hide("signature", authorization.rpartition(" ")[2])
    sink = HttpSink(settings)

    overheard.hear(
        settings,
        signer,
        *signer.rotations(),
        sink,
        OutgoingRequest(
            method="POST", url="https://h/", body=body, event_ids=("1",), sent_at=now
        ),
        Message(event_id="1", schema="s", value=payload),
        Answer(
            status=422,
            headers={"X-Echo": authorization},
            body=body,
            hidden=(SECRET, authorization),
        ),
        arrived,
        store.Received(
            app="a", authorization=authorization, body=body, received_at=now
        ),
        Relay(create_engine("sqlite://"), settings),
        event,
    )
    sink.close()

    assert overheard.told == []


def test_records_and_requests_of_a_gateway_do_not_show_their_bytes(
    overheard: Overheard,
) -> None:
    event = sample_event(note=NOTE)
    body = body_of(schema.parse(outbox.row_of(event)["payload"]))
    with LocalGateway(secrets=[SECRET]) as gateway:
        assert post(gateway.url, body, SECRET) == 200
        with gateway.engine.connect() as connection:
            found = by_event_id(connection, event.id)
            assert found is not None
            overheard.hear(found, request_of(connection, found))
        overheard.hear(gateway)
        overheard.hide_payloads([found.payload, body.decode()])
        overheard.hide_stored(str(gateway.engine.url))

    assert overheard.told == []
