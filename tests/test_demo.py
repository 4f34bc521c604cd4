"""The demo tells its story, answers why from both databases, and ends by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
ANSWER = re.compile(
    r"^https://tidewater\.atlassian\.net: installation \d+ is disabled since .*"
    r"\(disable, reason \"jira webhook\", no actor,"
    r" made at jira_app\.webhooks:\d+ in installed\)$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the demo prints, started elsewhere and in an unkind environment."""
    environment = {
        **os.environ,
        "HYDRO_BASE_URL": "http://hydro.example",
        "TRACKING_DISABLED": "true",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(DEMO)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines_of(story: str, host: str) -> list[list[str]]:
    """Return the columns of each line that the demo prints of a customer."""
    block = story.split(f"\n{host}\n")[1].split("\n\n", maxsplit=1)[0]
    return [re.split(r" {2,}", line.strip()) for line in block.splitlines()[1:]]


def test_the_redelivered_installed_callback_disables_the_customer(story: str) -> None:
    lines = lines_of(story, "https://tidewater.atlassian.net")

    title, what, reason, who = lines[-1]
    assert title == "Jira: installed, once more"
    assert what == "installation disable, now disabled"
    assert reason == "jira webhook"
    assert re.fullmatch(r"at jira_app\.webhooks:\d+ in installed", who)


def test_why_is_answered_from_the_app_s_database_and_from_the_gateway_s(
    story: str,
) -> None:
    question, _, rest = story.partition("From the app's database:")
    from_app, _, from_gateway = rest.partition("From the gateway's database:")

    assert "Why?" in question
    assert ANSWER.search(from_app)
    assert ANSWER.search(from_gateway)


def test_everything_that_is_recorded_reaches_the_gateway(story: str) -> None:
    hosts = ("jetty", "quayside", "tidewater")
    lines = [
        line
        for host in hosts
        for line in lines_of(story, f"https://{host}.atlassian.net")
    ]

    recorded = [line for line in lines if not line[-1].startswith("nothing: ")]
    assert f"delivered {len(recorded)} events to the gateway; 0 wait." in story


def test_staff_are_named_for_each_row_that_they_delete(story: str) -> None:
    lines = lines_of(story, "https://jetty.atlassian.net")

    assert [line[-3:] for line in lines[-2:]] == [
        ["installation destroy, now absent", "stafftools-api", "GitHub hubot-support"],
        ["subscription destroy, now absent", "stafftools-api", "GitHub hubot-support"],
    ]


def test_each_actor_is_told_with_its_system_and_each_line_fits_a_terminal(
    story: str,
) -> None:
    told = story.partition("The relay delivered")[0]

    [ada] = [
        line
        for line in lines_of(story, "https://jetty.atlassian.net")
        if "Ada" in line[0]
    ]
    assert ada[-1] == "GitHub ada-jetty, Jira 5b10b0..."
    assert max(len(line) for line in told.splitlines()) <= 120


def test_where_nothing_is_recorded_the_story_says_why(story: str) -> None:
    quayside = lines_of(story, "https://quayside.atlassian.net")

    assert ["GitHub: created", "nothing: it is not connected yet"] in quayside


def test_what_the_question_was_taken_for_is_told_only_where_it_is_not_plain(
    story: str,
) -> None:
    assert "was asked for" not in story


def test_a_change_without_a_reason_is_shown_with_its_place_in_the_program(
    story: str,
) -> None:
    lines = lines_of(story, "https://quayside.atlassian.net")

    [script] = [line for line in lines if line[0].startswith("A script")]
    assert script[2] == "unattributed"
    assert re.fullmatch(r"at demo\.py:\d+ in nightly_script", script[3])


def test_nothing_is_left_on_the_disk(story: str) -> None:
    [folder, *_] = re.findall(r"sqlite:///(.*)/app\.db", story)

    assert not Path(folder).exists()


def test_with_serve_the_gateway_stays_open_until_ctrl_c() -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(DEMO), "--serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        told = next(line for line in demo.stdout if "Ctrl-C ends it" in line)
        [place] = re.findall(r"http://127\.0\.0\.1:\d+", told)
        page = requests.get(f"{place}/", timeout=10)

        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=30)

    assert page.status_code == 200
    assert "disabled or destroyed last" in page.text
    assert "The gateway is closed" in rest
    assert (demo.returncode, errors) == (0, "")
