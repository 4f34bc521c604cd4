from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hydro_hooks.errors import ConfigurationError
from hydro_hooks.signing import HydroHmac, OutgoingRequest

CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "captured-requests.json").read_text("utf-8")
)
SECRET: str = CAPTURED["secret"]
REQUESTS: list[dict[str, Any]] = CAPTURED["requests"]


def outgoing(body: bytes) -> OutgoingRequest:
    return OutgoingRequest(
        method="POST",
        url="https://hydro.example/api/v1/events",
        body=body,
        event_ids=(),
        sent_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("captured", REQUESTS, ids=["ascii", "umlaut"])
def test_our_signature_of_a_captured_body_is_the_captured_one(
    captured: dict[str, Any],
) -> None:
    headers = HydroHmac([SECRET])(outgoing(captured["body"].encode()))

    assert headers == {"Authorization": captured["headers"]["Authorization"]}


@pytest.mark.parametrize("captured", REQUESTS, ids=["ascii", "umlaut"])
def test_a_captured_signature_is_accepted(captured: dict[str, Any]) -> None:
    signature = captured["headers"]["Authorization"]

    assert HydroHmac([SECRET]).verify(captured["body"].encode(), signature)


@pytest.mark.parametrize("captured", REQUESTS, ids=["ascii", "umlaut"])
def test_a_body_with_one_byte_changed_is_refused(captured: dict[str, Any]) -> None:
    body = bytearray(captured["body"].encode())
    body[40] ^= 1

    signature = captured["headers"]["Authorization"]

    assert not HydroHmac([SECRET]).verify(bytes(body), signature)


def test_the_first_secret_signs_and_all_are_accepted() -> None:
    old, new = HydroHmac(["old"]), HydroHmac(["new"])

    both = HydroHmac(["new", "old"])

    assert both(outgoing(b"{}")) == new(outgoing(b"{}"))
    assert both.verify(b"{}", new(outgoing(b"{}"))["Authorization"])
    assert both.verify(b"{}", old(outgoing(b"{}"))["Authorization"])
    assert not new.verify(b"{}", old(outgoing(b"{}"))["Authorization"])


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Hydro",
        "Hydro ",
        "Bearer {}",
        "hydro {}",
        "{}",
        "Hydro {} ",
        "Hydro é",
    ],
)
def test_what_is_not_the_scheme_is_refused(authorization: str | None) -> None:
    hmac = HydroHmac([SECRET])
    digest = hmac(outgoing(b"{}"))["Authorization"].partition(" ")[2]

    given = None if authorization is None else authorization.format(digest)

    assert not hmac.verify(b"{}", given)


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""], "a secret"])
def test_a_missing_or_empty_secret_is_refused(secrets: Any) -> None:
    with pytest.raises(ConfigurationError, match="none of them empty"):
        HydroHmac(secrets)


def test_neither_secret_nor_body_is_shown() -> None:
    shown = repr(HydroHmac([SECRET])) + repr(outgoing(b"the body"))

    assert SECRET not in shown
    assert "the body" not in shown
