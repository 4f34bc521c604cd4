"""What SQL text does to a transaction, and to tables: classified once per text."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

from hydro_hooks.detection.raw_sql import WRITES
from hydro_hooks.detection.sql_tokens import COMMENT
from hydro_hooks.detection.transactions import TransactionLog

_SAVEPOINT: Final = re.compile(
    r"""\s* (?: (?P<set>SAVEPOINT)
             | (?P<release>RELEASE (?:\s+SAVEPOINT)?)
             | (?P<rollback>ROLLBACK (?:\s+(?:WORK|TRANSACTION))?
                 (?P<to>\s+TO (?:\s+SAVEPOINT)?)?) )
        (?: \s+ (?: ["`\[] (?P<quoted>[^"`\]]+) ["`\]] | (?P<name>\w+) ) )?
        \s* ;? \s* \Z""",
    re.IGNORECASE | re.VERBOSE,
)
_COMMITS: Final = re.compile(
    r"\s*(?:COMMIT|END|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)
_COMMITS_IMPLICITLY: Final = re.compile(
    r"""\s*(?: ALTER | CREATE (?!\s+TEMPORARY) | DROP (?!\s+TEMPORARY) | RENAME
             | TRUNCATE | (?:UN)?LOCK\s+TABLES? | BEGIN | START\s+TRANSACTION | GRANT
             | REVOKE | ANALYZE | OPTIMIZE | REPAIR | CHECK\s+TABLE | CACHE | FLUSH
             | INSTALL | UNINSTALL | SET\s+PASSWORD | LOAD\s+INDEX
             | SET\s+(?:@@|SESSION\s+)?autocommit\s*=\s*(?:1|ON|TRUE) )\b""",
    re.IGNORECASE | re.VERBOSE,
)


_EXPLAINS: Final = re.compile(r"\s*EXPLAIN\b(?!.*\bANALY[SZ]E\b)", re.I | re.S)
"""Only with ANALYZE does it run what it explains."""


class SqlText(NamedTuple):
    """What SQL text does that matters here.

    Attributes:
        commits: Whether it ends the transaction.
        commits_on_mariadb: Whether MariaDB commits before it, unasked.
        savepoint: Where it sets, releases or rolls back to one, or rolls back all.
        writes: Whether it has a word for changing rows.
    """

    commits: bool
    commits_on_mariadb: bool
    savepoint: re.Match[str] | None
    writes: bool


@functools.lru_cache(maxsize=1024)
def classified(sql: str) -> SqlText | None:
    """Return what SQL text does; None where nothing of that matters."""
    bare = COMMENT.sub(" ", sql)
    text = SqlText(
        _COMMITS.match(bare) is not None,
        _COMMITS_IMPLICITLY.match(bare) is not None,
        _SAVEPOINT.match(bare),
        WRITES.search(sql) is not None and _EXPLAINS.match(bare) is None,
    )
    return text if any(text) else None


def follow(log: TransactionLog, match: re.Match[str]) -> None:
    """Follow a savepoint that was set, released or rolled back to.

    Args:
        log: Of the transaction.
        match: `SqlText.savepoint`.
    """
    name = (match["quoted"] or match["name"] or "").lower()
    if match["set"]:
        log.savepoint(name)
    elif match["release"]:
        log.netting.release(name)
    elif match["to"]:
        log.rollback_to(name)
    else:
        log.rollback()
