"""Signatures: is this from Jira, is this from GitHub? Nothing here knows Flask."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import quote

import jwt

PAGE = "context-qsh"
"""What Jira puts in place of the request's hash into the token of a page."""


def account_of(token: str, *, secret: str, request_hash: str) -> str | None:
    """Return the account id of the Jira user for whom Jira signed the token, if any.

    Args:
        token: The JWT.
        secret: That Jira and the app share for the customer it is from.
        request_hash: `hash_of()` the request it has to be for, or `PAGE`.

    Raises:
        jwt.InvalidTokenError: It is not Jira's token for this request, or it is out of
            date.
    """
    claims = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        options={"require": ["iat", "exp", "qsh"], "verify_aud": False},
    )
    if claims["qsh"] != request_hash:
        message = "the token is for another request"
        raise jwt.InvalidTokenError(message)
    account: str | None = claims.get("sub")
    return account


def client_key_in(token: str) -> str:
    """Return whom a token says it is from; nothing is known until it is checked.

    Raises:
        jwt.InvalidTokenError: It is not a token, or names nobody.
    """
    claims = jwt.decode(token, options={"verify_signature": False})
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        message = "the token has no issuer"
        raise jwt.InvalidTokenError(message)
    return issuer


def hash_of(method: str, path: str, query: Iterable[tuple[str, list[str]]] = ()) -> str:
    """Return the hash by which Jira binds a token to one request.

    Args:
        method: Such as `POST`.
        path: Such as `/jira/events/disabled`.
        query: Each parameter with its values.

    Source: Atlassian Connect, "Creating a query string hash".
    """
    parameters = sorted(
        (quote(name, "~"), ",".join(sorted(quote(value, "~") for value in values)))
        for name, values in query
        if name != "jwt"
    )
    joined = "&".join(f"{name}={value}" for name, value in parameters)
    path = path.rstrip("/").replace("&", "%26") or "/"
    canonical = f"{method.upper()}&{path}&{joined}"
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_from_github(body: bytes, signature: str, secret: str) -> bool:
    """Return whether GitHub signed the body, as its `X-Hub-Signature-256` says."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # As bytes: text that is not ASCII cannot be compared in constant time.
    return hmac.compare_digest(f"sha256={digest}".encode(), signature.encode())
