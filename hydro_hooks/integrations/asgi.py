"""ASGI (Starlette, FastAPI): each request and each websocket has a cause.

    app.add_middleware(
        CauseMiddleware, github_actor=lambda scope: scope["user"].username
    )

Middleware that is added later runs earlier: add what logs people in after this one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from hydro_hooks.cause import Reason
from hydro_hooks.integrations.requests import cause_of_requests

# Any: what the specification of ASGI leaves to protocols.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_ASKED_BY_SOMEBODY: Final = frozenset({"http", "websocket"})


class CauseMiddleware:
    """Has a cause in force while a request is answered, or a websocket is open.

    Whatever else the server says (lifespan) is passed through as it is.

    Args:
        app: The ASGI app.
        reason: Of what changes without a `because()` of its own.
        github_actor: A function of the scope, or a value; None: there is none.
        jira_actor: The same.

    A function that raises, or gives what `because()` would refuse, is logged as a
    warning, and the request is answered without that actor.

    Raises:
        ValueError: A value that `because()` refuses.
        TypeError: A value of another type.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        reason: str = Reason.WEB_INTERACTION,
        github_actor: Callable[[Scope], int | str | None] | int | str | None = None,
        jira_actor: Callable[[Scope], str | None] | str | None = None,
    ) -> None:
        cause = cause_of_requests(
            reason=reason, github_actor=github_actor, jira_actor=jira_actor
        )
        self._app = app
        self._answered = cause(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app."""
        if scope["type"] in _ASKED_BY_SOMEBODY:
            await self._answered(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
