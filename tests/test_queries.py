"""What somebody asks for, as one line of text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from test_journal import HOST, installation, receive, record, reject, settle

from hydro_hooks import creation, journal, tables
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.event import Event
from hydro_hooks.journal import (
    Filters,
    Kind,
    Query,
    Unattributed,
    query_in,
    quoted,
    span_in,
)
from hydro_hooks.transition import Action

NOW = datetime(2026, 8, 20, 9, 30, 15, 500, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "query"),
    [
        ("", Query()),
        ("  https://acme.example:8443/ ", Query(text="https://acme.example:8443/")),
        ("as:jira 19", Query(text="19", kind=Kind.JIRA)),
        (
            "actor:@octocat action:disable,destroy",
            Query(
                filters=Filters(
                    actor="octocat", actions=(Action.DISABLE, Action.DESTROY)
                )
            ),
        ),
        (
            'acme reason:"jira webhook"',
            Query(text="acme", filters=Filters(reason="jira webhook")),
        ),
        (
            "since:90d until:2026-08-12",
            Query(
                filters=Filters(
                    since=NOW - timedelta(days=90),
                    until=datetime(2026, 8, 12, 23, 59, 59, 999_999, tzinfo=UTC),
                )
            ),
        ),
        ("557058:0f9b", Query(text="557058:0f9b")),
        ("https:acme", Query(text="https:acme")),
        ('"action:disable"', Query(text="action:disable")),
        ("Action:Disable", Query(filters=Filters(actions=(Action.DISABLE,)))),
        ("of:installation", Query(filters=Filters(association="installation"))),
        (r'reason:"say \"hi\""', Query(filters=Filters(reason='say "hi"'))),
        ("ari:cloud:x", Query(text="ari:cloud:x")),
    ],
)
def test_a_line_is_words_and_qualifiers(line: str, query: Query) -> None:
    assert query_in(line, now=NOW) == query


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("action:vanish", "action: 'vanish' is none of create, enable, disable, dest"),
        ("action:disable,", "action: 'disable,' is none of"),
        ("as:colour", "as: 'colour' is none of host, jira, github, event"),
        ("since:soon", "since: 'soon' is not a date; give one such as 2026-03-05"),
        ("since:0000-01-01", "since: '0000-01-01' is not a date"),
        ("until:", "until: has no value"),
        ('reason:""', "reason: has no value"),
        ("actor:a actor:b", "actor: is given twice"),
        ("acton:disable", "acton: is no qualifier; did you mean action:?"),
        ('reason:"jira webhook', '"jira has a quote that is not closed'),
        ("since:2026-09-01 until:2026-08-01", "since: 2026-09-01 00:00:00.* is after"),
    ],
)
def test_a_qualifier_that_cannot_be_is_refused_by_name(line: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{problem}"):
        query_in(line, now=NOW)


def test_a_quoted_text_is_the_same_word_again() -> None:
    for text in ('say "hi"', "action:x", "a b", 'b\\"c d', '"x"', "acton:y", "back\\s"):
        word = quoted(text)

        assert query_in(word, now=NOW).text == text
        assert query_in(f"reason:{word}", now=NOW).filters.reason == text


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("yesterday", "2026-08-19T00:00:00", "2026-08-19T23:59:59.999999"),
        ("today", "2026-08-20T00:00:00", "2026-08-20T23:59:59.999999"),
        ("12h", "2026-08-19T21:30:15.000500", "2026-08-19T21:30:15.000500"),
        ("2w", "2026-08-06T09:30:15.000500", "2026-08-06T09:30:15.000500"),
        ("2026-08-12 14:02", "2026-08-12T14:02:00", "2026-08-12T14:02:59.999999"),
    ],
)
def test_a_date_may_be_told_as_a_day_or_as_how_long_ago(
    text: str, first: str, last: str
) -> None:
    span = span_in(text, now=NOW)

    assert [each.isoformat() for each in span] == [f"{first}+00:00", f"{last}+00:00"]


def listed(engine: Engine, line: str, limit: int | None = 50) -> list[str]:
    with engine.connect() as connection:
        found = journal.history(connection, query_in(line, now=NOW), limit=limit)
    return [] if found is None else [each.event.id for each in found.records]


@pytest.fixture
def story(engine: Engine) -> list[Event]:
    """Return what happened to one customer: in the journal, rejected, waiting."""
    events = [
        installation(Action.CREATE, github_actor="octocat", reason="web interaction"),
        installation(Action.ENABLE, day=1, jira_actor="557058:0f9b"),
        installation(Action.DISABLE, day=2, reason="unattributed"),
        installation(Action.DESTROY, day=3, github_actor=583231),
    ]
    settle(engine, *events[:2])
    reject(engine, events[2], "no such field")
    record(engine, events[3])
    return events


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ("", [0, 1, 2, 3]),
        ("actor:octocat", [0]),
        ("actor:557058:0f9b", [1]),
        ("actor:583231", [3]),
        ("action:disable,destroy", [2, 3]),
        ("reason:unattributed", [2]),
        ('reason:"jira webhook" action:enable', [1]),
        ("since:2026-03-03", [2, 3]),
        ("until:2026-03-03", [0, 1, 2]),
        ("since:2026-03-02 until:2026-03-03", [1, 2]),
        ("actor:nobody", []),
    ],
)
@pytest.mark.parametrize("text", ["", f"{HOST} ", "19 "])
def test_filters_narrow_down_a_customers_history_and_everybodys(
    engine: Engine, story: list[Event], text: str, filters: str, wanted: list[int]
) -> None:
    assert listed(engine, text + filters) == [story[each].id for each in wanted]


def test_an_actors_name_stands_for_all_that_was_done_by_it(
    engine: Engine, story: list[Event]
) -> None:
    other = installation(
        Action.CREATE, day=4, subject_id="20", jira_hostname=None, github_actor=583231
    )
    record(engine, other)

    assert listed(engine, "583231") == [story[3].id, other.id]
    assert listed(engine, "@octocat") == [story[0].id]
    assert listed(engine, "583231 until:2026-03-05T00:00Z") == [story[3].id]
    assert listed(engine, "octocat actor:583231") == []


def test_a_list_of_the_newest_says_that_it_is_cut(
    engine: Engine, story: list[Event]
) -> None:
    with engine.connect() as connection:
        cut = journal.history(connection, Query(), limit=3)
        whole = journal.history(connection, Query(), limit=4)
        named = journal.history(connection, Query(text=HOST), limit=3)

    assert cut is not None
    assert [each.event.id for each in cut.records] == [each.id for each in story[1:]]
    assert cut.older is None
    assert whole is not None
    assert whole.older == 0
    assert named is not None
    assert named.older == 1


def test_why_with_filters_is_of_the_newest_transition_that_they_describe(
    engine: Engine, story: list[Event]
) -> None:
    with engine.connect() as connection:
        answer = journal.why(
            connection, query_in(f"{HOST} action:create,disable", now=NOW)
        )
        nothing = journal.why(connection, query_in(f"{HOST} actor:nobody", now=NOW))

    assert answer is not None
    assert answer.record is not None
    assert answer.record.event.id == story[2].id
    assert answer.after is not None
    assert answer.after.event.id == story[3].id
    assert nothing is not None
    assert nothing.record is None


def test_why_of_an_actor_has_no_answer(engine: Engine, story: list[Event]) -> None:
    assert story
    with engine.connect() as connection:
        assert journal.why(connection, Query(text="octocat")) is None


def test_places_without_a_reason_are_counted_the_most_frequent_first(
    engine: Engine, story: list[Event]
) -> None:
    shell, nowhere = "shell:1 in <module>", None
    again = [
        installation(Action.CREATE, day=day, reason="unattributed", origin=origin)
        for day, origin in ((5, shell), (7, shell), (6, nowhere))
    ]
    settle(engine, again[0])
    record(engine, *again[1:])

    def places(line: str = "") -> list[Unattributed]:
        with engine.connect() as connection:
            return journal.unattributed(connection, query_in(line, now=NOW).filters)

    def place(origin: str | None, *events: Event) -> Unattributed:
        moments = [each.occurred_at for each in events]
        return Unattributed(
            origin=origin,
            count=len(events),
            first_at=min(moments),
            last_at=max(moments),
        )

    handler = place(story[2].origin, story[2])
    assert places() == [
        place(shell, *again[:2]),
        place(nowhere, again[2]),
        handler,
    ]
    assert places("until:2026-03-03") == [handler]
    assert places("actor:nobody") == []


@pytest.fixture
def hosts(engine: Engine) -> Engine:
    names = [
        "https://acme.atlassian.net",
        "https://acme-europe.atlassian.net",
        "http://Acorn.example:8080",
        "tidewater.example",
        "https://100%_sure.example",
    ]
    settle(
        engine,
        *(
            installation(Action.CREATE, jira_hostname=name, jira_integration_id=number)
            for number, name in enumerate(names)
        ),
    )
    record(engine, installation(Action.CREATE, jira_hostname="https://acid.example"))
    return engine


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("acme", ["https://acme-europe.atlassian.net", "https://acme.atlassian.net"]),
        ("https://acme.atlasian.net", ["https://acme.atlassian.net"]),
        ("ACID", ["https://acid.example"]),
        ("tidewatr.example", ["tidewater.example"]),
        ("100%", ["https://100%_sure.example"]),
        ("%", []),
        ("zzz.example", []),
        ("", []),
    ],
)
def test_hosts_like_one_that_is_not_held_are_suggested(
    hosts: Engine, text: str, wanted: list[str]
) -> None:
    with hosts.connect() as connection:
        found = journal.near_hosts(connection, text)

    assert found == wanted


def test_a_gateways_journal_is_searched_by_the_same_words(engine: Engine) -> None:
    tables.metadata.drop_all(engine)
    creation.create_gateway_tables(engine)
    event = installation(Action.DISABLE, github_actor="octocat")
    receive(engine, event)

    assert listed(engine, "octocat") == [event.id]
    assert listed(engine, "action:disable since:2026-03-01") == [event.id]
    assert listed(engine, "action:enable") == []
