"""The app's own log records say why and by whom."""

from __future__ import annotations

import io
import logging
import queue
import subprocess
import sys
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener

import pytest
from sqlalchemy.orm import Session
from tracked_models import Installation

from hydro_hooks import because
from hydro_hooks.integrations.logging import CauseFilter
from hydro_hooks.testing import recorded

FORMAT = (
    "%(message)s|%(hydro_reason)s|%(hydro_github_actor)s|%(hydro_jira_actor)s"
    "|%(hydro_transaction_id)s"
)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("an app of the tests")
    log.setLevel(logging.INFO)
    log.propagate = False
    yield log
    log.handlers.clear()


def lines_of(log: logging.Logger) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(CauseFilter())
    handler.setFormatter(logging.Formatter(FORMAT))
    log.addHandler(handler)
    return stream


def test_a_record_says_what_is_in_force_where_it_is_made(log: logging.Logger) -> None:
    stream = lines_of(log)
    log.info("outside")
    with because("jira webhook", github_actor=583231, jira_actor="557058:x"):
        log.info("inside")

    assert stream.getvalue().splitlines() == [
        "outside|unattributed|-|-|-",
        "inside|jira webhook|583231|557058:x|-",
    ]


def test_a_record_names_the_transaction_that_its_block_recorded(
    log: logging.Logger, session: Session
) -> None:
    stream = lines_of(log)
    with because("outer"):
        with because("inner"):
            session.add(Installation())
            session.commit()
            log.info("inner")
        log.info("outer")
        with because("next"):
            log.info("next")
    log.info("outside")

    [event] = recorded(session)
    assert [line.split("|")[4] for line in stream.getvalue().splitlines()] == [
        event.transaction_id,
        event.transaction_id,
        "-",
        "-",
    ]


def test_behind_a_queue_the_cause_is_that_of_who_logged(log: logging.Logger) -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    handler.addFilter(CauseFilter())
    log.addHandler(handler)
    stream = io.StringIO()
    end = logging.StreamHandler(stream)
    end.setFormatter(logging.Formatter(FORMAT))
    listener = QueueListener(records, end)
    listener.start()
    with because("jira webhook"):
        log.info("inside")
    listener.stop()

    assert stream.getvalue() == "inside|jira webhook|-|-|-\n"


def test_the_librarys_own_messages_are_the_apps_to_show() -> None:
    program = (
        "import hydro_hooks, logging;"
        "logging.getLogger('hydro_hooks.detection').warning('not for stderr')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    assert (done.stdout, done.stderr) == ("", "")
