"""The short examples run as they are, and print what they are to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import broker_url

EXAMPLES = Path(__file__).parent.parent / "examples"
BY_JIRA = "installation.create: jira webhook, by 557058:0f9b, at customers:43 in add"
PRINTED = {
    "flask_app": ["[('web interaction', 'octocat')]"],
    "wsgi_app": [
        "installation.create: web interaction, by octocat, at customers:43 in add"
    ],
    "fastapi_app": [
        "installation.create: web interaction, by octocat, at customers:43 in add"
    ],
    "async_session": ["installation.create: stafftools-api, by hubot"],
    "celery_jobs": [
        BY_JIRA,
        "installation.create: unattributed, by nobody known,"
        " at jobs.add (customers:43 in add)",
    ],
    "rq_jobs": [
        BY_JIRA,
        "installation.create: unattributed, by nobody known,"
        " at customers.add (customers:43 in add)",
    ],
    "alembic_tables": [
        "hydro_journal hydro_meta hydro_outbox hydro_rejected hydro_shard",
        "",
    ],
    "logging_setup": ["a customer is added (jira webhook, by 557058:0f9b)"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_short_example_prints_what_it_is_to_show(name: str, tmp_path: Path) -> None:
    environment = dict(os.environ)
    if name == "rq_jobs":
        environment["REDIS_URL"] = broker_url("redis")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == PRINTED[name]


def test_each_integration_has_an_example_of_at_most_30_lines() -> None:
    for name in [*PRINTED, "test_webhook"]:
        text = (EXAMPLES / f"{name}.py").read_text("utf-8")

        assert len(list(filter(None, text.splitlines()))) <= 30, name
