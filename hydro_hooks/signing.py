"""Signing a request, and checking a signature: used by both ends.

A signer is any callable from a frozen request to the headers to send with it. The
deployed scheme is `HydroHmac`; a user's own takes its place without another change.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from hydro_hooks.errors import ConfigurationError

SCHEME: Final = "Hydro"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """A request about to be sent; what is signed is exactly what leaves.

    Args:
        method: `POST`.
        url: Where to.
        body: The exact bytes.
        event_ids: Of the events in the body, in its order.
        sent_at: UTC.
    """

    method: str
    url: str
    body: bytes = field(repr=False)
    event_ids: tuple[str, ...]
    sent_at: datetime


class Signer(Protocol):
    """What makes the headers that prove where a request comes from."""

    def __call__(self, request: OutgoingRequest, /) -> Mapping[str, str]:
        """Return the headers to add; they are never logged."""
        ...


class HydroHmac:
    """The deployed scheme: `Authorization: Hydro HEX`.

    HEX is the lower-case HMAC-SHA256 of the body's exact bytes; the key is the
    secret's UTF-8 bytes, not decoded from hex.

    Args:
        secrets: One or more, for rotation: the first signs, all verify.

    Raises:
        ConfigurationError: There is none, or one is empty.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets or not all(secrets):
            message = "HydroHmac needs a list of secrets, none of them empty"
            raise ConfigurationError(message)
        self._keys = tuple(secret.encode() for secret in secrets)

    def __repr__(self) -> str:
        return f"HydroHmac({len(self._keys)} secrets)"

    def __call__(self, request: OutgoingRequest, /) -> Mapping[str, str]:
        """Return the `Authorization` header for the request."""
        return {"Authorization": f"{SCHEME} {_digest(self._keys[0], request.body)}"}

    def rotations(self) -> Iterator[HydroHmac]:
        """Yield the same secrets with each of the others first: for a rotation."""
        for number in range(1, len(self._keys)):
            turned = HydroHmac.__new__(HydroHmac)
            turned._keys = (*self._keys[number:], *self._keys[:number])  # noqa: SLF001 - its own
            yield turned

    def verify(self, body: bytes, authorization: str | None) -> bool:
        """Return whether `authorization` is a signature of `body` by a known secret.

        Takes the same time whichever secret fits, or none.
        """
        scheme, _, digest = (authorization or "").partition(" ")
        given = digest.encode()
        fits = [
            hmac.compare_digest(_digest(key, body).encode(), given)
            for key in self._keys
        ]
        return scheme == SCHEME and any(fits)


def signer_named(name: str) -> Signer:
    """Return the signer that `module:attribute` names.

    Raises:
        ConfigurationError: There is none, or it cannot be called; names what was asked
            for, and nothing that the module says.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        problem = f"cannot be imported ({type(error).__name__})"
        raise _no_signer(name, problem) from error
    if isinstance(found, type) or not callable(found):
        raise _no_signer(name, "is no function or instance that can be called")
    signer: Signer = found
    return signer


def _no_signer(name: str, problem: str) -> ConfigurationError:
    message = (
        f"HYDRO_SIGNER is {name!r}, which {problem}; give module:attribute of a"
        " callable that takes an OutgoingRequest and returns headers"
    )
    return ConfigurationError(message)


def _digest(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()
