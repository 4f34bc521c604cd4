"""`python -m hydro_hooks.cli` is `hydro-hooks`."""

from __future__ import annotations

from hydro_hooks.cli import main

main()
