"""Why a round of the relay failed: in the log at length, and in short."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hydro_hooks.creation import MAKE_TABLES
from hydro_hooks.driver_errors import misses_table, words_of
from hydro_hooks.tables import metadata

logger = logging.getLogger("hydro_hooks.relay")

_MAX_PROBLEM = 200
"""Characters kept of what a database says."""


def log_failure(error: Exception, pause_seconds: float) -> str:
    """Log why a round failed, and return it in short."""
    if isinstance(error, SQLAlchemyError):
        # Not the error itself: its text holds the statement's parameters.
        problem = _summary(error)
        logger.warning(
            "The relay cannot use the app's database (%s); events are kept; trying"
            " again in %.0f s",
            problem,
            pause_seconds,
        )
        return f"the app's database cannot be used: {problem}"
    logger.exception(
        "The relay failed; events are kept; trying again in %.0f s", pause_seconds
    )
    return type(error).__name__


def _summary(error: SQLAlchemyError) -> str:
    if not isinstance(error, DBAPIError):
        words = str(error).partition("\n")[0]
        return f"{type(error).__name__}: {words[:_MAX_PROBLEM]}"
    problem = f"{type(error.orig).__name__}: {words_of(error)[:_MAX_PROBLEM]}"
    if misses_table(error, metadata.tables):
        problem += f"; {MAKE_TABLES}"
    return problem
