"""Where events go: is it there, and is our signature taken.

The gateway gets requests that carry no event, so nothing is invented. By the protocol
it judges the app, then the signature, then the events: 200 or 422 says that the
signature was taken. A request signed with a key drawn by lot is the control.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, TypeGuard

from hydro_hooks.diagnosis.findings import Finding, failed, not_checked, passed, warned
from hydro_hooks.settings import Settings
from hydro_hooks.signing import HydroHmac, Signer, signer_named
from hydro_hooks.sinks.http import TOTAL_SECONDS, HttpSink
from hydro_hooks.verdict import Answer, Fault, Kind, judge

_TAKEN: Final = (HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY)
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def examine_gateway(
    settings: Settings, *, total_seconds: float = TOTAL_SECONDS
) -> tuple[Finding, Finding]:
    """Return whether the gateway is there, and whether it takes our signature.

    Each of several secrets is tried.

    Args:
        settings: With the URL of a gateway.
        total_seconds: The most that a request may take.

    Raises:
        ConfigurationError: The signer that they name is none.
    """
    replies: list[Answer | Fault] = []
    for signer in _signers(settings):
        replies.append(_probed(settings, signer, total_seconds))
        if not _is_judged(replies[-1]):
            break  # the next secret would fare no better
    gateway = _of_gateway(replies[-1])
    judged = [reply for reply in replies if _is_judged(reply)]
    if not judged:
        return gateway, not_checked("no answer tells of it")
    if settings.signer is not None:
        return gateway, _of_named(settings.signer, judged[0])
    signature = _of_secrets(judged, settings)
    if any(_is_taken(answer) for answer in judged):
        wrong = HydroHmac([secrets.token_hex()])
        control = _probed(settings, wrong, total_seconds)
        if _is_judged(control) and _is_taken(control):
            signature = warned(
                "the gateway takes a wrong signature too, at least of a request without"
                " events, so nothing is known of ours"
            )
    return gateway, signature


def _signers(settings: Settings) -> Iterator[Signer]:
    if settings.signer is not None:
        yield signer_named(settings.signer)
        return
    for secret in settings.secrets:
        yield HydroHmac([secret])


def _probed(settings: Settings, signer: Signer, total_seconds: float) -> Answer | Fault:
    sink = HttpSink(settings, signer, total_seconds=total_seconds)
    with contextlib.closing(sink):
        return sink.probe()


def _is_judged(reply: Answer | Fault) -> TypeGuard[Answer]:
    """Return whether the gateway has looked at the signature."""
    return isinstance(reply, Answer) and reply.status in (*_TAKEN, *_REFUSED)


def _is_taken(answer: Answer) -> bool:
    return answer.status in _TAKEN


def _of_gateway(reply: Answer | Fault) -> Finding:
    if _is_judged(reply):
        return passed(f"it answers ({reply.status})")
    verdict = judge(reply, size=1, now=datetime.now(UTC))
    if verdict.kind is Kind.HOLD:
        return failed(verdict.problem)
    if isinstance(reply, Fault):
        return failed(
            f"{reply.problem}; events wait meanwhile: check HYDRO_BASE_URL, the network"
            " and whether the gateway runs"
        )
    return failed(
        f"it is there, but answers {reply.status} to a request without events; events"
        " wait meanwhile: ask who runs it, or what is before it"
    )


def _of_named(name: str, answer: Answer) -> Finding:
    if _is_taken(answer):
        return passed(f"what {name} adds is taken")
    return _refused(f"what {name} adds is", answer.status, "check HYDRO_SIGNER")


def _of_secrets(judged: Sequence[Answer], settings: Settings) -> Finding:
    """Say which of the secrets is taken, by its number."""
    numbered = list(enumerate(judged, start=1))
    taken = [number for number, answer in numbered if _is_taken(answer)]
    refused = [number for number, answer in numbered if not _is_taken(answer)]
    count = len(settings.secrets)
    if not taken:
        verb = "is" if len(refused) == 1 else "are"
        what = "the secret is" if count == 1 else f"{_these(refused)} of {count} {verb}"
        remedy = (
            f"give in HYDRO_APP_SECRET the one that the gateway has for {settings.app}"
        )
        return _refused(what, judged[0].status, remedy)
    if count == 1:
        return passed("the secret is taken")
    text = f"the gateway takes {_these(taken)} of {count}"
    if not refused:
        return passed(text)
    text = f"{text}, and refuses {_these(refused)}"
    if taken[0] == 1:
        return passed(text)
    return warned(f"{text}: put one that it takes first in HYDRO_APP_SECRET")


def _these(numbers: Sequence[int]) -> str:
    listed = ", ".join(str(number) for number in numbers)
    return f"number {listed}" if len(numbers) == 1 else f"numbers {listed}"


def _refused(what: str, status: int, remedy: str) -> Finding:
    if status == HTTPStatus.FORBIDDEN:
        remedy = f"{remedy}, or look at what is before the gateway"
    return failed(f"{what} refused ({status}): {remedy}")
