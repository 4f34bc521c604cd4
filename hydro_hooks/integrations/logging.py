"""Logging: why and by whom, on each of the app's own log records.

handler.addFilter(CauseFilter())
handler.setFormatter(Formatter("%(message)s reason=%(hydro_reason)s"))
"""

from __future__ import annotations

from logging import Filter, LogRecord

from hydro_hooks.cause import current_cause, current_transaction_id


class CauseFilter(Filter):
    """Adds to each record what is in force where it is made; lets all pass.

    The attributes: `hydro_reason`, `hydro_github_actor`, `hydro_jira_actor` and
    `hydro_transaction_id`, which is that of the transaction that was last recorded in
    the block of `because()`; `-` where there is none.

    Give it to handlers, which see the records of all loggers. Behind a `QueueHandler`
    give it to that one: the listener's thread knows of no cause.
    """

    def filter(self, record: LogRecord) -> bool:
        """Add the attributes."""
        cause = current_cause()
        record.hydro_reason = cause.reason
        record.hydro_github_actor = _shown(cause.github_actor)
        record.hydro_jira_actor = _shown(cause.jira_actor)
        record.hydro_transaction_id = _shown(current_transaction_id())
        return True


def _shown(value: int | str | None) -> int | str:
    return "-" if value is None else value
