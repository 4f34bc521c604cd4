"""`hydro-hooks doctor`: what it finds, each failure provoked for real."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import Result
from database_users import PASSWORD, own, user_without
from databases import Database
from delivering import SHARD
from kafka_cluster import KafkaCluster
from sample_events import ids_in, record, rows_in, sample_event, sample_events
from scripted_gateway import SECRET, Received, Scripted, ScriptedGateway
from sqlalchemy import Engine, create_engine, text, update
from test_cli import run, url
from test_cli_extras import run_without
from test_cli_outbox import refuse
from test_http_sink import untrusted

from hydro_hooks import claims, creation, tables
from hydro_hooks.diagnosis import Outcome, examine_gateway, examine_topic
from hydro_hooks.diagnosis.database import compare_clocks
from hydro_hooks.settings import Settings
from hydro_hooks.signing import HydroHmac
from hydro_hooks.testing.gateway import LocalGateway

__all__ = ["untrusted", "url"]

OTHER_SECRET = "b5ce9e57c0ab7d5c9d3b8f6c9d7f2f41"
SETTINGS = ["variables", "settings", "schema", "signer", "registration"]
DATABASE = ["database", "clock", "tables", "writing", "waiting", "rejected"]
GATEWAY = ["gateway", "signature"]

Findings = dict[str, tuple[str, str]]
"""By check, its outcome and its text."""


def doctor(*arguments: str, **environment: str) -> Result:
    """Run the doctor; whatever it finds, it tells no secret."""
    result = run("doctor", *arguments, **{"HYDRO_APP_SECRET": SECRET, **environment})
    for secret in (SECRET, OTHER_SECRET, PASSWORD, "Hydro "):
        assert secret not in result.output
    return result


def findings(result: Result) -> Findings:
    told = [json.loads(line) for line in result.stdout.splitlines()]
    found = {line["check"]: (line["outcome"], line["text"]) for line in told}
    assert len(found) == len(told)
    has_failed = any(outcome == "failed" for outcome, _ in found.values())
    assert result.exit_code == (1 if has_failed else 0), result.output
    return found


def examined(database: str, *arguments: str, **environment: str) -> Findings:
    return findings(doctor("--json", "--database", database, *arguments, **environment))


def outcomes(found: Findings) -> dict[str, str]:
    return {check: outcome for check, (outcome, _) in found.items()}


@pytest.fixture
def app(tmp_path: Path) -> str:
    """Return the URL of an app's database, where its kind does not matter."""
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    creation.create_tables(engine)
    engine.dispose()
    return str(engine.url)


def test_a_house_in_order_is_told_line_by_line(engine: Engine, url: str) -> None:
    ids = record(engine, sample_events(2))
    with LocalGateway(secrets=[SECRET]) as gateway:
        result = doctor("--database", url, "--url", gateway.url)

        assert (gateway.events(), gateway.requests()) == ([], [])
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{'not checked' if check == 'registration' else 'ok':<11}  {check}"
        for check in (*SETTINGS, *DATABASE, *GATEWAY)
    ]
    assert f"events go to {gateway.url} in the name of jira-integration" in lines[1]
    shown = engine.url.set(query={}).render_as_string(hide_password=True)
    assert lines[5].endswith(f" answers at {shown}")
    assert lines[-3:] == [
        "ok           rejected: no event is rejected",
        "ok           gateway: it answers (422)",
        "ok           signature: the secret is taken",
    ]
    assert result.exit_code == 0
    assert ids_in(engine, tables.outbox) == ids


def test_nothing_is_left_in_the_database(engine: Engine, url: str) -> None:
    found = examined(url)

    assert found["writing"][0] == "ok"
    for table in tables.metadata.tables.values():
        if table is not tables.meta:
            assert rows_in(engine, table) == []


def test_nothing_is_left_where_the_url_asks_for_autocommit(
    engine: Engine, url: str
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("its driver knows no such option before Python 3.12")

    found = examined(f"{url}?autocommit=true")

    assert found["writing"][0] == "ok"
    assert ids_in(engine, tables.outbox) == []
    assert ids_in(engine, tables.journal) == []


def test_as_json_each_check_is_a_line(app: str) -> None:
    result = doctor("--json", "--database", app)

    assert [set(json.loads(line)) for line in result.stdout.splitlines()] == [
        {"check", "outcome", "text"}
    ] * 13


def test_whether_the_app_registers_is_said_to_be_unknown(app: str) -> None:
    assert examined(app)["registration"] == (
        "not checked",
        "only the app knows whether register() runs in each of its processes; have it"
        " call hooks.check(engine) there",
    )


def test_misspelt_variables_are_warned_of_without_what_they_hold(app: str) -> None:
    found = examined(
        app,
        HYDRO_URL="https://hydro.example/",
        HYDRO_SECRET=OTHER_SECRET,
        HYDRO_BASEURL="https://hydro.example/",
        HYDRO_TRACKING_DISABLED="true",
        HYDRO_QQQ="x",
        HYDRO_WEB_TOKEN="x",
        HYDRO_TEST_OF_MINE="x",
        HYDRO_FAULTS="short",
    )

    unread = "is set, and nothing reads it"
    assert found["variables"] == (
        "warning",
        f"HYDRO_BASEURL {unread}: did you mean HYDRO_BASE_URL?;"
        f" HYDRO_QQQ {unread}: unset it, or see README.md;"
        f" HYDRO_SECRET {unread}: did you mean HYDRO_APP_SECRET?;"
        f" HYDRO_TRACKING_DISABLED {unread}: did you mean TRACKING_DISABLED?;"
        f" HYDRO_URL {unread}: did you mean HYDRO_BASE_URL?",
    )


def test_a_column_that_is_too_small_is_no_lack_of_privileges(
    engine: Engine, url: str
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("it takes text of any length")
    change = {
        "postgresql": "ALTER TABLE hydro_outbox ALTER reason TYPE varchar(1)",
        "mariadb": "ALTER TABLE hydro_outbox MODIFY reason varchar(1) NOT NULL",
    }[engine.dialect.name]
    with engine.begin() as connection:
        connection.execute(text(change))

    outcome, said = examined(url)["writing"]
    tables.outbox.drop(engine)  # the next test has it made anew

    assert outcome == "failed"
    assert ": INSERT into hydro_outbox is refused (" in said
    assert said.endswith(
        "): a column of the table is smaller than it has to be: compare it with what"
        " create_tables(engine) or a migration with op.create_hydro_tables() makes"
    )


def test_wrong_usage_exits_with_2(app: str) -> None:
    for arguments in (
        (),
        ("--database", "shop.db"),
        ("--database", app, "--url", "http://hydro.example/"),
    ):
        assert doctor(*arguments).exit_code == 2


def test_without_a_url_events_are_kept_which_is_no_failure(app: str) -> None:
    found = examined(app, HYDRO_APP_SECRET="")

    assert found["settings"][0] == "warning"
    assert (
        "HYDRO_BASE_URL is not set: events are recorded and kept"
        in (found["settings"][1])
    )
    assert found["signer"][0] == "not checked"
    assert found["gateway"] == ("not checked", "HYDRO_BASE_URL is not set")


def test_while_tracking_is_off_nothing_is_sent(app: str) -> None:
    with ScriptedGateway() as gateway:
        found = examined(app, "--url", gateway.url, TRACKING_DISABLED="1")

    assert found["settings"][0] == "warning"
    assert "TRACKING_DISABLED is set" in found["settings"][1]
    assert outcomes(found)["gateway"] == "not checked"
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"HYDRO_BASE_URL": "https://h.example/", "HYDRO_APP_SECRET": ""}, "empty key"),
        ({"HYDRO_BASE_URL": "http://h.example/"}, "in clear text"),
        ({"HYDRO_BASE_URL": f"https://u:{PASSWORD}@h.example/"}, "take it out"),
        ({"HYDRO_APP": "ä"}, "HYDRO_APP is 'ä'"),
        ({"HYDRO_SIGNER": "sign"}, "give module:attribute"),
        ({"TRACKING_DISABLED": "perhaps"}, "give true, or leave it unset"),
    ],
)
def test_wrong_settings_fail_and_the_database_is_still_looked_at(
    app: str, environment: dict[str, str], words: str
) -> None:
    found = examined(app, **environment)

    assert found["settings"][0] == "failed"
    assert words in found["settings"][1]
    assert {found[check][0] for check in DATABASE} == {"ok"}
    for check in ("schema", "signer", *GATEWAY):
        assert found[check][0] == "not checked"


def test_kafka_elsewhere_fails_unless_it_is_said_how_to_reach_it(app: str) -> None:
    found = examined(app, "--url", "kafka://kafka.example:9092/hydro")

    assert found["settings"][0] == "failed"
    assert "security.protocol" in found["settings"][1]
    assert outcomes(found)["gateway"] == "not checked"


def test_a_query_of_the_url_is_not_told(app: str) -> None:
    with LocalGateway(secrets=[SECRET]) as gateway:
        result = doctor("--database", app, "--url", f"{gateway.url}?key=t0ken")

    assert result.exit_code == 0
    assert "t0ken" not in result.output


@pytest.mark.parametrize(
    ("document", "outcome", "words"),
    [
        (None, "failed", "neither one of jira.v0.Action, jira.v1.Action"),
        ({"title": "a", "properties": {"note": {"type": 1}}}, "failed", "is not valid"),
        (
            {"title": "a", "properties": {"note": {"$ref": "#/$defs/b"}}},
            "failed",
            "refers to '/$defs/b'",
        ),
        (
            {"title": "a", "properties": {}, "required": ["tenant"]},
            "warning",
            "'tenant' is a required property",
        ),
        ({"title": "a", "properties": {"note": {}}}, "ok", "a is loaded"),
    ],
)
def test_the_schema_is_loaded_and_tried(
    app: str, tmp_path: Path, document: object, outcome: str, words: str
) -> None:
    path = tmp_path / "mine.json"
    if document is not None:
        path.write_text(json.dumps(document))

    found = examined(app, HYDRO_SCHEMA=str(path))

    assert found["schema"][0] == outcome
    assert words in found["schema"][1]


@pytest.mark.parametrize("name", ["jira.v0.Action", "jira.v1.Action"])
def test_each_packaged_schema_takes_every_event(app: str, name: str) -> None:
    assert examined(app, HYDRO_SCHEMA=name)["schema"][0] == "ok"


SIGNERS = f"""
def good(request):
    return {{"X-Signature": str(len(request.body))}}

def bad(request):
    raise LookupError("the key {SECRET} is bad")
"""


def signed_by(name: str, folder: Path, *arguments: str) -> Findings:
    """Return what the doctor finds, as a process in the folder of the signer."""
    (folder / "our_signing.py").write_text(SIGNERS)
    done = subprocess.run(
        [Path(sys.executable).parent / "hydro-hooks", "doctor", "--json", *arguments],
        env={**os.environ, "HYDRO_SIGNER": f"our_signing:{name}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert SECRET not in done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["check"]: (line["outcome"], line["text"]) for line in told}


def test_a_signer_of_the_apps_own_is_loaded_and_tried(app: str, tmp_path: Path) -> None:
    with ScriptedGateway([Scripted(), Scripted(status=401)]) as gateway:
        arguments = ("--database", app, "--url", gateway.url)
        taken = signed_by("good", tmp_path, *arguments)
        refused = signed_by("good", tmp_path, *arguments)
        failing = signed_by("bad", tmp_path, *arguments)
        missing = signed_by("none", tmp_path, *arguments)

    assert taken["signer"] == ("ok", "our_signing:good adds X-Signature")
    assert taken["signature"] == ("ok", "what our_signing:good adds is taken")
    assert refused["signature"] == (
        "failed",
        "what our_signing:good adds is refused (401): check HYDRO_SIGNER",
    )
    assert failing["signer"][0] == missing["signer"][0] == "failed"
    assert (
        "our_signing:bad fails on a request without events (LookupError)"
        in (failing["signer"][1])
    )
    assert "AttributeError" in missing["signer"][1]
    assert failing["gateway"][0] == missing["gateway"][0] == "not checked"
    [request, _] = gateway.requests
    assert request.headers["X-Signature"] == str(len(request.body))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/app", "does its server run"),
        (f"mariadb+pymysql://u:{PASSWORD}@127.0.0.1:1/app", "does its server run"),
        ("sqlite:////no/such/file.db", "there is no file /no/such/file.db"),
        ("sqlite://", "in memory is empty"),
        (f"oracle+oracledb://u:{PASSWORD}@127.0.0.1/app", "cannot work on oracle"),
    ],
)
def test_a_database_that_cannot_be_used_fails_and_the_gateway_is_still_looked_at(
    place: str, words: str
) -> None:
    with LocalGateway(secrets=[SECRET]) as gateway:
        found = examined(place, "--url", gateway.url)

    assert found["database"][0] == "failed"
    assert words in found["database"][1]
    assert {found[check][0] for check in DATABASE[1:]} == {"not checked"}
    assert [found[check][0] for check in GATEWAY] == ["ok", "ok"]


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the rows you are looking for" * 100)

    found = examined(f"sqlite:///{path}")

    assert "failed" in {found["database"][0], found["tables"][0]}


def test_each_table_that_is_missing_is_named(database: Database) -> None:
    with own(database) as engine:
        tables.shard.drop(engine)
        tables.rejected.drop(engine)

        found = examined(database.text_url)

    assert found["tables"] == (
        "failed",
        "hydro_rejected, hydro_shard are missing, though hydro_meta says that version 2"
        " is there: make what was dropped by create_tables(engine)",
    )
    for check in ("writing", "waiting", "rejected"):
        assert found[check][0] == "not checked"
    assert found["clock"][0] == "ok"


def test_each_column_that_is_missing_is_named(database: Database) -> None:
    with own(database) as engine, engine.begin() as connection:
        for table, column in (
            ("hydro_shard", "fault"),
            ("hydro_shard", "is_held"),
            ("hydro_outbox", "note"),
        ):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))

    found = examined(database.text_url)

    assert found["tables"] == (
        "failed",
        "hydro_outbox has no column note; hydro_shard has no column fault, is_held: add"
        " what is missing by a migration",
    )
    assert found["writing"][0] == "not checked"


def test_a_table_that_cannot_roll_back_fails_and_is_not_written_to(
    database: Database,
) -> None:
    if database.kind != "mariadb":
        pytest.skip("only MariaDB and MySQL have such tables")
    with own(database) as engine:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE hydro_outbox ENGINE = MyISAM"))

        found = examined(database.text_url)

        assert ids_in(engine, tables.outbox) == []
    assert found["tables"] == (
        "failed",
        "hydro_outbox cannot roll back: ALTER TABLE ... ENGINE = InnoDB",
    )
    assert found["writing"][0] == "not checked"


STEPS = {
    ("hydro_outbox", "INSERT"): "INSERT into hydro_outbox",
    ("hydro_journal", "INSERT"): "INSERT into hydro_journal",
    ("hydro_rejected", "INSERT"): "INSERT into hydro_rejected",
    ("hydro_outbox", "DELETE"): "DELETE from hydro_outbox",
    ("hydro_shard", "INSERT"): "INSERT into hydro_shard",
    ("hydro_shard", "UPDATE"): "hydro_shard is refused",
}


@pytest.mark.parametrize(("right", "step"), STEPS.items(), ids=STEPS.values())
def test_a_privilege_that_is_missing_is_told_by_what_it_stops(
    database: Database, right: tuple[str, str], step: str
) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has no privileges")
    with user_without(database, *right) as place:
        found = examined(place)

    assert found["writing"][0] == "failed"
    assert step in found["writing"][1]
    assert re.search("denied|permission", found["writing"][1])
    assert "GRANT this user SELECT, INSERT, UPDATE and DELETE" in found["writing"][1]


def test_a_sequence_that_may_not_be_used_is_told(database: Database) -> None:
    if database.kind != "postgresql":
        pytest.skip("only PostgreSQL has sequences of their own rights")
    with user_without(database, "hydro_outbox_seq_seq", "USAGE") as place:
        found = examined(place)

    assert found["writing"][0] == "failed"
    assert "permission denied for sequence" in found["writing"][1]
    assert "USAGE on their sequences" in found["writing"][1]


def test_a_file_that_cannot_be_written_is_told(app: str) -> None:
    path = app.removeprefix("sqlite:///")

    found = examined(f"sqlite:///file:{path}?mode=ro&uri=true")

    assert found["writing"][0] == "failed"
    assert "readonly database" in found["writing"][1]
    assert "make the file and its folder writable" in found["writing"][1]
    assert found["waiting"][0] == "ok"


AGAINST_WRITERS = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "LOCK TABLE hydro_outbox IN EXCLUSIVE MODE",
    "mariadb": "LOCK TABLES hydro_outbox READ",
}
AGAINST_ALL = {
    "sqlite": "BEGIN EXCLUSIVE",
    "postgresql": "LOCK TABLE hydro_outbox",
    "mariadb": "LOCK TABLES hydro_outbox WRITE",
}


@pytest.mark.parametrize(
    ("locks", "checks"),
    [(AGAINST_WRITERS, ["writing"]), (AGAINST_ALL, ["tables", "writing", "waiting"])],
    ids=["writers", "all"],
)
def test_a_table_that_another_holds_is_told_and_not_waited_for_long(
    database: Database, locks: dict[str, str], checks: list[str]
) -> None:
    place = database.text_url
    if database.kind == "sqlite":
        place = f"{place}?timeout=0.1"
    with own(database):
        holder = create_engine(place)
        with holder.connect() as connection:
            connection.exec_driver_sql(locks[database.kind])
            found = examined(place)
            connection.invalidate()  # and the lock ends with it
        holder.dispose()

    failed = [check for check, (outcome, _) in found.items() if outcome == "failed"]
    assert failed
    assert set(failed) <= set(checks)
    for check in failed:
        words = found[check][1]
        assert "lock" in words.lower()
        assert words.endswith(": end the transaction of another process that holds it")


def test_a_server_that_only_reads_is_told(database: Database) -> None:
    if database.kind != "postgresql":
        pytest.skip("PostgreSQL takes it as an option of the connection")
    with own(database):
        options = quote("-cdefault_transaction_read_only=on")
        found = examined(f"{database.text_url}?options={options}")

    assert found["writing"][0] == "failed"
    assert "give the URL of the server that is written to" in found["writing"][1]


def slow(database: Database, engine: Engine) -> str:
    """Return a URL by which the server's clock is an hour slow."""
    if database.kind == "mariadb":
        wanted = datetime.now(UTC) - timedelta(hours=1)
        init = f"SET timestamp = {wanted.timestamp()}"
        url = database.url.update_query_dict({"init_command": init})
        return url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA slow"))
        connection.execute(
            text(
                "CREATE FUNCTION slow.clock_timestamp() RETURNS timestamptz LANGUAGE"
                " sql AS $$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$"
            )
        )
    options = quote("-csearch_path=slow,pg_catalog,public")
    return f"{database.text_url}?options={options}"


def test_clocks_that_are_apart_fail(database: Database) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has the app's clock")
    with own(database) as engine:
        found = examined(slow(database, engine))

    assert found["clock"][0] == "failed"
    assert re.fullmatch(
        r"the database's clock is 3(600\.[0-9]|599\.9) s behind the app's, and leases"
        r" go by the database's clock, the times of events by the app's: set both"
        r" machines by NTP",
        found["clock"][1],
    )


@pytest.mark.parametrize(
    ("ahead", "trip", "outcome", "words"),
    [
        (0.0, 0.0, Outcome.OK, "0.0 s apart"),
        (5.0, 0.0, Outcome.OK, "5.0 s apart"),
        (5.1, 0.0, Outcome.FAILED, "5.1 s ahead of"),
        (-5.1, 0.0, Outcome.FAILED, "5.1 s behind"),
        (5.9, 2.0, Outcome.OK, "5.9 s apart"),
        (6.1, 2.0, Outcome.FAILED, "6.1 s ahead of"),
    ],
)
def test_half_of_the_round_trip_is_in_favour_of_the_clocks(
    ahead: float, trip: float, outcome: Outcome, words: str
) -> None:
    before = datetime(2026, 3, 1, 12, tzinfo=UTC)
    after = before + timedelta(seconds=trip)
    theirs = before + timedelta(seconds=trip / 2 + ahead)

    finding = compare_clocks(before, theirs, after)

    assert finding.outcome is outcome
    assert words in finding.text


@pytest.mark.parametrize(
    ("answer", "gateway", "signature"),
    [
        (Scripted(status=400), "it does not know the sending app: check HYDRO_APP", ""),
        (Scripted(status=404), "check HYDRO_SCHEMA and HYDRO_BASE_URL", ""),
        (Scripted(status=307), "set HYDRO_BASE_URL to the final URL", ""),
        (Scripted(status=204), "no gateway answers so: check HYDRO_BASE_URL", ""),
        (Scripted(status=413), "answers 413 to a request without events", ""),
        (Scripted(status=429), "it is there, but answers 429", ""),
        (Scripted(status=503), "it is there, but answers 503", ""),
        (Scripted(resets=True), "Connection reset by peer); events wait", ""),
        (Scripted(status=401), "", "refused (401): give in HYDRO_APP_SECRET the one"),
        (Scripted(status=403), "", "or look at what is before the gateway"),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_what_the_gateway_answers_is_told_with_the_remedy(
    app: str, answer: Scripted, gateway: str, signature: str
) -> None:
    with ScriptedGateway(lambda _: answer) as there:
        found = examined(app, "--url", there.url)

    if gateway:
        assert found["gateway"][0] == "failed"
        assert gateway in found["gateway"][1]
        assert found["signature"] == ("not checked", "no answer tells of it")
    else:
        assert found["gateway"] == ("ok", f"it answers ({answer.status})")
        assert found["signature"][0] == "failed"
        assert signature in found["signature"][1]
    [request] = there.requests
    assert request.body == b'{"events":[]}'


def test_a_gateway_that_is_not_there_is_told(app: str) -> None:
    with ScriptedGateway() as gone:
        place = gone.url

    found = examined(app, "--url", place)

    assert found["gateway"][0] == "failed"
    assert "Connection refused" in found["gateway"][1]
    assert "check HYDRO_BASE_URL, the network" in found["gateway"][1]


def test_a_gateway_that_never_answers_is_told() -> None:
    never = threading.Event()
    with ScriptedGateway([Scripted(awaits=never)]) as gateway:
        found = examine_gateway(gateway.settings(), total_seconds=0.3)
        never.set()

    assert found[0].outcome is Outcome.FAILED
    assert found[0].text.startswith("no whole answer within 0.3 s; events wait")
    assert found[1].outcome is Outcome.NOT_CHECKED


def test_a_certificate_that_is_not_trusted_is_told(
    app: str, untrusted: ssl.SSLContext
) -> None:
    with ScriptedGateway(tls=untrusted) as gateway:
        found = examined(app, "--url", gateway.url)

    assert found["gateway"][0] == "failed"
    assert "certificate is not trusted" in found["gateway"][1]


def test_our_gateway_tells_what_is_wrong(app: str) -> None:
    with LocalGateway(secrets=[SECRET]) as gateway:
        place = gateway.url
        wrong_path = examined(app, "--url", f"{place}/more")
        wrong_app = examined(app, "--url", place, HYDRO_APP="other")
        wrong_secret = examined(app, "--url", place, HYDRO_APP_SECRET=OTHER_SECRET)
        right = examined(app, "--url", place)

        assert (gateway.events(), gateway.requests()) == ([], [])
    assert [wrong["gateway"][0] for wrong in (wrong_path, wrong_app)] == ["failed"] * 2
    assert "404" in wrong_path["gateway"][1]
    assert "HYDRO_APP" in wrong_app["gateway"][1]
    assert wrong_secret["signature"][0] == "failed"
    assert outcomes(right)["signature"] == "ok"


@pytest.mark.parametrize(
    ("given", "outcome", "words"),
    [
        (["a", "b"], "ok", "takes numbers 1, 2 of 2"),
        (["a", "x"], "ok", "takes number 1 of 2, and refuses number 2"),
        (
            ["x", "y", "b"],
            "warning",
            "takes number 3 of 3, and refuses numbers 1, 2: put one that it takes",
        ),
        (["x", "y"], "failed", "numbers 1, 2 of 2 are refused (401): give in"),
    ],
)
def test_of_several_secrets_it_is_told_by_number_which_are_taken(
    app: str, given: list[str], outcome: str, words: str
) -> None:
    a, b, x, y = (f"{OTHER_SECRET}{letter}" for letter in "abxy")
    by_name = {"a": a, "b": b, "x": x, "y": y}
    secrets = " ".join(by_name[name] for name in given)
    with LocalGateway(secrets=[a, b]) as gateway:
        found = examined(app, "--url", gateway.url, HYDRO_APP_SECRET=secrets)

    assert found["signature"][0] == outcome
    assert words in found["signature"][1]
    assert found["gateway"][0] == "ok"


def test_once_the_gateway_ails_no_other_secret_is_tried(app: str) -> None:
    answers = [Scripted(status=401), Scripted(status=503)]
    with ScriptedGateway(answers) as gateway:
        found = examined(app, "--url", gateway.url, HYDRO_APP_SECRET="a1 b2 c3")

    assert len(gateway.requests) == 2
    assert "answers 503" in found["gateway"][1]
    assert found["signature"][0] == "failed"
    assert "number 1 of 3 is refused" in found["signature"][1]


def test_a_gateway_that_takes_any_signature_proves_nothing(app: str) -> None:
    with ScriptedGateway() as gateway:
        found = examined(app, "--url", gateway.url)

    assert found["gateway"] == ("ok", "it answers (200)")
    assert found["signature"][0] == "warning"
    assert "takes a wrong signature too" in found["signature"][1]
    ours, wrong = gateway.requests
    known = HydroHmac([SECRET])
    assert known.verify(ours.body, ours.headers["Authorization"])
    assert not known.verify(wrong.body, wrong.headers["Authorization"])


def test_what_a_gateway_echoes_is_not_told(app: str) -> None:
    def echo(request: Received) -> Scripted:
        return Scripted(status=422, body=f"{SECRET} {request.headers}".encode())

    with ScriptedGateway(echo) as gateway:
        found = examined(app, "--url", gateway.url)

    assert found["gateway"] == ("ok", "it answers (422)")


def test_a_topic_is_looked_for_and_nothing_is_produced(app: str) -> None:
    with KafkaCluster() as cluster:
        absent = examined(app, "--url", cluster.url())
        ids = produce(cluster, app)
        there = examined(app, "--url", cluster.url())
        assert [dict(its.headers())["id"].decode() for its in cluster.messages()] == ids

    assert absent["topic"][0] == "failed"
    assert "the brokers know no topic hydro" in absent["topic"][1]
    assert "make it" in absent["topic"][1]
    assert there["topic"] == ("ok", "it is there, with 4 partitions")
    assert there["signer"][0] == "not checked"
    assert not {"gateway", "signature"} & there.keys()


def produce(cluster: KafkaCluster, place: str) -> list[str]:
    engine = create_engine(place)
    ids = record(engine, [sample_event()])
    engine.dispose()
    done = run("relay", "--once", "--database", place, "--url", cluster.url())
    assert done.exit_code == 0
    return ids


def test_brokers_that_are_down_are_told() -> None:
    with KafkaCluster() as cluster:
        cluster.set_down()
        found = examine_topic(Settings(base_url=cluster.url()), total_seconds=1.0)

    assert found.outcome is Outcome.FAILED
    assert "Kafka cannot be reached" in found.text
    assert "check the brokers in HYDRO_BASE_URL" in found.text


def test_settings_that_librdkafka_refuses_are_told(app: str, tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(f"security.protocol=SASL_PLAINTEXT\nsasl.pass={PASSWORD}\n")

    found = examined(
        app, "--url", "kafka://127.0.0.1:1/t", HYDRO_KAFKA_CONFIG=str(path)
    )

    assert found["topic"][0] == "failed"
    assert "HYDRO_KAFKA_CONFIG" in found["topic"][1]


def test_without_the_extra_for_kafka_the_remedy_is_told(
    app: str, tmp_path: Path
) -> None:
    done = run_without(
        tmp_path,
        {"confluent_kafka"},
        *("doctor", "--database", app, "--url", "kafka://127.0.0.1:9092/hydro"),
    )

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "failed       topic: confluent_kafka is not installed; run: pip install"
        ' "hydro-hooks[kafka]"'
    )


def test_what_waits_after_a_fault_is_a_warning(engine: Engine, url: str) -> None:
    record(engine, sample_events(3))
    claims.ready_shards(engine)
    fault = "the gateway answered 503"
    with engine.begin() as connection:
        its_shard = update(tables.shard).where(tables.shard.c.shard == SHARD)
        connection.execute(its_shard.values(fault=fault))

    found = examined(url)

    assert found["waiting"] == (
        "warning",
        f"3 wait: {fault}; they may be tried again now",
    )


def test_what_waits_for_a_relay_is_no_fault(engine: Engine, url: str) -> None:
    record(engine, sample_events(1))

    assert examined(url)["waiting"] == (
        "ok",
        "1 waits: nothing holds them back; run a relay",
    )


def test_what_was_rejected_is_a_warning(engine: Engine, url: str) -> None:
    refuse(engine, "unknown field", "unknown field", "too long")

    assert examined(url)["rejected"] == (
        "warning",
        "3 events are rejected, 2 of them for: unknown field; see hydro-hooks outbox"
        " rejected, and redrive them once it is mended",
    )
