from __future__ import annotations

import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scripted_gateway import SECRET, Received, Scripted, ScriptedGateway

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.settings import Settings
from hydro_hooks.signing import HydroHmac, OutgoingRequest, Signer
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.http import MAX_ANSWER, HttpSink, body_of
from hydro_hooks.verdict import Answer, Fault

MakeSink = Callable[..., HttpSink]
CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "captured-requests.json").read_text("utf-8")
)
MESSAGES = [
    Message(event_id="1", schema="jira.v1.Action", value='{"note":"tëst"}'),
    Message(event_id="2", schema="jira.v1.Action", value='{"note":"payload"}'),
]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture
def make_sink() -> Iterator[MakeSink]:
    """Yield what makes sinks that are closed after the test."""
    sinks: list[HttpSink] = []

    def make(settings: Settings, signer: Signer | None = None, **more: Any) -> HttpSink:
        sinks.append(HttpSink(settings, signer, **more))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def answered(reply: Answer | Fault) -> Answer:
    assert isinstance(reply, Answer), reply
    return reply


def failed(reply: Answer | Fault) -> Fault:
    assert isinstance(reply, Fault), reply
    return reply


@pytest.mark.parametrize("captured", CAPTURED["requests"], ids=["one", "two"])
def test_a_request_leaves_byte_for_byte_as_the_deployed_client_sent_it(
    gateway: ScriptedGateway, make_sink: MakeSink, captured: dict[str, Any]
) -> None:
    events = json.loads(captured["body"])["events"]
    messages = [
        Message(event_id=str(number), schema=event["schema"], value=event["value"])
        for number, event in enumerate(events)
    ]
    sink = make_sink(gateway.settings(secrets=(CAPTURED["secret"],)))

    sink.send(messages)

    [request] = gateway.requests
    assert request.method == "POST"
    assert request.path == captured["path"]
    assert request.body == captured["body"].encode()
    assert captured["headers"].items() <= request.headers.items()


def test_the_answer_comes_back(gateway: ScriptedGateway, make_sink: MakeSink) -> None:
    reply = answered(make_sink(gateway.settings()).send(MESSAGES))

    assert reply.status == 200
    assert reply.body == b'{"status": "OK"}'
    assert reply.headers["content-type"] == "application/json"


def test_one_connection_serves_many_batches(
    gateway: ScriptedGateway, make_sink: MakeSink
) -> None:
    sink = make_sink(gateway.settings())

    for _ in range(5):
        sink.send(MESSAGES)

    assert len({request.client_port for request in gateway.requests}) == 1


def test_a_closed_sink_opens_again(
    gateway: ScriptedGateway, make_sink: MakeSink
) -> None:
    sink = make_sink(gateway.settings())
    sink.send(MESSAGES)
    sink.close()

    reply = answered(sink.send(MESSAGES))

    assert reply.status == 200


def test_a_redirect_is_not_followed(make_sink: MakeSink) -> None:
    with ScriptedGateway() as other:
        redirect = Scripted(status=307, headers={"Location": other.url})
        with ScriptedGateway([redirect]) as gateway:
            reply = answered(make_sink(gateway.settings()).send(MESSAGES))

            assert reply.status == 307
            assert other.requests == []


def test_the_environment_has_no_say(
    gateway: ScriptedGateway,
    make_sink: MakeSink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    answered(make_sink(gateway.settings()).send(MESSAGES))

    [request] = gateway.requests
    assert request.headers["Authorization"].startswith("Hydro ")


def test_a_signer_gets_what_is_sent_and_adds_its_headers(
    gateway: ScriptedGateway, make_sink: MakeSink
) -> None:
    seen: list[OutgoingRequest] = []

    def sign(request: OutgoingRequest) -> Mapping[str, str]:
        seen.append(request)
        return {"X-Signature": "mine"}

    before = datetime.now(UTC)
    make_sink(gateway.settings(), sign).send(MESSAGES)

    [request], [received] = seen, gateway.requests
    assert received.headers["X-Signature"] == "mine"
    assert "Authorization" not in received.headers
    assert (request.method, request.url) == ("POST", gateway.url)
    assert request.body == received.body == body_of(MESSAGES)
    assert request.event_ids == ("1", "2")
    assert before <= request.sent_at <= datetime.now(UTC)


def raising(_: OutgoingRequest) -> Mapping[str, str]:
    message = f"the key {SECRET} is bad"
    raise LookupError(message)


def answering_none(_: OutgoingRequest) -> Any:
    return None


def signing_two_lines(_: OutgoingRequest) -> Mapping[str, str]:
    return {"Authorization": f"Hydro {SECRET}\r\nX-Other: 1"}


def signing_bytes(_: OutgoingRequest) -> Any:
    return {"Authorization": SECRET.encode() + b"\n"}


@pytest.mark.parametrize(
    ("signer", "error_type"),
    [
        (raising, "LookupError"),
        (answering_none, "TypeError"),
        (signing_two_lines, "InvalidHeader"),
        (signing_bytes, "InvalidHeader"),
    ],
)
def test_a_signer_that_fails_is_a_configuration_fault_that_tells_no_secret(
    gateway: ScriptedGateway, make_sink: MakeSink, signer: Signer, error_type: str
) -> None:
    fault = failed(make_sink(gateway.settings(), signer).send(MESSAGES))

    assert not fault.is_passing
    assert error_type in fault.problem
    assert SECRET not in fault.problem
    assert gateway.requests == []


def signing_at_length(_: OutgoingRequest) -> Mapping[str, str]:
    return {"Authorization": "Mine 0123456789", "X-Region": "eu"}


def test_an_answer_knows_what_of_it_is_to_be_hidden(
    gateway: ScriptedGateway, make_sink: MakeSink
) -> None:
    reply = answered(make_sink(gateway.settings(), signing_at_length).send(MESSAGES))

    assert reply.hidden == (SECRET, "Mine 0123456789", "0123456789")


def test_a_line_of_the_header_that_is_none_is_not_logged(
    make_sink: MakeSink, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Scripted(headers={"X": "1\r\nHydro ab"}, declares_length=False)
    with ScriptedGateway([answer]) as gateway:
        reply = answered(make_sink(gateway.settings()).send(MESSAGES))

    assert reply.status == 200
    assert caplog.messages == []


def by_secret(known: str) -> Callable[[Received], Scripted]:
    """Answer as a gateway does that knows one secret."""

    def answer(request: Received) -> Scripted:
        given = request.headers["Authorization"]
        is_known = HydroHmac([known]).verify(request.body, given)
        return Scripted(status=200 if is_known else 401)

    return answer


def test_of_several_secrets_the_one_that_is_taken_is_kept(
    make_sink: MakeSink, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedGateway(by_secret("old")) as gateway:
        settings = replace(gateway.settings(), secrets=("new", "newer", "old"))
        sink = make_sink(settings)
        first, second = sink.send(MESSAGES), sink.send(MESSAGES)

    assert [answered(first).status, answered(second).status] == [200, 200]
    assert len(gateway.requests) == 4  # three tries, and one that knew
    [warning] = caplog.messages
    assert "HYDRO_APP_SECRET" in warning
    assert not any(secret in warning for secret in ("new", "newer", "old"))


def test_where_no_secret_is_taken_the_first_answer_counts(
    make_sink: MakeSink, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedGateway(by_secret("unknown")) as gateway:
        sink = make_sink(replace(gateway.settings(), secrets=("a", "b")))
        reply = sink.send(MESSAGES)
        sink.send(MESSAGES)

    assert answered(reply).status == 401
    firsts = [request.headers["Authorization"] for request in gateway.requests[::2]]
    assert firsts[0] == firsts[1]
    assert caplog.messages == []


def test_a_secret_that_another_thread_takes_to_meanwhile_is_tried_too(
    make_sink: MakeSink,
) -> None:
    judge = by_secret("old")
    is_taken = threading.Event()
    requests: list[Received] = []

    def answer(request: Received) -> Scripted:
        requests.append(request)
        if len(requests) == 1:
            return Scripted(status=401, awaits=is_taken)
        return judge(request)

    with ScriptedGateway(answer) as gateway, ThreadPoolExecutor() as threads:
        sink = make_sink(replace(gateway.settings(), secrets=("new", "old")))
        first = threads.submit(sink.send, MESSAGES)
        gateway.wait_for(1)
        second = sink.send(MESSAGES)
        is_taken.set()

        assert answered(second).status == 200
        assert answered(first.result()).status == 200


def test_a_secret_that_is_taken_is_the_only_one_that_is_tried(
    gateway: ScriptedGateway, make_sink: MakeSink
) -> None:
    make_sink(replace(gateway.settings(), secrets=("a", "b"))).send(MESSAGES)

    assert len(gateway.requests) == 1


def sign_in_the_settings(_: OutgoingRequest) -> Mapping[str, str]:
    return {"X-Signature": "named"}


def test_the_settings_name_a_signer(make_sink: MakeSink) -> None:
    with ScriptedGateway() as gateway:
        name = f"{__name__}:sign_in_the_settings"
        make_sink(replace(gateway.settings(), secrets=(), signer=name)).send(MESSAGES)

    assert gateway.requests[0].headers["X-Signature"] == "named"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:sign", "ModuleNotFoundError"),
        (f"{__name__}:no_such", "AttributeError"),
        (f"{__name__}:MESSAGES", "no function or instance"),
        (f"{__name__}:HydroHmac", "no function or instance"),
    ],
)
def test_a_signer_that_is_none_is_refused_at_once(
    gateway: ScriptedGateway, name: str, says: str
) -> None:
    settings = replace(gateway.settings(), signer=name)

    with pytest.raises(ConfigurationError, match=says) as refused:
        HttpSink(settings)

    assert repr(name) in str(refused.value)


def test_a_refused_connection_is_a_passing_fault(make_sink: MakeSink) -> None:
    with ScriptedGateway() as gateway:
        settings = gateway.settings()

    fault = failed(make_sink(settings).send(MESSAGES))

    assert fault.is_passing
    assert "refused" in fault.problem


def test_a_reset_is_a_passing_fault(make_sink: MakeSink) -> None:
    with ScriptedGateway([Scripted(resets=True)]) as gateway:
        fault = failed(make_sink(gateway.settings()).send(MESSAGES))

        assert fault.is_passing
        assert "Connection reset" in fault.problem


def test_a_name_that_does_not_resolve_is_a_passing_fault(make_sink: MakeSink) -> None:
    settings = Settings(base_url="https://hydro.invalid/events", secrets=(SECRET,))

    fault = failed(make_sink(settings).send(MESSAGES))

    assert fault.is_passing
    assert "gaierror" in fault.problem


def test_a_gateway_that_does_not_accept_is_a_passing_fault(
    make_sink: MakeSink,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the queue is full: further connections hang
            filler.settimeout(0)
            filler.connect_ex(("127.0.0.1", port))
        settings = Settings(base_url=f"http://127.0.0.1:{port}/", secrets=(SECRET,))
        sink = make_sink(settings, connect_seconds=0.1, total_seconds=20)

        fault = failed(sink.send(MESSAGES))

        for filler in fillers:
            filler.close()
    assert fault.is_passing


# They would take minutes: the time-out of one read is never met.
DRIPPING = {
    "header": Scripted(headers={"X": "y" * 10_000}, byte_seconds=0.05),
    "body": Scripted(body=b"x" * 10_000, byte_seconds=0.05),
    "no length": Scripted(body=b"x" * 10_000, byte_seconds=0.05, declares_length=False),
}


@pytest.mark.parametrize("answer", DRIPPING.values(), ids=DRIPPING)
def test_an_answer_that_drips_ends_at_the_deadline(
    make_sink: MakeSink, answer: Scripted
) -> None:
    with ScriptedGateway([answer]) as gateway:
        sink = make_sink(gateway.settings(), total_seconds=0.3)

        fault = failed(sink.send(MESSAGES))

        assert fault == Fault(problem="no whole answer within 0.3 s")


def test_no_answer_ends_at_the_deadline(make_sink: MakeSink) -> None:
    never = threading.Event()
    with ScriptedGateway([Scripted(awaits=never)]) as gateway:
        sink = make_sink(gateway.settings(), total_seconds=0.3)

        fault = failed(sink.send(MESSAGES))
        never.set()

        assert fault == Fault(problem="no whole answer within 0.3 s")


def test_a_deadline_is_kept_while_a_later_one_is_ahead(make_sink: MakeSink) -> None:
    never = threading.Event()
    answers = [Scripted(), Scripted(awaits=never)]
    with ScriptedGateway(answers) as gateway, ThreadPoolExecutor() as threads:
        answered(make_sink(gateway.settings(), total_seconds=60).send(MESSAGES))
        sink = make_sink(gateway.settings(), total_seconds=0.3)

        sent = threads.submit(sink.send, MESSAGES)

        assert failed(sent.result(10)).problem == "no whole answer within 0.3 s"
        never.set()


def test_the_deadline_also_holds_on_a_connection_kept_alive(
    make_sink: MakeSink,
) -> None:
    answers = [Scripted(), DRIPPING["header"], Scripted()]
    with ScriptedGateway(answers) as gateway:
        sink = make_sink(gateway.settings(), total_seconds=2.0)
        answered(sink.send(MESSAGES))

        failed(sink.send(MESSAGES))

        first, second = gateway.requests
        assert first.client_port == second.client_port
        assert answered(sink.send(MESSAGES)).status == 200


def test_an_answer_that_breaks_off_is_a_passing_fault(make_sink: MakeSink) -> None:
    cut = Scripted(
        body=b"short", headers={"Content-Length": "999"}, declares_length=False
    )
    with ScriptedGateway([cut]) as gateway:
        fault = failed(make_sink(gateway.settings()).send(MESSAGES))

        assert fault.is_passing


def test_an_endless_answer_is_read_up_to_a_limit(make_sink: MakeSink) -> None:
    endless = Scripted(
        status=422,
        body=b"x" * (MAX_ANSWER + 100),
        headers={"Content-Length": str(10 * MAX_ANSWER)},
        declares_length=False,
    )
    with ScriptedGateway([endless]) as gateway:
        reply = answered(make_sink(gateway.settings()).send(MESSAGES))

        assert reply.status == 422
        assert len(reply.body) == MAX_ANSWER


def test_a_packed_answer_is_not_unpacked(make_sink: MakeSink) -> None:
    packed = Scripted(body=b"no gzip", headers={"Content-Encoding": "gzip"})
    with ScriptedGateway([packed]) as gateway:
        reply = answered(make_sink(gateway.settings()).send(MESSAGES))

        assert reply.body == b"no gzip"
        assert gateway.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.fixture
def untrusted(tmp_path: Path) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate that nobody signed."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
        " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def test_a_certificate_that_is_not_trusted_is_a_configuration_fault(
    untrusted: ssl.SSLContext, make_sink: MakeSink
) -> None:
    with ScriptedGateway(tls=untrusted) as gateway:
        fault = failed(make_sink(gateway.settings()).send(MESSAGES))

        assert not fault.is_passing
        assert "not trusted" in fault.problem
        assert gateway.requests == []


def test_a_handshake_that_never_comes_ends_at_the_deadline(
    make_sink: MakeSink,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = Settings(base_url=f"https://127.0.0.1:{port}/", secrets=(SECRET,))
        sink = make_sink(settings, connect_seconds=20, total_seconds=0.3)

        fault = failed(sink.send(MESSAGES))

        assert fault == Fault(problem="no whole answer within 0.3 s")


def test_a_forked_child_has_a_connection_and_deadlines_of_its_own() -> None:
    # In a process of its own: this one may have threads, which do not survive a fork.
    never = threading.Event()
    answers = [Scripted(), Scripted(), Scripted(awaits=never), Scripted()]
    with ScriptedGateway(answers) as gateway:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FORKING, gateway.url],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": ""},
            timeout=30,
        )
        never.set()

        assert (done.returncode, done.stderr) == (0, "")
        parent, child, _, again = (each.client_port for each in gateway.requests)
        assert parent == again != child


FORKING = """
import os, sys, warnings
from hydro_hooks.settings import Settings
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.http import HttpSink
# From Python 3.12 on it is said that there are threads.
warnings.filterwarnings("ignore", "This process .* is multi-threaded")
sink = HttpSink(Settings(base_url=sys.argv[1], secrets=("s",)), total_seconds=1.0)
send = lambda: sink.send([Message(event_id="1", schema="s", value="{}")])
assert send().status == 200
child = os.fork()
if child == 0:
    assert send().status == 200
    assert "within 1 s" in send().problem  # the child's own deadline
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert send().status == 200
sink.close()
"""


def test_no_secret_signature_or_payload_is_shown_or_logged(
    make_sink: MakeSink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    signature = HydroHmac([SECRET])(
        OutgoingRequest(
            method="POST",
            url="",
            body=body_of(MESSAGES),
            event_ids=(),
            sent_at=datetime.now(UTC),
        )
    )["Authorization"].partition(" ")[2]
    with ScriptedGateway([Scripted(resets=True), Scripted()]) as gateway:
        sink = make_sink(gateway.settings())

        replies = [sink.send(MESSAGES), sink.send(MESSAGES)]

    shown = repr(sink) + repr(replies) + repr(MESSAGES) + caplog.text
    assert SECRET not in shown
    assert signature not in shown
    assert "payload" not in shown


@pytest.mark.parametrize(
    "url", [None, "http://hydro.example/events", "ftp://127.0.0.1/"]
)
def test_a_url_that_signed_events_may_not_go_to_is_refused(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="HYDRO_BASE_URL"):
        HttpSink(Settings(base_url=url, secrets=(SECRET,)))
