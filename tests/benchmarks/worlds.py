"""A contender's program while it runs, and what was recorded during an experiment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from benchmarks.compared import (
    INSTALLATION,
    SUBSCRIPTION,
    Contender,
    Models,
    Record,
    Subject,
)
from sqlalchemy import orm


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """The keys of an installation and of its two subscriptions."""

    id: int
    subscriptions: tuple[int, int]

    @property
    def subject(self) -> Subject:
        return (INSTALLATION, self.id)

    @property
    def subscription_subjects(self) -> set[Subject]:
        return {(SUBSCRIPTION, key) for key in self.subscriptions}


@dataclass(slots=True)
class News:
    """What was recorded while a block ran."""

    records: list[Record] = field(default_factory=list)

    def tells(self, action: str, *subjects: Subject) -> bool:
        """Return whether it tells of this change of each."""
        found = {one.subject for one in self.records if one.action == action}
        return set(subjects) <= found

    def causes(self, subject: Subject) -> set[tuple[str | None, str | None]]:
        found = (one for one in self.records if one.subject == subject)
        return {(one.reason, one.actor) for one in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One contender's program and database."""

    name: str
    contender: Contender
    models: Models
    engine: sa.Engine

    def customer(self) -> Customer:
        with orm.Session(self.engine) as session:
            row = self.models.installation(
                jira_host="https://acme.atlassian.net", enabled=True, visits=1
            )
            session.add(row)
            session.flush()
            links = [self.subscription(row.id) for _ in range(2)]
            session.add_all(links)
            session.commit()
            first, second = (link.id for link in links)
            return Customer(id=row.id, subscriptions=(first, second))

    def subscription(self, installation_id: int) -> Any:
        return self.models.subscription(
            installation_id=installation_id, github_installation_id=19, enabled=True
        )

    @contextlib.contextmanager
    def session(self) -> Iterator[orm.Session]:
        """Give a session that is going to execute statements; committed in the end."""
        with orm.Session(self.engine) as session:
            self.contender.begin(session)
            yield session
            session.commit()

    @contextlib.contextmanager
    def news(self) -> Iterator[News]:
        before = set(self._records())
        found = News()
        yield found
        found.records = [one for one in self._records() if one not in before]

    def _records(self) -> list[Record]:
        return self.contender.records(self.engine, self.models)

    def row(self, session: orm.Session, customer: Customer) -> Any:
        return session.get_one(self.models.installation, customer.id)

    def rows(self) -> tuple[sa.Table, sa.Table]:
        tables = self.models.base.metadata.tables
        return tables[INSTALLATION], tables[SUBSCRIPTION]

    def change_behind(self, sql: str) -> None:
        """Execute it by another connection, of the driver's own, as psql would."""
        url = self.engine.url
        with psycopg.connect(
            host=url.host, port=url.port, user=url.username, dbname=url.database
        ) as connection:
            connection.execute(sql.encode())
