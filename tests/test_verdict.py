from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hydro_hooks.verdict import (
    MAX_REJECTED_IN_A_ROW,
    Answer,
    Fault,
    Kind,
    Verdict,
    judge,
    restrain,
    retry_after,
    retry_delay,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def verdict_on(
    status: int, body: Any = b"", *, size: int = 3, headers: Any = None
) -> Verdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Answer(status=status, headers=headers or {}, body=raw)
    return judge(answer, size=size, now=NOW)


def failure(index: Any, *, retriable: Any = False, error: Any = "bad") -> Any:
    return {"index": index, "error": error, "retriable": retriable}


def failed(*entries: Any, **more: Any) -> Any:
    return {"status": "ERROR", "failures": list(entries), **more}


def test_200_delivers_all() -> None:
    verdict = verdict_on(200, b"<html>whatever</html>")

    assert verdict == Verdict(kind=Kind.SETTLED, delivered=(0, 1, 2))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_passing_status_retries_all(status: int) -> None:
    verdict = verdict_on(status)

    assert verdict.kind is Kind.RETRY
    assert not verdict.delivered
    assert not verdict.rejected
    assert str(status) in verdict.problem


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "HYDRO_APP"),
        (401, "HYDRO_APP_SECRET"),
        (403, "HYDRO_APP_SECRET"),
        (404, "HYDRO_SCHEMA"),
        (301, "final URL"),
        (302, "final URL"),
        (307, "final URL"),
        (405, "HYDRO_BASE_URL"),
        (201, "HYDRO_BASE_URL"),
        (204, "HYDRO_BASE_URL"),
        (999, "HYDRO_BASE_URL"),
    ],
)
def test_a_configuration_fault_keeps_all_and_names_the_remedy(
    status: int, remedy: str
) -> None:
    verdict = verdict_on(status)

    assert verdict.kind is Kind.HOLD
    assert not verdict.delivered
    assert not verdict.rejected
    assert remedy in verdict.problem


def test_no_answer_retries_all() -> None:
    verdict = judge(Fault(problem="time-out"), size=3, now=NOW)

    assert verdict == Verdict(kind=Kind.RETRY, problem="time-out")


def test_a_fault_that_does_not_pass_keeps_all() -> None:
    verdict = judge(Fault(problem="signer", is_passing=False), size=3, now=NOW)

    assert verdict == Verdict(kind=Kind.HOLD, problem="signer")


def test_422_judges_each_event_by_itself() -> None:
    body = failed(failure(0), failure(2, retriable=True), count=2)

    verdict = verdict_on(422, body, size=4)

    assert verdict.kind is Kind.SETTLED
    assert verdict.delivered == (1, 3)
    assert verdict.rejected == ((0, "bad"),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"failures":[{"index":0,"retri',
        [],
        None,
        {},
        {"failures": None},
        {"failures": {}},
        {"failures": []},
        {"failures": ["0"]},
        failed(failure(3)),
        failed(failure(-1)),
        failed(failure(index=True)),
        failed(failure(0.0)),
        failed(failure("0")),
        failed(failure(None)),
        failed({"index": 0, "error": "bad"}),
        failed(failure(0, retriable="false")),
        failed(failure(0, retriable=None)),
        failed(failure(0), failure(99)),
        failed(failure(0), count=2),
    ],
)
def test_a_422_that_does_not_name_each_failure_splits_the_batch(body: Any) -> None:
    verdict = verdict_on(422, body)

    assert verdict.kind is Kind.SPLIT
    assert not verdict.delivered
    assert not verdict.rejected


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_an_event_named_twice_is_rejected_only_if_both_say_so(
    order: tuple[bool, bool],
) -> None:
    disputed = [failure(0, retriable=retriable) for retriable in order]

    verdict = verdict_on(422, failed(*disputed, failure(1), failure(1), count=4))

    assert verdict.delivered == (2,)
    assert verdict.rejected == ((1, "bad"),)


def test_a_lone_event_refused_without_a_reason_is_the_one_at_fault() -> None:
    verdict = verdict_on(422, b"<html>", size=1)

    assert verdict.kind is Kind.SETTLED
    [(index, error)] = verdict.rejected
    assert index == 0
    assert "422" in error


def test_413_splits_the_batch() -> None:
    assert verdict_on(413, size=2).kind is Kind.SPLIT


def test_a_lone_event_that_is_too_large_is_rejected() -> None:
    verdict = verdict_on(413, size=1)

    assert verdict.kind is Kind.SETTLED
    [(index, error)] = verdict.rejected
    assert index == 0
    assert "larger" in error


def test_what_the_gateway_says_of_an_event_is_made_storable() -> None:
    body = b'{"failures":[{"index":0,"retriable":false,"error":"a\\u0000\\ud800b%s"}]}'

    [(_, error)] = verdict_on(422, body % (b"x" * 5000), size=1).rejected

    assert error.startswith("a\ufffd\ufffdb")
    assert len(error) == 2000


@pytest.mark.parametrize("error", [None, 7, {"text": "bad"}, ""])
def test_an_error_that_is_no_text_is_kept_as_text(error: Any) -> None:
    [(_, kept)] = verdict_on(422, failed(failure(0, error=error)), size=1).rejected

    assert kept


@pytest.mark.parametrize("status", [422, 413, 429, 503, 403])
def test_every_refusal_may_carry_retry_after(status: int) -> None:
    verdict = verdict_on(status, headers={"Retry-After": "7"})

    assert verdict.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("3601", 3600),
        ("9" * 6000, 3600),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60),
        ("Mon, 02 Mar 2026 12:00:00 GMT", 3600),
    ],
)
def test_retry_after_is_seconds_or_a_date_up_to_an_hour(
    text: str, seconds: int
) -> None:
    delay = retry_after({"Retry-After": text}, now=NOW)

    assert delay == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "1.5",
        "soon",
        "²",
        "١٢",
        "nan",
        "1e3",
        "Sun, 01 Mar 2026 11:00:00 GMT",
        "Sun, 99 Mar 2026 11:00:00 GMT",
        "Sun, 01 Mar 99999999999 11:00:00 GMT",
    ],
)
def test_a_retry_after_that_says_nothing_is_ignored(text: str) -> None:
    assert retry_after({"Retry-After": text}, now=NOW) is None


def test_the_longest_delay_doubles_up_to_300_seconds() -> None:
    delays = [
        retry_delay(attempts, random=lambda _, high: high).total_seconds()
        for attempts in (1, 2, 3, 8, 9, 10, 10**9)
    ]

    assert delays == [2, 4, 8, 256, 300, 300, 300]


def test_the_shortest_delay_is_always_one_second() -> None:
    delays = {
        retry_delay(attempts, random=lambda low, _: low) for attempts in range(1, 20)
    }

    assert delays == {timedelta(seconds=1)}


@pytest.mark.parametrize(("asked", "got"), [(None, 2), (1, 2), (30, 30)])
def test_retry_after_is_a_minimum(asked: int | None, got: int) -> None:
    delay = retry_delay(
        1,
        random=lambda _, high: high,
        retry_after=None if asked is None else timedelta(seconds=asked),
    )

    assert delay == timedelta(seconds=got)


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        retry_delay(0, random=lambda low, _: low)


REJECTING = Verdict(kind=Kind.SETTLED, rejected=((0, "bad"),))


def test_twenty_rejections_in_a_row_are_believed() -> None:
    verdict = restrain(REJECTING, rejections=1, earlier=MAX_REJECTED_IN_A_ROW - 1)

    assert verdict is REJECTING


def test_one_more_is_a_configuration_fault() -> None:
    verdict = restrain(REJECTING, rejections=1, earlier=MAX_REJECTED_IN_A_ROW)

    assert verdict.kind is Kind.HOLD
    assert not verdict.rejected
    assert "HYDRO_SCHEMA" in verdict.problem


def test_a_delivery_in_the_same_answer_lets_rejections_stand() -> None:
    mixed = Verdict(kind=Kind.SETTLED, delivered=(1,), rejected=((0, "bad"),))

    assert restrain(mixed, rejections=1, earlier=MAX_REJECTED_IN_A_ROW) is mixed


def test_a_passing_fault_stays_one_after_many_rejections() -> None:
    passing = Verdict(kind=Kind.RETRY, problem="503")

    assert restrain(passing, rejections=0, earlier=100) is passing


def test_neither_headers_nor_body_of_an_answer_are_shown() -> None:
    answer = Answer(status=200, headers={"Set-Cookie": "hidden"}, body=b"hidden")

    assert "hidden" not in repr(answer)


def test_of_the_reason_what_the_gateway_must_not_know_of_is_not_kept() -> None:
    body = {
        "failures": [{"index": 0, "error": "not s3cret, Hydro ab", "retriable": False}]
    }
    answer = Answer(
        status=422, body=json.dumps(body).encode(), hidden=("s3cret", "Hydro ab", "")
    )

    assert judge(answer, size=1, now=NOW).rejected == ((0, "not ***, ***"),)
