"""The pages as a person meets them: in Chromium, with JavaScript and without."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from needs import missing
from page_site import site
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)
from sqlalchemy import Engine, create_engine
from test_cli import run
from test_journal import HOST, installation, record, settle, subscription

from hydro_hooks import creation
from hydro_hooks.event import Event, new_id
from hydro_hooks.transition import Action

AXE: Final = "axe-core@4.10.3"
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL: Final = "<script>document.title = 'owned'</script><img src=x onerror=owned()>"
WIDE: Final = {"width": 1200, "height": 900}
NARROW: Final = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        missing("there is no Chromium; apt-get install chromium, or your own way")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        missing("there is no npm, which brings axe-core; install Node.js")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--prefix", str(folder), AXE],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if done.returncode:
        missing(f"npm does not bring {AXE}: {done.stderr[-500:]}")
    return folder / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Event]]:
    """Yield an app's database with a customer's story, and the event that ended it."""
    folder = tmp_path_factory.mktemp("pages")
    engine = create_engine(f"sqlite:///{folder / 'app.db'}")
    creation.create_tables(engine)
    now = datetime.now(UTC).replace(microsecond=0)

    def ago(days: float, kind: Any, action: Action, **changes: Any) -> Event:
        event: Event = kind(action, occurred_at=now - timedelta(days=days), **changes)
        return event

    company = new_id()
    by_octocat = {"github_actor": "octocat", "reason": "web interaction"}
    end = ago(9, installation, Action.DISABLE, transaction_id=company)
    settle(
        engine,
        ago(200, installation, Action.CREATE, **by_octocat),
        ago(199, installation, Action.ENABLE, **by_octocat),
        ago(150, subscription, Action.CREATE, **by_octocat),
        ago(90, installation, Action.DISABLE, note="ticket 4711", github_actor="hubot"),
        ago(80, installation, Action.ENABLE, github_actor="hubot"),
        end,
        ago(9, subscription, Action.DESTROY, transaction_id=company),
        *(
            ago(
                day,
                installation,
                list(Action)[day % 4],
                subject_id=str(100 + day),
                jira_integration_id=100 + day,
                jira_hostname=f"https://customer-{day}.atlassian.net",
                reason=("jira webhook", "unattributed", "stafftools-api")[day % 3],
            )
            for day in range(13)
        ),
    )
    record(
        engine,
        ago(
            0.01,
            installation,
            Action.DESTROY,
            subject_id="99",
            jira_integration_id=99,
            jira_hostname=f"https://wicked.example{EVIL}",
            note=EVIL,
            github_actor=EVIL,
        ),
    )
    yield engine, end
    engine.dispose()


@pytest.fixture(scope="module")
def url(story: tuple[Engine, Event]) -> Iterator[str]:
    with site(story[0]) as url:
        yield url


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        java_script_enabled=request.param, accept_downloads=True
    )
    page = context.new_page()
    troubles: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(message.text)

    def note_elsewhere(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            troubles.append(request.url)

    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", note)
    page.on("request", note_elsewhere)
    yield page
    context.close()
    assert troubles == []


def test_from_a_host_to_the_permalink_of_what_ended_it(
    page: Page, url: str, story: tuple[Engine, Event]
) -> None:
    end = story[1]
    page.goto(url)
    page.get_by_role("searchbox").fill("test-host.jira.com")
    page.get_by_role("button", name="Ask why").click()

    assert "Disabled since" in page.locator(".sentence").inner_text()
    assert "by a Jira webhook; no person was named" in page.inner_text("main")
    page.get_by_text("with 1 subscription destroyed").click()
    assert page.get_by_role("link", name="subscription 7").first.is_visible()
    page.get_by_role("link", name="this event").click()
    assert page.url == f"{url}/events/{end.id}"
    assert page.get_by_role("heading", level=1).inner_text() == (
        "installation 19: disable"
    )

    permalink = page.url
    page.reload()
    assert page.url == permalink
    page.go_back()
    assert page.get_by_role("searchbox").input_value() == "test-host.jira.com"
    page.go_back()
    assert page.url == f"{url}/"


def test_what_others_wrote_does_not_run(page: Page, url: str) -> None:
    for path in ("/", "/search?q=99", "/search?q=action:destroy"):
        page.goto(f"{url}{path}")

        assert page.title() != "owned"
        assert page.locator("main script, main img").count() == 0
        assert "onerror=owned()" in page.inner_text("main")


def test_the_csv_is_what_the_terminal_tells(
    page: Page, url: str, story: tuple[Engine, Event], tmp_path: Path
) -> None:
    page.goto(f"{url}/search?q=test-host.jira.com")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    path = tmp_path / "its.csv"
    downloading.value.save_as(path)

    terminal = run("history", HOST, "--csv", "--database", str(story[0].url))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    same = list(csv.reader(terminal.stdout_bytes.decode().splitlines(keepends=True)))
    assert downloading.value.suggested_filename == "search.csv"
    assert [rows[0], *rows[:0:-1]] == same


def test_keys_lead_to_the_search_and_along_the_list(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}/search?q=test-host.jira.com")
    items = page.locator("[data-item] > td > a.event")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert items.nth(1).evaluate("it => it === document.activeElement")
    target = items.nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}{target}")
    page.keyboard.press("/")
    assert page.get_by_role("searchbox").evaluate("it => it === document.activeElement")
    page.keyboard.type("j/k")
    assert page.get_by_role("searchbox").input_value() == "j/k"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_keeps_anybody_out(
    browser: Browser,
    url: str,
    story: tuple[Engine, Event],
    axe: Path,
    scheme: Any,
    size: Any,
) -> None:
    found = []
    context = browser.new_context(color_scheme=scheme, viewport=size, bypass_csp=True)
    for path in (
        "/",
        "/search?q=test-host.jira.com",
        f"/events/{story[1].id}",
        "/unattributed",
        "/search?q=actor:octocat",
        "/search?q=nobody.example",
        "/search?q=action:vanish",
    ):
        page = context.new_page()
        page.goto(f"{url}{path}")
        page.add_script_tag(path=axe)
        told = page.evaluate("axe.run()")
        found += [
            (path, each["impact"], each["id"], [it["target"] for it in each["nodes"]])
            for each in told["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{path} is wider than the screen"
        page.close()
    context.close()

    assert found == []


def test_pictures_of_the_pages_are_made(
    browser: Browser, url: str, story: tuple[Engine, Event], tmp_path: Path
) -> None:
    """To be looked at: HYDRO_SCREENSHOTS names a folder that they stay in."""
    folder = Path(os.environ.get("HYDRO_SCREENSHOTS", tmp_path))
    shots = {
        "start": ("/", WIDE, "light"),
        "start-dark": ("/", WIDE, "dark"),
        "story": ("/search?q=test-host.jira.com", WIDE, "light"),
        "story-dark": ("/search?q=test-host.jira.com", WIDE, "dark"),
        "story-narrow": ("/search?q=test-host.jira.com", NARROW, "light"),
        "event": (f"/events/{story[1].id}", WIDE, "light"),
        "unattributed": ("/unattributed", WIDE, "light"),
        "nothing": ("/search?q=nobody.example", WIDE, "light"),
    }
    for name, (path, size, scheme) in shots.items():
        options: dict[str, Any] = {"viewport": size, "color_scheme": scheme}
        page = browser.new_page(**options)
        page.goto(f"{url}{path}")
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        page.close()

    assert all((folder / f"{name}.png").stat().st_size > 10_000 for name in shots)
