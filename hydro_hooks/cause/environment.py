"""The cause that the environment gives, for scripts and migrations that are run once.

HYDRO_REASON="ticket 4711" HYDRO_GITHUB_ACTOR=octocat python clean_up.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hydro_hooks.cause.values import UNATTRIBUTED, Cause, checked
from hydro_hooks.errors import ConfigurationError

_VARIABLES: Final = {"reason": "HYDRO_REASON", "github_actor": "HYDRO_GITHUB_ACTOR"}


def cause_in(environ: Mapping[str, str]) -> Cause:
    """Return what `HYDRO_REASON` and `HYDRO_GITHUB_ACTOR` say.

    Args:
        environ: The environment. Unset and empty mean the same; an actor of digits
            alone is a numeric id, any other a login.

    Raises:
        ConfigurationError: A value that `because()` would refuse.
    """
    found: dict[str, Any] = {}
    for name, variable in _VARIABLES.items():
        text = environ.get(variable, "").strip()
        if not text:
            continue
        is_id = name == "github_actor" and text.isascii() and text.isdigit()
        try:
            found[name] = checked(name, int(text) if is_id else text)
        except ValueError as error:
            problem = str(error).partition(f"{name} ")[2]
            problem = problem.replace("None to clear it", "unset it")
            message = f"{variable} {problem}"
            raise ConfigurationError(message) from None
    return replace(UNATTRIBUTED, **found)
