"""Pages for the person who is asked "why?": a blueprint over a journal.

    app.register_blueprint(pages(engine), url_prefix="/hydro")

Whoever mounts it in an app guards it with the app's own login. It reads, and cannot
write; its pages need nothing from elsewhere, and no JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from hydro_hooks import journal, story
from hydro_hooks.binds import check_bind
from hydro_hooks.errors import ConfigurationError, DatabaseError
from hydro_hooks.exports import (
    PLACE_FIELDS,
    RECORD_FIELDS,
    fields_of,
    fields_of_place,
)
from hydro_hooks.journal import Kind, Query, Record, query_in
from hydro_hooks.signing import HydroHmac
from hydro_hooks.story import KINDS
from hydro_hooks.web.access import Guard, only_from_here
from hydro_hooks.web.downloads import streamed
from hydro_hooks.web.reading import reading
from hydro_hooks.web.rendering import (
    bad_query,
    no_such_page,
    rendered,
    unavailable,
    with_headers,
)
from hydro_hooks.web.stories import ROWS, Group, groups_of, overview, story_of


def pages(
    engine: Engine, *, secrets: Sequence[str] = (), guard: Guard | None = None
) -> Blueprint:
    """Return the pages as a blueprint.

    Args:
        engine: Of an app's database, or of a gateway's.
        secrets: Shared secrets that the signatures of stored requests are checked
            with; without one they are not.
        guard: Keeps others out; None: the app that mounts them does.

    Raises:
        TypeError: `engine` is none, or an asynchronous one.
    """
    in_async = (
        "the pages take an engine of their own, of a driver that is not asynchronous:"
        ' create_engine("postgresql+psycopg://...")'
    )
    check_bind("pages()", engine, Engine, in_async=in_async, is_of_threads=True)
    views = _Pages(engine, tuple(secrets))
    blueprint = Blueprint(
        "hydro_hooks",
        __name__,
        static_folder="static",
        static_url_path="/hydro-hooks-static",
        template_folder="templates",
    )
    for rule, view in (
        ("/", views.start),
        ("/search", views.search),
        ("/search.<any(csv, json):form>", views.exported),
        ("/events/<event_id>", views.event),
        ("/unattributed", views.unattributed),
        ("/unattributed.<any(csv, json):form>", views.exported_places),
    ):
        blueprint.add_url_rule(rule, view_func=view, endpoint=view.__name__)
    if guard is not None:
        blueprint.before_request(guard)
    blueprint.after_request(with_headers)
    blueprint.register_error_handler(ConfigurationError, bad_query)
    blueprint.register_error_handler(DatabaseError, unavailable)
    blueprint.register_error_handler(SQLAlchemyError, unavailable)
    for value in (
        story.sentence,
        story.who_of,
        story.subject_of,
        story.place_of,
        story.moment,
        story.long_moment,
        story.group_of,
        journal.shown_host,
        journal.quoted,
    ):
        blueprint.add_app_template_filter(value, f"hydro_{value.__name__}")
    return blueprint


def create_pages_app(
    engine: Engine, *, secrets: Sequence[str] = (), guard: Guard = only_from_here
) -> Flask:
    """Return the pages as an app of their own; arguments as for `pages()`."""
    app = Flask("hydro_hooks.web", static_folder=None)
    its = pages(engine, secrets=secrets, guard=guard)
    its.add_url_rule("/<path:path>", endpoint="other", view_func=no_such_page)
    app.register_blueprint(its)
    return app


class _Pages:
    """What the views share."""

    def __init__(self, engine: Engine, secrets: tuple[str, ...]) -> None:
        self._engine = engine
        self._secrets = secrets

    def start(self) -> str:
        """Show the search box, and what happened lately."""
        with reading(self._engine) as connection:
            return _page(
                connection, "start.html", overview=overview(connection, now=_now())
            )

    def search(self) -> str | tuple[str, int]:
        """Show what a query asks for: a story, or a list."""
        line = request.args.get("q", "").strip()
        query = query_in(line, now=_now())
        before = request.args.get("before", type=_number)
        with reading(self._engine) as connection:
            if query.text and query.kind is not Kind.ACTOR:
                told = story_of(connection, query, now=_now(), before=before)
                if told is not None:
                    return _page(
                        connection, "story.html", line=line, text=query.text, story=told
                    )
            return self._list(connection, line, query, before)

    def _list(
        self, connection: Connection, line: str, query: Query, before: int | None
    ) -> str | tuple[str, int]:
        records = journal.newest(connection, query, limit=ROWS + 1, before=before)
        if not records and before is None:
            near = journal.near_hosts(connection, query.text) if query.text else []
            return _nothing(connection, line, query, near)
        shown = records[:ROWS]
        return _page(
            connection,
            "list.html",
            line=line,
            query=query,
            groups=groups_of(connection, shown),
            older=shown[-1].seq if len(records) > ROWS else None,
        )

    def event(self, event_id: str) -> str | tuple[str, int]:
        """Show all that is known of one event."""
        with reading(self._engine) as connection:
            record = journal.by_event_id(connection, event_id)
            if record is None:
                query = Query(text=event_id, kind=Kind.EVENT)
                return _nothing(connection, event_id, query)
            stored = journal.request_of(connection, record)
            return _page(
                connection,
                "event.html",
                record=record,
                fields=fields_of(record),
                companions=_companions(connection, record),
                transaction=_transaction(connection, record),
                request_stored=stored,
                is_valid=self._is_valid(stored),
            )

    def _is_valid(self, stored: journal.StoredRequest | None) -> bool | None:
        if stored is None or not self._secrets:
            return None
        return HydroHmac(self._secrets).verify(stored.body, stored.authorization)

    def unattributed(self) -> str:
        """Show the places in the program that gave no reason."""
        line = request.args.get("q", "").strip()
        query = _filters_in(line)
        with reading(self._engine) as connection:
            places = journal.unattributed(connection, query.filters)
            return _page(
                connection, "unattributed.html", line=line, query=query, places=places
            )

    def exported(self, form: str) -> Response:
        """Stream all that a query asks for, the newest first."""
        query = query_in(request.args.get("q", ""), now=_now())
        return streamed(
            self._engine,
            form,
            RECORD_FIELDS,
            lambda connection: map(fields_of, journal.newest_first(connection, query)),
        )

    def exported_places(self, form: str) -> Response:
        """Stream the places in the program that gave no reason."""
        query = _filters_in(request.args.get("q", ""))
        return streamed(
            self._engine,
            form,
            PLACE_FIELDS,
            lambda connection: map(
                fields_of_place, journal.unattributed(connection, query.filters)
            ),
        )


def _filters_in(line: str) -> Query:
    query = query_in(line, now=_now())
    if query.text:
        message = f"{query.text!r} is no qualifier; here only these narrow it down"
        raise ConfigurationError(message)
    return query


def _number(text: str) -> int:
    """Return a number as a `seq` may be, which no database refuses."""
    return min(max(int(text), 0), (1 << 63) - 1)


def _companions(connection: Connection, record: Record) -> Sequence[Record]:
    """Return the other events of its transaction."""
    if record.event.transaction_id is None:
        return ()
    its = Query(text=record.event.transaction_id, kind=Kind.TRANSACTION)
    found = journal.newest(connection, its, limit=ROWS + 1)
    return [each for each in found if each.seq != record.seq]


def _transaction(connection: Connection, record: Record) -> Group | None:
    """Return how much its transaction did; None where it did nothing else."""
    [group] = groups_of(connection, [record])
    return group if group.summary else None


def _nothing(
    connection: Connection, line: str, query: Query, near: Sequence[str] = ()
) -> tuple[str, int]:
    """Return the page that says that nothing is found, and what is like it."""
    told = _page(
        connection,
        "nothing.html",
        line=line,
        text=query.text,
        query=query,
        near=near,
    )
    return told, HTTPStatus.NOT_FOUND


def _page(connection: Connection, template: str, **values: Any) -> str:
    """Return a page. Any: whatever its template shows."""
    values = {"held": journal.coverage(connection), "kinds": KINDS, **values}
    return rendered(template, **values)


def _now() -> datetime:
    return datetime.now(UTC)
