"""The Hydro gateway over HTTP: one signed POST per batch.

What is signed is exactly what leaves. Redirects are never followed, the environment's
proxies, certificates and netrc never used, TLS certificates always checked. Neither
secrets, headers nor payload appear in what is returned, logged or shown.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from hydro_hooks import schema
from hydro_hooks.errors import ConfigurationError
from hydro_hooks.settings import Settings, check_base_url
from hydro_hooks.signing import HydroHmac, OutgoingRequest, Signer, signer_named
from hydro_hooks.sinks import Message
from hydro_hooks.sinks.connections import pool_classes
from hydro_hooks.sinks.deadline import Deadline
from hydro_hooks.verdict import Answer, Fault

CLUSTER: Final = "potomac"
CONNECT_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 10.0
MAX_ANSWER: Final = 1 << 20
"""Bytes read of an answer's body; the rest is not waited for."""

MIN_SIGNATURE: Final = 8
"""Letters that a signature has at least; what is shorter hides in every other word."""

_CHUNK: Final = 1 << 14
_REFUSED: Final = (401, 403)

logger = logging.getLogger(__name__)


class HttpSink:
    """Posts batches to `settings.base_url`.

    One connection is kept alive between batches. Safe to use from several threads, and
    after a fork, when the child opens connections of its own.

    Args:
        settings: With a `base_url`.
        signer: Makes the headers that prove where a request comes from; by default the
            one that the settings name, else `HydroHmac` with their secrets. Of several
            secrets the next is tried where one is refused.
        connect_seconds: The most that connecting may take.
        total_seconds: The most that a request may take, from its first byte to the
            answer's last.

    Raises:
        ConfigurationError: No `base_url`, or one that signed events may not go to; no
            such signer.
    """

    def __init__(
        self,
        settings: Settings,
        signer: Signer | None = None,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        if settings.base_url is None:
            message = "HYDRO_BASE_URL is not set; set it to deliver events"
            raise ConfigurationError(message)
        check_base_url(settings.base_url)
        self._url = settings.base_url
        self._app = settings.app
        self._secrets = settings.secrets
        if signer is None and settings.signer is not None:
            signer = signer_named(settings.signer)
        self._signer = signer or HydroHmac(settings.secrets)
        self._total_seconds = total_seconds
        # The deadline comes before a read's time-out, and says what was waited for.
        self._timeout = (connect_seconds, total_seconds + 1)
        self._session = _new_session()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"HttpSink({self._url.partition('?')[0]!r})"

    def close(self) -> None:
        """Close the connection that is kept alive."""
        self._session.close()

    def send(self, messages: Sequence[Message], /) -> Answer | Fault:
        """Send a batch as one request and return what came back."""
        request = self._request(messages)
        signer = self._signer  # another thread may take to another meanwhile
        reply = self._signed(request, signer)
        if _is_refused(reply) and isinstance(signer, HydroHmac):
            return self._rotated(request, signer) or reply
        return reply

    def probe(self) -> Answer | Fault:
        """Send a signed request that carries no event, and return what came back.

        Of several secrets the first signs it, and no other is tried.
        """
        return self._signed(self._request(()), self._signer)

    def _request(self, messages: Sequence[Message]) -> OutgoingRequest:
        return OutgoingRequest(
            method="POST",
            url=self._url,
            body=body_of(messages),
            event_ids=tuple(message.event_id for message in messages),
            sent_at=datetime.now(UTC),
        )

    def _rotated(
        self, request: OutgoingRequest, signer: HydroHmac
    ) -> Answer | Fault | None:
        """Try the other secrets, and keep to one that is accepted."""
        for other in signer.rotations():
            reply = self._signed(request, other)
            if isinstance(reply, Fault):
                return reply
            if not _is_refused(reply):
                self._signer = other
                logger.warning(
                    "The gateway refused the first secret of HYDRO_APP_SECRET and took"
                    " another: put that one first, and the refused one out"
                )
                return reply
        return None

    def _signed(self, request: OutgoingRequest, signer: Signer) -> Answer | Fault:
        try:
            headers = dict(signer(request))
            prepared = self._prepare(request, headers)
        except Exception as error:
            # A user's signer may raise anything; what it says may hold a secret.
            problem = (
                f"the signer {type(signer).__name__} failed"
                f" ({type(error).__name__}): check the signer and its secrets"
            )
            return Fault(problem=problem, is_passing=False)
        reply = self._post(prepared)
        if isinstance(reply, Fault):
            return reply
        return replace(reply, hidden=(*self._secrets, *_signatures(headers.values())))

    def _prepare(
        self, request: OutgoingRequest, signed: Mapping[str, str]
    ) -> requests.PreparedRequest:
        headers: Mapping[str, str] = {
            **signed,
            "Content-Type": "application/json",
            "X-Hydro-App": self._app,
            "User-Agent": "hydro-hooks",
            "Accept": "application/json",
            # Nothing is unpacked: an answer's size is what was read of it.
            "Accept-Encoding": "identity",
        }
        prepared = requests.Request(
            request.method, request.url, headers=headers, data=request.body
        ).prepare()
        for name, value in prepared.headers.items():
            _check_letters(name, value)
        return prepared

    def _post(self, request: requests.PreparedRequest) -> Answer | Fault:
        deadline = Deadline(self._total_seconds)
        try:
            with deadline:
                answer = self._exchange(request)
        except (requests.RequestException, HTTPError, OSError) as error:
            return _late(deadline) if deadline.has_passed else _fault(error)
        # A body without a length ends where the connection ends, so one that was cut
        # at the deadline looks complete.
        return _late(deadline) if deadline.has_passed else answer

    def _exchange(self, request: requests.PreparedRequest) -> Answer:
        session = self._own_session()
        response = session.send(
            request,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
            verify=True,
        )
        with contextlib.closing(response):
            body = b"".join(_chunks(response.raw))
        return Answer(status=response.status_code, headers=response.headers, body=body)

    def _own_session(self) -> requests.Session:
        if self._pid != os.getpid():
            # Forked: the parent still uses the connection that this session holds.
            self._session = _new_session()
            self._pid = os.getpid()
        return self._session


class _Adapter(HTTPAdapter):
    """The transport of requests, with connections that end at a deadline."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # Any: whatever requests hands through to urllib3.
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_classes


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def body_of(messages: Sequence[Message]) -> bytes:
    """Return a batch as the exact bytes of a request's body."""
    events = [
        {"schema": message.schema, "value": message.value, "cluster": CLUSTER}
        for message in messages
    ]
    return schema.dumps({"events": events}).encode()


def _signatures(values: Iterable[Any]) -> Iterator[str]:
    """Yield what of a signer's headers is to be hidden: of `Hydro HEX` also the HEX.

    Any: a user's signer may give bytes.
    """
    for value in values:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        for word in (text, text.rpartition(" ")[2]):
            if len(word) >= MIN_SIGNATURE:
                yield word


def _check_letters(name: str | bytes, value: str | bytes) -> None:
    """Raise `UnicodeEncodeError` now for what could not be sent."""
    if isinstance(name, str):
        name.encode("ascii")
    if isinstance(value, str):
        value.encode("latin-1")


def _chunks(raw: HTTPResponse) -> Iterator[bytes]:
    size = 0
    for chunk in raw.stream(_CHUNK, decode_content=False):
        yield chunk[: MAX_ANSWER - size]
        size += len(chunk)
        if size >= MAX_ANSWER:
            return


def _is_refused(reply: Answer | Fault) -> bool:
    """Return whether the signature was at fault, or what is before the gateway."""
    return isinstance(reply, Answer) and reply.status in _REFUSED


def _late(deadline: Deadline) -> Fault:
    return Fault(problem=f"no whole answer within {deadline.seconds:g} s")


def _fault(error: BaseException) -> Fault:
    """Return the fault that an error tells of, in words that hold no request."""
    innermost = _innermost(error)
    problem = type(innermost).__name__
    if isinstance(innermost, OSError) and innermost.strerror:
        problem = f"{problem}: {innermost.strerror}"
    if isinstance(innermost, ssl.SSLCertVerificationError):
        remedy = "the gateway's certificate is not trusted: check HYDRO_BASE_URL"
        return Fault(problem=f"{remedy} ({problem})", is_passing=False)
    return Fault(problem=f"the gateway cannot be reached ({problem})")


def _innermost(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
