"""HYDRO_REASON and HYDRO_GITHUB_ACTOR: the cause of scripts that are run once."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import tracked_models
from databases import Database
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tracked_models import Installation

from hydro_hooks import (
    Cause,
    ConfigurationError,
    because,
    carried,
    carry,
    current_cause,
    register,
)
from hydro_hooks.cause import UNATTRIBUTED
from hydro_hooks.testing import recorded


@pytest.fixture
def _in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRO_REASON", "ticket 4711")
    monkeypatch.setenv("HYDRO_GITHUB_ACTOR", "octocat")


@pytest.mark.usefixtures("_in_environment")
def test_the_environments_cause_is_in_force_where_no_block_is(session: Session) -> None:
    session.add(Installation(id=1))
    session.commit()
    with because("jira webhook"):
        inside = current_cause()
        inherited = carry()
    with carried({}):
        of_a_job = current_cause()

    [event] = recorded(session)
    assert (event.reason, event.github_actor) == ("ticket 4711", "octocat")
    assert inside == Cause(reason="jira webhook", github_actor="octocat")
    assert inherited == {"reason": "jira webhook", "github_actor": "octocat"}
    assert of_a_job == UNATTRIBUTED


@pytest.mark.usefixtures("_in_environment")
def test_it_is_in_force_while_something_is_registered() -> None:
    before = current_cause()
    with register(*tracked_models.mappings()):
        during = current_cause()

    assert before == UNATTRIBUTED
    assert during == Cause(reason="ticket 4711", github_actor="octocat")
    assert current_cause() == UNATTRIBUTED


def test_an_actor_of_digits_is_a_numeric_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRO_GITHUB_ACTOR", "583231")
    with register(*tracked_models.mappings()):
        assert current_cause() == Cause(github_actor=583231)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HYDRO_REASON", "x" * 201, "HYDRO_REASON has 201 characters; at most 200"),
        ("HYDRO_GITHUB_ACTOR", "@", "is empty; give some text, or unset it"),
        ("HYDRO_GITHUB_ACTOR", "0", "HYDRO_GITHUB_ACTOR is 0; a GitHub user id is"),
    ],
)
def test_a_value_that_is_refused_is_named_and_nothing_is_registered(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=problem):
        register(*tracked_models.mappings())

    assert current_cause() == UNATTRIBUTED


CONSOLE = """
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tracked_models import Installation, mappings
from hydro_hooks import because, register
hooks = register(*mappings())
session = Session(create_engine({url!r}))
session.add(Installation(id=1))
session.commit()
with because("console", note="ticket 4712"):
    session.add(Installation(id=2))
    session.commit()

session.close()
"""


def test_in_a_console_both_the_environment_and_blocks_say_why(
    tracked: Engine, database: Database
) -> None:
    done = subprocess.run(
        [sys.executable, "-i"],
        input=CONSOLE.format(url=database.text_url),
        env={
            **os.environ,
            "HYDRO_REASON": "ticket 4711",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        check=True,
        text=True,
    )

    assert "Error" not in done.stderr
    first, second = recorded(tracked)
    assert (first.reason, first.note) == ("ticket 4711", None)
    assert (second.reason, second.note) == ("console", "ticket 4712")
    assert second.origin is not None
    # Python 3.13 numbers what is typed: <stdin>-9.
    assert re.fullmatch(r"<stdin>(-\d+)?:2 in <module>", second.origin)
