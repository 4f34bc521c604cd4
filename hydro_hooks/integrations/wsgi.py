"""WSGI: each request has a cause.

application = CauseMiddleware(
    application, github_actor=lambda environ: environ.get("REMOTE_USER")
)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from hydro_hooks.cause import Inside, Reason, current_cause
from hydro_hooks.integrations.requests import cause_of_requests

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BLOCK: Final = "hydro_hooks.inside"
"""Key of the environ under which the block is kept that the body is iterated in."""


class CauseMiddleware:
    """Has a cause in force while a request is answered, its body's iteration included.

    Args:
        app: The WSGI app.
        reason: Of what changes without a `because()` of its own.
        github_actor: A function of the environ, or a value; None: there is none.
        jira_actor: The same.

    A function that raises, or gives what `because()` would refuse, is logged as a
    warning, and the request is answered without that actor.

    Raises:
        ValueError: A value that `because()` refuses.
        TypeError: A value of another type.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        reason: str = Reason.WEB_INTERACTION,
        github_actor: Callable[[WSGIEnvironment], int | str | None]
        | int
        | str
        | None = None,
        jira_actor: Callable[[WSGIEnvironment], str | None] | str | None = None,
    ) -> None:
        cause = cause_of_requests(
            reason=reason, github_actor=github_actor, jira_actor=jira_actor
        )
        self._app = app
        self._answered = cause(self._answer)

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request."""
        return self._answered(environ, start_response)

    def _answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        environ[BLOCK] = Inside(current_cause())
        body = self._app(environ, start_response)
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            return body  # as they are: servers send these at once
        return _Body(body, environ[BLOCK])


def _is_file(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Body:
    """A body that is made while it is sent."""

    def __init__(self, body: Iterable[bytes], inside: Inside) -> None:
        self._body = body
        self._inside = inside

    def __iter__(self) -> Iterator[bytes]:
        with self._inside:
            parts = iter(self._body)
        while True:
            try:
                with self._inside:
                    part = next(parts)
            except StopIteration:
                return
            yield part

    def close(self) -> None:
        """Close it, as PEP 3333 has it."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._inside:
                close()
