from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scripted_gateway import ScriptedGateway
from sqlalchemy import Engine, create_engine
from test_journal import HOST, SECRET, installation, record, settle

from hydro_hooks import claims, creation, outbox
from hydro_hooks.claims import Wait
from hydro_hooks.cli.commands import hydro_hooks
from hydro_hooks.cli.waiting import waiting_lines
from hydro_hooks.transition import Action


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    creation.create_tables(engine)
    yield engine
    engine.dispose()


def run(*arguments: str, **environment: str) -> Result:
    environment = {"HYDRO_APP_SECRET": SECRET, **environment}
    return CliRunner().invoke(hydro_hooks, arguments, env=environment)


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a running command; it is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hydro_hooks.cli", *arguments],
        env={**os.environ, "HYDRO_APP_SECRET": SECRET},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def a_gateway(folder: Path, *arguments: str) -> Iterator[str]:
    """Yield the URL to post to of a running gateway, which ends cleanly by SIGTERM."""
    with started("gateway", "--port", "0", *arguments, cwd=folder) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield url
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_relay_once_delivers_to_the_gateway_where_why_answers_too(
    app: Engine, tmp_path: Path
) -> None:
    events = [installation(Action.CREATE), installation(Action.DISABLE, day=1)]
    record(app, *events)
    app_url = str(app.url)

    with a_gateway(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")
        result = run("relay", "--once", "--database", app_url, "--url", url)
        again = run("relay", "--once", "--json", "--database", app_url, "--url", url)

    gateway_url = f"sqlite:///{tmp_path / 'hydro-gateway.db'}"
    ours = run("why", HOST, "--database", app_url)
    theirs = run("why", HOST, "--database", gateway_url)
    raw = run("show", events[0].id, "--raw", "--database", gateway_url)
    assert result.exit_code == 0
    assert result.stdout == "2 delivered, 0 rejected, 0 waiting\n"
    assert json.loads(again.stdout) == {"delivered": 0, "rejected": 0, "waiting": 0}
    assert ours.stdout == theirs.stdout
    assert "installation 19 is disabled since 2026-03-02 12:00:00 UTC" in ours.stdout
    assert "not delivered" not in ours.stdout
    assert "signature valid" in raw.stderr


def test_the_gateway_accepts_the_apps_it_is_told(app: Engine, tmp_path: Path) -> None:
    record(app, installation(Action.CREATE))

    with a_gateway(tmp_path, "--app", "first", "--app", "second") as url:
        arguments = ("relay", "--once", "--database", str(app.url), "--url", url)
        refused = run(*arguments)
        accepted = run(*arguments, HYDRO_APP="second")

    assert (refused.exit_code, accepted.exit_code) == (1, 0)
    assert refused.stdout == "0 delivered, 0 rejected, 1 waiting\n"
    assert accepted.stdout == "1 delivered, 0 rejected, 0 waiting\n"


def test_a_users_own_schema_goes_from_the_relay_to_the_gateway(
    app: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.json"
    properties: dict[str, object] = {"eventId": {}, "type": {}, "jiraHostname": {}}
    path.write_text(json.dumps({"title": "acme.v1.Change", "properties": properties}))
    record(app, installation(Action.CREATE))
    monkeypatch.setenv("HYDRO_SCHEMA", str(path))

    with a_gateway(tmp_path) as url:
        result = run("relay", "--once", "--database", str(app.url), "--url", url)

    place = ("--database", f"sqlite:///{tmp_path / 'hydro-gateway.db'}")
    [line] = run("history", HOST, "--json", *place).stdout.splitlines()
    assert result.stdout == "1 delivered, 0 rejected, 0 waiting\n"
    assert json.loads(line)["schema"] == "acme.v1.Change"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_relay_delivers_until_a_signal_stops_it(
    app: Engine, tmp_path: Path, number: signal.Signals
) -> None:
    record(app, installation(Action.CREATE))
    place = ("--database", str(app.url))

    with (
        a_gateway(tmp_path) as url,
        started("relay", *place, "--url", url, cwd=tmp_path) as process,
    ):
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(number)
        _, rest = process.communicate(timeout=30)

    assert lines[0] == f"delivering to {url} until SIGTERM or SIGINT\n"
    assert "Delivered 1 event, 0 refused" in lines[1]
    assert process.returncode == 0
    assert rest.endswith("stopped; what is not delivered stays in the outbox\n")
    assert "not delivered yet" not in run("why", HOST, *place).stdout


def test_a_relay_whose_gateway_is_away_keeps_everything_and_exits_with_1(
    app: Engine,
) -> None:
    record(app, installation(Action.CREATE))

    result = run(
        *("relay", "--once", "--database", str(app.url)),
        *("--url", "http://127.0.0.1:1/api/v1/events"),
    )

    assert result.exit_code == 1
    assert result.stdout == "0 delivered, 0 rejected, 1 waiting\n"
    assert SECRET not in result.output


def test_a_relay_without_a_secret_or_while_tracking_is_off_refuses(app: Engine) -> None:
    arguments = ("relay", "--database", str(app.url), "--url", "https://hydro.example/")

    without = run(*arguments, HYDRO_APP_SECRET="")
    disabled = run(*arguments, TRACKING_DISABLED="1")

    assert (without.exit_code, disabled.exit_code) == (1, 1)
    assert "refusing to sign with an empty key" in without.stderr
    assert "TRACKING_DISABLED is set" in disabled.stderr


def test_a_relay_with_an_unknown_schema_says_which_there_are(app: Engine) -> None:
    result = run(
        *("relay", "--database", str(app.url), "--url", "https://hydro.example/"),
        HYDRO_SCHEMA="jira.v9.Action",
    )

    assert result.exit_code == 1
    assert "neither one of jira.v0.Action, jira.v1.Action" in result.stderr


def test_a_gateway_without_a_secret_refuses_with_the_remedy(tmp_path: Path) -> None:
    store = tmp_path / "gateway.db"

    result = run("gateway", "--database", f"sqlite:///{store}", HYDRO_APP_SECRET="")

    assert result.exit_code == 1
    assert "HYDRO_APP_SECRET is unset or empty" in result.stderr
    assert not store.exists()


def test_a_gateway_refuses_the_database_of_an_app(app: Engine) -> None:
    result = run("gateway", "--port", "0", "--database", str(app.url))

    assert result.exit_code == 1
    assert "belongs to an app" in result.stderr


def test_a_gateway_whose_port_is_taken_says_so_in_one_line(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as url:
        port = url.split(":")[2].partition("/")[0]
        result = run(
            *("gateway", "--port", port),
            *("--database", f"sqlite:///{tmp_path / 'second.db'}"),
        )

    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_reader_that_stops_reading_ends_history_without_a_traceback(
    app: Engine, tmp_path: Path
) -> None:
    settle(app, *(installation(Action.ENABLE, note="x" * 2000) for _ in range(200)))
    arguments = ("history", HOST, "--limit", "200", "--database", str(app.url))

    with started(*arguments, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert said == ""


def test_letters_that_the_terminal_lacks_are_escaped(
    app: Engine, tmp_path: Path
) -> None:
    event = installation(Action.CREATE, jira_hostname="https://日.jira.com")
    settle(app, event)

    result = subprocess.run(
        [sys.executable, "-m", "hydro_hooks.cli", "why", "19"],
        env={
            **os.environ,
            "PYTHONIOENCODING": "latin-1",
            "HYDRO_DATABASE_URL": str(app.url),
        },
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 0
    assert result.stdout.startswith(b"https://\\u65e5.jira.com: installation 19 is")


def test_raw_bytes_are_escaped_where_stdout_is_a_terminal(
    app: Engine, tmp_path: Path
) -> None:
    event = installation(Action.CREATE, note="\x9b31m\u202e")
    settle(app, event)
    ours, theirs = os.openpty()

    with started_on(theirs, "show", event.id, "--raw", "--database", str(app.url)):
        os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)

    assert "\\x9b31m\\u202e" in shown
    assert all(letter.isprintable() or letter in "\r\n" for letter in shown)


@contextmanager
def started_on(terminal: int, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hydro_hooks.cli", *arguments],
        stdout=terminal,
        stderr=subprocess.DEVNULL,
    )
    with process:
        yield
    assert process.returncode == 0


def test_relay_once_says_why_events_wait_and_until_when(
    app: Engine, tmp_path: Path
) -> None:
    record(app, installation(Action.CREATE), installation(Action.ENABLE, day=1))

    with a_gateway(tmp_path) as url:
        place = ("relay", "--once", "--database", str(app.url), "--url", url)
        refused = run(*place, HYDRO_APP_SECRET="wrong")
        delivered = run(*place)

    assert re.fullmatch(
        r"2 wait until \d\d:\d\d:\d\d UTC: the gateway answered 401; it refuses the"
        r" signature: check HYDRO_APP_SECRET",
        refused.stderr.splitlines()[-1],
    )
    assert refused.exit_code == 1
    assert delivered.stdout == "2 delivered, 0 rejected, 0 waiting\n"
    assert "wait until" not in delivered.stderr


def test_relay_once_says_that_another_relay_holds_the_events(app: Engine) -> None:
    record(app, event := installation(Action.CREATE))
    claims.ready_shards(app)
    number = outbox.shard_of(event.aggregate_id)
    assert claims.claim(app, number, timedelta(minutes=1))

    result = run(
        *("relay", "--once", "--json", "--database", str(app.url)),
        *("--url", "http://127.0.0.1:1/api/v1/events"),
    )

    assert result.exit_code == 1
    assert json.loads(result.stdout)["waiting"] == 1
    assert re.fullmatch(
        r"1 waits until \d\d:\d\d:\d\d UTC: another relay holds the lease\n",
        result.stderr,
    )


def test_causes_of_waiting_are_added_up_and_told_apart() -> None:
    noon = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
    causes: list[tuple[int, datetime | None, str | None]] = [
        (3, noon, "a fault"),
        (4, noon + timedelta(seconds=5), "a fault"),
        (1, noon, None),
        (2, None, "a fault"),
        (5, None, None),
    ]

    lines = waiting_lines(
        Wait(count=count, leased_until=None, not_before=not_before, fault=fault)
        for count, not_before, fault in causes
    )

    assert list(lines) == [
        "7 wait until 12:00:06 UTC: a fault",
        "1 waits until 12:00:01 UTC: the last try failed",
        "2 wait: a fault; they may be tried again now",
        "5 wait: nothing holds them back; run a relay",
    ]


def test_relay_signs_by_what_the_environment_names(app: Engine, tmp_path: Path) -> None:
    record(app, installation(Action.CREATE))
    (tmp_path / "our_signing.py").write_text(
        "def sign(request):\n    return {'X-Signature': str(len(request.body))}\n"
    )
    with ScriptedGateway() as gateway:
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "hydro-hooks"),
                *("relay", "--once", "--url", gateway.url),
                *("--database", str(app.url)),
            ],
            env={**os.environ, "HYDRO_SIGNER": "our_signing:sign"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert (done.returncode, done.stdout) == (0, "1 delivered, 0 rejected, 0 waiting\n")
    [request] = gateway.requests
    assert request.headers["X-Signature"] == str(len(request.body))
