"""Looking things up: what became of a customer's installation, and why.

One search over whatever a database holds: the journal, the outbox and the rejected
events of an app, or the journal of a gateway. `seq` orders them all: in the app's
database an event keeps its number wherever it moves, in the gateway's it is the order
of arrival.

What is found by a host or an id is completed to the whole *lives* of the rows it names,
each from a create to a destroy. A site that was renamed is then told to its end under
its old name too, and a key that the database gave away again does not mix customers.
"""

from hydro_hooks.journal.answers import (
    by_event_id,
    companions,
    counts,
    coverage,
    history,
    newest,
    newest_first,
    request_of,
    transactions,
    unattributed,
    why,
)
from hydro_hooks.journal.bars import Bar, Span, bars_of
from hydro_hooks.journal.moments import age_in, span_in
from hydro_hooks.journal.queries import (
    Filters,
    Query,
    query_in,
    query_of,
    quoted,
    split,
)
from hydro_hooks.journal.readings import host_in, shown_host
from hydro_hooks.journal.records import (
    Answer,
    Companions,
    Coverage,
    DayCount,
    History,
    Kind,
    Place,
    Record,
    StoredRequest,
    Unattributed,
)
from hydro_hooks.journal.standing import (
    PAGE,
    Standing,
    last_events,
    search_by_index,
    standings,
    subjects,
)
from hydro_hooks.journal.suggestions import near_hosts
from hydro_hooks.journal.upkeep import count_before, export, prune

__all__ = [
    "PAGE",
    "Answer",
    "Bar",
    "Companions",
    "Coverage",
    "DayCount",
    "Filters",
    "History",
    "Kind",
    "Place",
    "Query",
    "Record",
    "Span",
    "Standing",
    "StoredRequest",
    "Unattributed",
    "age_in",
    "bars_of",
    "by_event_id",
    "companions",
    "count_before",
    "counts",
    "coverage",
    "export",
    "history",
    "host_in",
    "last_events",
    "near_hosts",
    "newest",
    "newest_first",
    "prune",
    "query_in",
    "query_of",
    "quoted",
    "request_of",
    "search_by_index",
    "shown_host",
    "span_in",
    "split",
    "standings",
    "subjects",
    "transactions",
    "unattributed",
    "why",
]
