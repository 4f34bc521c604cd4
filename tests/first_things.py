"""What each extra is for, in a few lines: a program that runs with it and the core.

A new extra gets an entry in `FIRST_THINGS`: a program that imports the modules that the
extra is for and has them do the first thing that a user would. It fails by raising, and
writes nothing to stderr. It runs in an empty folder; `sys.argv[1]` names examples/.
"""

from __future__ import annotations

from typing import Final

APP: Final = """
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from hydro_hooks import because, create_tables, current_cause, installation, register

class Base(DeclarativeBase): ...

class Installation(Base):
    __tablename__ = "installation"
    id: Mapped[int] = mapped_column(primary_key=True)
    jira_host: Mapped[str]
    enabled: Mapped[bool]

engine = create_engine("sqlite:///app.db")
Base.metadata.create_all(engine)
create_tables(engine)
register(installation(Installation, jira_hostname="jira_host", enabled="enabled"))

def new_installation():
    return Installation(jira_host="https://acme.atlassian.net", enabled=True)

with Session(engine) as session, because("web interaction", github_actor="octocat"):
    session.add(new_installation())
    session.commit()
"""
"""An app in whose outbox one event waits."""

FIRST_THINGS: Final = {
    "alembic": """
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect
import hydro_hooks.integrations.alembic

engine = create_engine("sqlite:///app.db")
with engine.begin() as connection:
    Operations(MigrationContext.configure(connection)).create_hydro_tables()
assert inspect(engine).has_table("hydro_outbox")
""",
    "asyncio": f"""{APP}
import asyncio
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from hydro_hooks.testing import recorded

async def main():
    engine = create_async_engine("sqlite+aiosqlite:///app.db")
    async with AsyncSession(engine) as session:
        with because("stafftools-api"):
            session.add(new_installation())
            await session.commit()
        [_, event] = await session.run_sync(recorded)
        assert event.reason == "stafftools-api", event
    await engine.dispose()

asyncio.run(main())
""",
    "celery": """
from celery import Celery
from hydro_hooks import because
from hydro_hooks.integrations.celery import connect

connect()
app = Celery(broker="memory://", set_as_current=False)

@app.task(name="tidy")
def tidy(): ...

with because("stafftools-api"):
    tidy.apply_async(ignore_result=True)
with app.connection_for_read() as connection:
    message = connection.SimpleQueue("celery").get(timeout=5)
assert message.headers["hydro_hooks"]["reason"] == "stafftools-api", message.headers
""",
    "cli": f"""{APP}
from click.testing import CliRunner
from hydro_hooks.cli.commands import hydro_hooks

arguments = ["why", "acme.atlassian.net", "--database", "sqlite:///app.db"]
result = CliRunner().invoke(hydro_hooks, arguments)
assert result.exit_code == 0 and "octocat" in result.stdout, result.output
""",
    "demo": """
import runpy, sys

_, examples = sys.argv
sys.path.insert(0, examples)
sys.argv = ["demo.py"]
runpy.run_path(f"{examples}/demo.py", run_name="__main__")
""",
    "flask": """
from flask import Flask
from hydro_hooks import current_cause
from hydro_hooks.integrations.flask import HydroHooks

app = Flask("shop")
HydroHooks(app, github_actor=lambda request: request.headers["X-Login"])
app.get("/")(lambda: current_cause().github_actor)
response = app.test_client().get("/", headers={"X-Login": "octocat"})
assert response.text == "octocat", response.text
""",
    "gateway": f"""{APP}
import re, requests
from hydro_hooks.relay import Relay
from hydro_hooks.testing.gateway import LocalGateway

with LocalGateway() as gateway:
    assert Relay(engine, gateway.settings()).drain().delivered == 1
    [event] = gateway.events()
    place = f"http://127.0.0.1:{{gateway.port}}"
    page = requests.get(f"{{place}}/search?q=acme.atlassian.net", timeout=30)
    [style] = re.findall('href="([^"]+css)"', page.text)
    style = requests.get(place + style, timeout=30)
assert event.github_actor == "octocat", event
assert page.ok and "octocat" in page.text, page
assert style.ok, style
""",
    "kafka": f"""{APP}
from pathlib import Path
from hydro_hooks import Settings
from hydro_hooks.relay import Relay

Path("settings").write_text("test.mock.num.brokers=1")  # librdkafka's own broker
settings = Settings(base_url="kafka://127.0.0.1:1/topic", kafka_file="settings")
counts = Relay(engine, settings).drain()
assert counts.delivered == 1, counts
""",
    "mariadb": """
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

try:
    create_engine("mariadb+pymysql://nobody@127.0.0.1:1/app").connect()
except OperationalError as error:
    assert type(error.orig).__module__ == "pymysql.err", error.orig
""",
    "metrics": f"""{APP}
from prometheus_client import CollectorRegistry, generate_latest
from hydro_hooks import Settings
from hydro_hooks.metrics import RelayCollector
from hydro_hooks.relay import Relay

registry = CollectorRegistry()
relay = Relay(engine, Settings(base_url="http://127.0.0.1:1", secrets=("s3cret",)))
registry.register(RelayCollector(relay, engine))
assert b"hydro_hooks_waiting_events 1.0" in generate_latest(registry)
""",
    "postgresql": """
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

assert psycopg.pq.__impl__ == "binary", psycopg.pq.__impl__
try:
    create_engine("postgresql+psycopg://nobody@127.0.0.1:1/app").connect()
except OperationalError as error:
    assert isinstance(error.orig, psycopg.OperationalError), error.orig
""",
    "pytest": f"""{APP}
import sys
from pathlib import Path
import pytest

Path("test_shop.py").write_text('''
from hydro_hooks.testing.gateway import LocalGateway

def test_a_gateway_listens():
    with LocalGateway() as gateway:
        assert gateway.events() == []
''')
sys.exit(pytest.main(["-q", "test_shop.py"]))
""",
    "rq": """
from redis import Redis
from hydro_hooks import because
from hydro_hooks.integrations.rq import CauseJob

with because("stafftools-api"):
    job = CauseJob.create("math.sqrt", (4,), connection=Redis())
assert job.meta["hydro_hooks"]["reason"] == "stafftools-api", job.meta
""",
}

TOGETHER: Final = {"all", "dev"}
"""Extras that are others together: what they hold is looked at, not installed."""
