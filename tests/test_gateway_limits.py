from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from signed_requests import (
    assert_refused,
    body_of,
    counts,
    head_of,
    post,
    send_raw,
    value_of,
)

from hydro_hooks.testing.gateway import LocalGateway
from hydro_hooks.web.gateway import MAX_BODY


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        yield gateway


def test_ten_megabytes_with_a_length_are_refused(gateway: LocalGateway) -> None:
    body = b" " * (10 << 20)

    answer = post(gateway.url, body)

    assert_refused(answer, 413)
    assert counts(gateway.engine) == (0, 0)


def test_ten_megabytes_without_a_length_are_refused(gateway: LocalGateway) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    head = head_of(b"", "Transfer-Encoding: chunked")

    answer = send_raw(gateway.url, head, *[chunk] * 160, b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (document["status"], document["failures"]) == ("ERROR", [])
    assert counts(gateway.engine) == (0, 0)


def test_a_body_in_chunks_is_accepted(gateway: LocalGateway) -> None:
    body = body_of(value_of())
    head = head_of(body, "Transfer-Encoding: chunked")
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"

    answer = send_raw(gateway.url, head, chunk, b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [stored["body"] for stored in gateway.requests()] == [body]


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413)])
def test_the_limit_is_one_mebibyte(
    gateway: LocalGateway, excess: int, status: int
) -> None:
    body = body_of(value_of()).ljust(MAX_BODY + excess)

    answer = post(gateway.url, body)

    assert answer.status_code == status


def test_a_request_cut_off_on_its_way_stores_nothing(gateway: LocalGateway) -> None:
    body = body_of(value_of())
    head = head_of(body, f"Content-Length: {len(body)}")

    answer = send_raw(gateway.url, head, body[:-1], is_cut=True)

    assert b" 200 " not in answer
    assert counts(gateway.engine) == (0, 0)
    assert post(gateway.url, body).status_code == 200
