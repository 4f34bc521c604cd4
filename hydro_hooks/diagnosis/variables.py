"""Variables of the environment that look like ours, and that nothing reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from hydro_hooks.diagnosis.findings import Finding, passed, warned

KNOWN: Final = (
    "HYDRO_APP",
    "HYDRO_APP_SECRET",
    "HYDRO_BASE_URL",
    "HYDRO_DATABASE_URL",
    "HYDRO_GITHUB_ACTOR",
    "HYDRO_KAFKA_CONFIG",
    "HYDRO_REASON",
    "HYDRO_SCHEMA",
    "HYDRO_SIGNER",
    "HYDRO_WEB_TOKEN",
    "TRACKING_DISABLED",
)
_PREFIX: Final = "HYDRO_"
_OF_TESTS: Final = ("HYDRO_TEST_", "HYDRO_FAULTS", "HYDRO_EXAMPLES")


def examine_variables(names: Iterable[str]) -> Finding:
    """Say which variables are misspelt; never what is in them.

    Args:
        names: Of the variables of the environment.
    """
    unknown = [
        name
        for name in sorted(names)
        if name.startswith(_PREFIX)
        and not name.startswith(_OF_TESTS)
        and name not in KNOWN
    ]
    if not unknown:
        return passed("none that begins with HYDRO_ is unknown")
    return warned("; ".join(map(_told, unknown)))


def _told(name: str) -> str:
    # The prefix, which all have, makes any short name 0.67 like another.
    like = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.7)
    remedy = f"did you mean {like[0]}?" if like else "unset it, or see README.md"
    return f"{name} is set, and nothing reads it: {remedy}"
