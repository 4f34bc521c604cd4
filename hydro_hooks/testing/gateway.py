"""`LocalGateway`: the real gateway on loopback, in a thread, for tests.

Nothing is faked: it checks signatures, validates, and stores in a database.

    with LocalGateway() as gateway:
        relay = Relay(engine, gateway.settings())
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from sqlalchemy import URL, Engine, RowMapping, select

from hydro_hooks.event import Event
from hydro_hooks.schema import parse
from hydro_hooks.settings import DEFAULT_APP, DEFAULT_SCHEMA, Settings, refuse_text
from hydro_hooks.tables import journal, request
from hydro_hooks.web import EVENTS_PATH, Server, create_app, create_server, open_store
from hydro_hooks.web.incoming import event_of

SECRET: Final = "the-secret-of-LocalGateway"  # noqa: S105 - of no use elsewhere


class LocalGateway:
    """The gateway on 127.0.0.1; listens inside a `with` block.

    A block may be entered again after its end. With a `store` (and a `port`) of its own
    it then goes on where it ended, as a gateway does that was down for a while.

    Args:
        secrets: Shared secrets, one or more.
        apps: The sending apps that are known.
        schemas: Paths of JSON Schema files to accept beside the packaged ones.
        store: SQLAlchemy URL of its database; None: a new file of SQLite, removed at
            the end.
        port: 0 takes a free one.

    Attributes:
        engine: On its database, inside the block.
    """

    engine: Engine

    def __init__(
        self,
        *,
        secrets: Collection[str] = (SECRET,),
        apps: Collection[str] = (DEFAULT_APP,),
        schemas: Iterable[str | Path] = (),
        store: str | URL | None = None,
        port: int = 0,
    ) -> None:
        refuse_text("secrets", secrets)
        refuse_text("apps", apps)
        self.secrets: tuple[str, ...] = tuple(secrets)
        self._apps = tuple(apps)
        self._schemas = tuple(schemas)
        self._store = store
        self._port = port

    def __getattr__(self, name: str) -> NoReturn:
        if name in {"engine", "_server"}:
            message = "a LocalGateway listens inside of its block: with gateway: ..."
            raise RuntimeError(message)
        raise AttributeError(name)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="hydro-gateway-")
        try:
            self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self._thread.join()
        self.engine.dispose()
        self._folder.cleanup()

    def _start(self) -> None:
        default = URL.create("sqlite", database=f"{self._folder.name}/gateway.db")
        self.engine = open_store(default if self._store is None else self._store)
        try:
            app = create_app(
                self.engine,
                secrets=self.secrets,
                apps=self._apps,
                schemas=self._schemas,
            )
            self._server: Server = create_server(app, port=self._port)
        except BaseException:
            self.engine.dispose()
            raise
        self._thread = threading.Thread(target=self._server.run, name="LocalGateway")
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.effective_port

    @property
    def url(self) -> str:
        """Where events are posted; what `HYDRO_BASE_URL` is to be."""
        return f"{self._server.url}{EVENTS_PATH}"

    def settings(self, *, schema: str = DEFAULT_SCHEMA) -> Settings:
        """Return settings with which a relay delivers to this gateway."""
        return Settings(
            base_url=self.url, secrets=self.secrets, app=self._apps[0], schema=schema
        )

    def events(self) -> list[Event]:
        """Return the events that it holds, the first that came first."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(journal).order_by(journal.c.seq))
            return [_event_in(row) for row in rows.mappings()]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that brought them, as rows of `hydro_request`."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(request).order_by(request.c.received_at))
            return [dict(row) for row in rows.mappings()]


def _event_in(row: RowMapping) -> Event:
    event = event_of(parse(row["payload"]), received_at=row["occurred_at"])
    if event is None:  # the gateway stores none that it cannot read
        message = f"journal row {row['seq']} holds no event"
        raise ValueError(message)
    # The row's id: a value of jira.v0.Action has none.
    return replace(event, id=row["id"])
