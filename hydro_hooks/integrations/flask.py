"""Flask: each request has a cause, whose actors a function of the request tells.

    hydro = HydroHooks(github_actor=lambda request: g.login)
    hydro.init_app(app)

The functions are called when the view is about to be: whatever logs people in (an
extension, `before_request`) has run by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Request, request

from hydro_hooks.cause import Inside, Reason, because, current_cause
from hydro_hooks.integrations.wsgi import BLOCK, CauseMiddleware

EXTENSION: Final = "hydro_hooks"


class HydroHooks:
    """The extension; one may serve several apps.

    Args:
        app: To begin with; else `init_app()`.
        reason: Of what changes in a request without a `because()` of its own.
        github_actor: A function of the request; None: there is none.
        jira_actor: The same.

    A function that raises, or gives what `because()` would refuse, is logged as a
    warning, and the request is answered without that actor.

    Raises:
        ValueError: A reason that `because()` refuses.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        reason: str = Reason.WEB_INTERACTION,
        github_actor: Callable[[Request], int | str | None] | None = None,
        jira_actor: Callable[[Request], str | None] | None = None,
    ) -> None:
        self._reason = reason
        self._actors = because(
            github_actor=_of_request(github_actor), jira_actor=_of_request(jira_actor)
        )
        because(reason)  # refused here, not in the app
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Have every request of `app` answered with a cause.

        Raises:
            RuntimeError: The app has one already.
        """
        if EXTENSION in app.extensions:
            message = f"{app.name} has HydroHooks already; call init_app() once an app"
            raise RuntimeError(message)
        app.extensions[EXTENSION] = self
        middleware = CauseMiddleware(app.wsgi_app, reason=self._reason)
        app.wsgi_app = middleware  # type: ignore[method-assign]
        dispatch = app.dispatch_request

        @self._actors
        def dispatch_request() -> Any:
            # Any: what a view may return, which Flask looks at.
            request.environ[BLOCK] = Inside(current_cause())
            return dispatch()

        app.dispatch_request = dispatch_request  # type: ignore[method-assign]


def _of_request(actor: Any) -> Any:
    # Any: a function or a value; because() looks at what it is.
    if not callable(actor):
        return actor
    # The request itself, not a proxy of it, which a function may keep.
    return lambda: actor(request._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - Flask's documented way
