"""The command `hydro-hooks`.

Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage,
3 nothing found. Importing this loads no click; `main()` says how to get it.
"""

from __future__ import annotations

import io
import sys

from hydro_hooks.cli.extras import remedy_for


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    try:
        # Imported late, so that a missing click can be told in one line.
        from hydro_hooks.cli.commands import hydro_hooks  # noqa: PLC0415
    except ModuleNotFoundError as error:
        remedy = remedy_for(error.name)
        if remedy is None:
            raise
        sys.stderr.write(f"Error: {remedy}\n")
        raise SystemExit(1) from None
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A host in another script must not fail on a terminal that lacks its letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    hydro_hooks(prog_name="hydro-hooks")
