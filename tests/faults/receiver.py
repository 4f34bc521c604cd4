"""A real HTTP server that notes which events it accepted, in the order of arrival."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from scripted_gateway import SECRET, Received, Scripted, ScriptedGateway

from hydro_hooks.settings import Settings
from hydro_hooks.signing import HydroHmac

Script = Callable[[Received], Scripted]
"""What a test has the receiver answer; called by several threads at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event that was accepted.

    Args:
        id: The event's.
        value: What came.
        sender: Which relay sent it, by its `X-Hydro-App`.
        at: When, by the monotonic clock, in seconds.
    """

    id: str
    value: dict[str, Any]
    sender: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Scripted):
    """An answer that does not tell what became of the events.

    Args:
        accepted: Indexes of those that were accepted; None: as the answer says, which
            is all of them with 200, those not named as failed with 422, else none.
    """

    accepted: Collection[int] | None = None


class Receiver:
    """Listens inside a `with` block, on the same port each time, and keeps its notes.

    Args:
        script: What to answer to a request whose signature is right; it may be changed
            at any time. An event counts as accepted once the script has returned,
            before the answer leaves.

    Attributes:
        signature: What a request is to be signed with; it may be changed at any time.
        deliveries: What was accepted, in order, repeats included.
        forged: Requests with a wrong signature; they are answered 401.
    """

    def __init__(self, script: Script = lambda _: Scripted()) -> None:
        self.script = script
        self.deliveries: list[Delivery] = []
        self.forged = 0
        self._lock = threading.Lock()
        self.signature = HydroHmac([SECRET])
        self._port = 0

    def __enter__(self) -> Self:
        self._gateway = ScriptedGateway(self._answer, port=self._port)
        self._gateway.__enter__()
        self._port = self._gateway.port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gateway.__exit__(kind, error, traceback)

    def settings(self, *, sender: str = "relay") -> Settings:
        return Settings(base_url=self.url, secrets=(SECRET,), app=sender)

    @property
    def url(self) -> str:
        return self._gateway.url

    def _answer(self, request: Received) -> Scripted:
        signature = header(request, "Authorization")
        if not self.signature.verify(request.body, signature):
            with self._lock:
                self.forged += 1
            return Scripted(status=401)
        answer = self.script(request)
        values = request.values
        with self._lock:
            self.deliveries += [
                Delivery(
                    id=values[index]["eventId"],
                    value=values[index],
                    sender=sender_of(request),
                    at=time.monotonic(),
                )
                for index in _accepted(answer, len(values))
            ]
        return answer


def sender_of(request: Received) -> str:
    """Return the name of the relay that sent a request."""
    return header(request, "X-Hydro-App") or ""


def header(request: Received, name: str) -> str | None:
    """Return a header's value, by its name in any case."""
    found = (v for k, v in request.headers.items() if k.lower() == name.lower())
    return next(found, None)


def _accepted(answer: Scripted, size: int) -> Collection[int]:
    if isinstance(answer, Reply) and answer.accepted is not None:
        return answer.accepted
    if answer.status == 200 and not answer.resets:
        return range(size)
    if answer.status == 422 and isinstance(answer.body, dict):
        failed = {failure["index"] for failure in answer.body["failures"]}
        return [index for index in range(size) if index not in failed]
    return ()
