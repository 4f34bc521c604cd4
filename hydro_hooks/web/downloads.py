"""Lists to take away, as CSV or JSON Lines: streamed, and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from flask import Response, request
from sqlalchemy import Connection, Engine

from hydro_hooks import journal
from hydro_hooks.exports import as_csv, as_json
from hydro_hooks.web.reading import reading

logger = logging.getLogger(__name__)

_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/x-ndjson",
}


def streamed(
    engine: Engine,
    form: str,
    names: Sequence[str],
    rows: Callable[[Connection], Iterator[dict[str, Any]]],
) -> Response:
    """Return rows as the answer to the request at hand.

    Args:
        engine: Of the database.
        form: `csv` or `json`.
        names: The columns.
        rows: Reads them, once the answer is on its way.

    Raises:
        DatabaseError: The database has no journal.
    """
    with reading(engine) as connection:
        journal.coverage(connection)  # what is wrong is told before anything else
    logger.info(
        "%s is exported to %s: %r",
        request.path,
        request.remote_addr,
        request.args.get("q", ""),
    )

    def lines() -> Iterator[str]:
        with reading(engine) as connection:
            if form == "csv":
                yield from as_csv(names, rows(connection))
            else:
                yield from (f"{as_json(row)}\n" for row in rows(connection))

    response = Response(lines(), content_type=_TYPES[form])
    name = request.path.rpartition("/")[2].replace(".json", ".jsonl")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
