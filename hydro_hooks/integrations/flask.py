"""Flask: each request has a cause, whose actors a function of the request tells.

    hydro = HydroHooks(github_actor=lambda request: g.get("login"))
    hydro.init_app(app)

The functions are called when the view is about to be: an extension or a function of
`before_request` that logs people in has run by then, a decorator of the view has not.
What they tell holds for the rest of the request, handlers of errors and
`after_request` included.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Request, has_request_context, request

from hydro_hooks.cause import Inside, Reason, because, current_cause
from hydro_hooks.cause.values import checked
from hydro_hooks.integrations.wsgi import BLOCK, CauseMiddleware

EXTENSION: Final = "hydro_hooks"

_CAUSE: Final = "hydro_hooks.cause"
"""Key of the environ under which a request's cause is kept, once it is known."""

_AFTERWARDS: Final = (
    "handle_user_exception",
    "handle_exception",
    "process_response",
    "do_teardown_request",
)
"""Methods of an app that run its handlers of errors and of requests that are over."""


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
        self._reason = checked("reason", reason)  # here, not in the app
        actors = because(
            github_actor=_of_request(github_actor), jira_actor=_of_request(jira_actor)
        )
        self._answered = actors(self._answer)
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
        dispatch = functools.partial(self._answered, app.dispatch_request)
        app.dispatch_request = dispatch  # type: ignore[method-assign]
        for name in _AFTERWARDS:
            setattr(app, name, functools.partial(_in_cause, getattr(app, name)))

    def _answer(self, dispatch: Callable[..., Any], *context: Any) -> Any:
        # Any: what a view may return, and what Flask gives the method: nothing, or from
        # 3.2 on its context (https://flask.palletsprojects.com/changes/).
        request.environ[_CAUSE] = cause = current_cause()
        request.environ[BLOCK] = Inside(cause)
        return dispatch(*context)


def _in_cause(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    cause = request.environ.get(_CAUSE) if has_request_context() else None
    if cause is None:
        return method(*args, **kwargs)
    with Inside(cause):
        return method(*args, **kwargs)


def _of_request(actor: Any) -> Any:
    # Any: a function or a value; because() looks at what it is.
    if not callable(actor):
        return actor
    # The request itself, not a proxy of it, which a function may keep.
    return lambda *_: actor(request._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - Flask's documented way
