from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hydro_hooks import (
    Action,
    ConfigurationError,
    Event,
    InvalidEventError,
    State,
    schema,
)
from hydro_hooks.event import new_id

NOW = datetime(2026, 8, 12, 14, 2, 3, 456789, tzinfo=UTC)
FULL = Event(
    id="01a20b47-4256-7272-9425-5eff810996ac",
    transaction_id="01a20b47-4256-7272-9425-5eff810996ad",
    occurred_at=NOW,
    association="subscription",
    subject_id="3",
    action=Action.DESTROY,
    state=State.ABSENT,
    github_installation_id=10,
    jira_hostname="https://test-host.jira.com",
    jira_integration_id=19,
    reason="stafftools-api",
    github_actor=583231,
    jira_actor="557058:x",
    note="ticket 4711",
    origin="app.staff:7 in uninstall",
)


def v1(event: Event) -> dict[str, object]:
    value = schema.load("jira.v1.Action").project(event)
    schema.load("jira.v1.Action").check(value)
    return value


def v0(event: Event) -> dict[str, object]:
    value = schema.load("jira.v0.Action").project(event)
    schema.load("jira.v0.Action").check(value)
    return value


def test_v1_has_every_field() -> None:
    assert v1(FULL) == {
        "eventId": FULL.id,
        "occurredAt": "2026-08-12T14:02:03.456Z",
        "association": "subscription",
        "subjectId": "3",
        "action": "destroy",
        "state": "absent",
        "githubInstallationId": 10,
        "jiraHostname": "https://test-host.jira.com",
        "jiraIntegrationId": 19,
        "reason": "stafftools-api",
        "githubActor": 583231,
        "jiraActor": "557058:x",
        "note": "ticket 4711",
        "transactionId": FULL.transaction_id,
        "origin": "app.staff:7 in uninstall",
    }


def test_v0_has_exactly_the_deployed_fields() -> None:
    assert v0(FULL) == {
        "type": "destroyed",
        "association": "subscription",
        "installationId": 19,
        "githubInstallationId": 10,
        "jiraHostname": "https://test-host.jira.com",
        "actionSource": "stafftools",
        "githubActorId": 583231,
    }


def test_absent_values_are_left_out() -> None:
    bare = replace(
        FULL,
        github_installation_id=None,
        jira_hostname=None,
        jira_integration_id=None,
        github_actor=None,
        jira_actor=None,
        note=None,
        origin=None,
        transaction_id=None,
    )

    assert set(v1(bare)) == {
        "eventId",
        "occurredAt",
        "association",
        "subjectId",
        "action",
        "state",
        "reason",
    }
    assert set(v0(bare)) == {"type", "association", "actionSource"}


@pytest.mark.parametrize(
    ("reason", "source"),
    [
        ("stafftools-api", "stafftools"),
        ("jira webhook", "webhook"),
        ("github webhook", "webhook"),
        ("web interaction", "web_console"),
        ("unattributed", None),
        ("nightly clean-up", None),
    ],
)
def test_v0_leaves_out_a_reason_it_has_no_word_for(
    reason: str, source: str | None
) -> None:
    assert v0(replace(FULL, reason=reason)).get("actionSource") == source


def test_v0_leaves_out_a_login_and_an_id_that_is_text() -> None:
    value = v0(replace(FULL, github_actor="octocat", jira_integration_id="abc"))

    assert "githubActorId" not in value
    assert "installationId" not in value


@pytest.mark.parametrize("action", list(Action))
def test_v1_comes_back_as_it_went(action: Action) -> None:
    event = replace(FULL, action=action, github_actor="octocat", subject_id='[1,"é"]')

    back = schema.event_from(v1(event), received_at=datetime.now(UTC))

    assert back == replace(event, occurred_at=NOW.replace(microsecond=456000))


def test_v0_is_read_as_far_as_it_goes() -> None:
    event = schema.event_from(v0(FULL), received_at=NOW)

    assert event is not None
    assert event == replace(
        FULL,
        id=event.id,
        transaction_id=None,
        subject_id=None,
        jira_actor=None,
        note=None,
        origin=None,
    )


def test_two_equal_v0_values_are_two_events() -> None:
    first = schema.event_from(v0(FULL), received_at=NOW)
    second = schema.event_from(v0(FULL), received_at=NOW)

    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_an_event_id_of_another_form_is_always_the_same_id() -> None:
    first, again, other = (
        schema.event_from({**v1(FULL), "eventId": given}, received_at=NOW)
        for given in ("Order 7", "Order 7", "Order 8")
    )

    assert first is not None
    assert other is not None
    assert first == again
    assert first.id != other.id


@pytest.mark.parametrize("value", [{}, {"action": "explode"}, {"type": 5}])
def test_a_value_that_names_no_action_is_no_event(value: dict[str, object]) -> None:
    assert schema.event_from(value, received_at=NOW) is None


@pytest.mark.parametrize("given", ["yesterday", 5, None])
def test_a_time_that_is_none_is_the_time_of_arrival(given: object) -> None:
    event = schema.event_from({**v1(FULL), "occurredAt": given}, received_at=NOW)

    assert event is not None
    assert event.occurred_at == NOW


def test_times_are_utc() -> None:
    abroad = NOW.astimezone(timezone(timedelta(hours=2)))

    assert schema.timestamp(abroad) == "2026-08-12T14:02:03.456Z"
    event = schema.event_from(
        {**v1(FULL), "occurredAt": "2026-08-12T16:02:03+02:00"}, received_at=NOW
    )
    assert event is not None
    assert event.occurred_at == NOW.replace(microsecond=0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "explode"}, "action"),
        ({"eventId": "1"}, "eventId"),
        ({"reason": ""}, "reason"),
        ({"githubInstallationId": None}, "githubInstallationId"),
        ({"unknown": 1}, ""),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(
    change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidEventError) as invalid:
        schema.load("jira.v1.Action").check({**v1(FULL), **change})

    assert (invalid.value.schema, invalid.value.field) == ("jira.v1.Action", field)
    assert field in str(invalid.value)


def test_a_long_value_is_not_quoted_whole_in_the_error() -> None:
    with pytest.raises(InvalidEventError) as invalid:
        schema.load("jira.v1.Action").check({**v1(FULL), "jiraHostname": "x" * 3000})

    assert len(str(invalid.value)) < 400


def test_a_users_own_schema_file_works_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps(
            {
                "title": "acme.v1.Change",
                "type": "object",
                "properties": {"type": {}, "jiraHostname": {"maxLength": 5}},
            }
        )
    )

    mine = schema.load(str(path))
    value = mine.project(FULL)

    assert mine.name == "acme.v1.Change"
    assert value == {"type": "destroyed", "jiraHostname": FULL.jira_hostname}
    with pytest.raises(InvalidEventError, match="too long"):
        mine.check(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"title": "ä"}'.encode("latin-1"), "is not JSON"),
        ("[]", "not a JSON Schema of an object"),
        ('{"title": "x"}', "not a JSON Schema of an object"),
        ('{"title": "x", "properties": {"type": {"type": 5}}}', "is not valid"),
        (
            '{"title": "x", "properties": {"type": {"$ref": "#/$defs/y"}}}',
            r"refers to '/\$defs/y', which is not there",
        ),
    ],
)
def test_a_schema_file_that_is_none_is_refused(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ConfigurationError, match=says):
        schema.load(str(path))


def test_an_unknown_schema_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"jira\.v0\.Action, jira\.v1\.Action"):
        schema.load("jira.v9.Action")


def test_json_nested_too_deeply_is_an_error_not_a_crash() -> None:
    with pytest.raises(ValueError, match="nested"):
        schema.parse("[" * 200_000)


def test_ids_made_here_fit_the_schema() -> None:
    v1(replace(FULL, id=new_id(), transaction_id=new_id()))
