"""The five-second test: from the first screen alone, without scrolling, somebody who never saw the console names the
state and the next step. What each picture must say stands in MUST_SAY; each way to a remedy has its clicks counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from functions.console.desk import ConsoleContext
from shared.core.observability.verdict import Level, State
from shared.flows.operations.flags import read_own
from tests.console import chromium, states
from tests.console.served import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MUST_SAY: dict[State, tuple[Level, str, tuple[str, ...]]] = {
    "idle": ("green", "Idle: nothing waits, nothing runs", ("Nothing to do",)),
    "busy": ("green", "Working: 6 in flight, 52 waiting", ("images a minute", "to empty", "Nothing to do")),
    "short of quota": (
        "amber", "Short of quota: gemini-3-pro-image runs at its limit",
        ("160 requests wait", "the longest for 22 min", "raise the quota"),
    ),
    "one route failing": (
        "red", "standard/gemini-3-pro-image fails: overload",
        ("22 of 24 calls (92 %) failed in 5 min since", "keeps requests off this route", "8 requests", "Wait, or trip"),
    ),
    "all failing": (
        "red", "Every call fails: connection",
        ("14 of 14 calls failed", "standard/gemini-3-pro-image", "The worker retries", "Check the base URL"),
    ),
    "paused": (
        "amber", "Paused by ann@example.com",
        ("the colour profile is wrong", "42 requests", "ends by itself in", "Reset the flag", "Open the flag"),
    ),
    "budget gone": ("amber", "Budget of press is used up", ("of $3.00 a day", "46 requests wait for budget", "Raise")),
    "worker gone": (
        "red", "No worker: silent for 9 min", ("12 requests waited", "renderlane up", "Nothing queued is lost"),
    ),
}  # fmt: skip
SCREENS = ({"width": 360, "height": 740}, {"width": 1280, "height": 800}, {"width": 1920, "height": 1080})
GROUNDS = {
    ("green", "light"): "rgb(232, 245, 236)", ("green", "dark"): "rgb(27, 51, 36)",
    ("amber", "light"): "rgb(255, 244, 214)", ("amber", "dark"): "rgb(58, 48, 19)",
    ("red", "light"): "rgb(253, 238, 236)", ("red", "dark"): "rgb(58, 31, 29)",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as chrome:
        yield chrome


def in_state(home: Path, state: State) -> Any:
    async def furnish(desk: ConsoleContext) -> None:
        await states.furnish(desk.ports, state)

    return serve(home, furnish)


@pytest.mark.parametrize("state", MUST_SAY)
def test_the_first_screen_names_the_state_and_the_next_step(tmp_path: Path, browser: Browser, state: State) -> None:
    level, title, phrases = MUST_SAY[state]
    with in_state(tmp_path, state) as served:
        for screen in SCREENS:
            for scheme in ("light", "dark"):
                with chromium.opened(browser, viewport=screen, color_scheme=scheme) as page:
                    page.goto(f"{served.url}/")
                    where = f"{state}, {screen['width']} px, {scheme}"
                    _says(page, state, title, phrases, screen, where)
                    ground = page.locator("#verdict").evaluate("e => getComputedStyle(e).backgroundColor")
                    assert ground == GROUNDS[level, scheme], where
                    assert chromium.is_within(page), where
                    assert page.evaluate(chromium.CONTRAST) == [], where
                    chromium.shot(page, f"{state.replace(' ', '-')}-{screen['width']}-{scheme}")


def _says(page: Page, state: State, title: str, phrases: tuple[str, ...], screen: dict[str, int], where: str) -> None:
    assert page.locator("#state").inner_text().lower() == state, where
    assert page.locator("h1").inner_text() == title, where
    words = page.locator("#verdict").inner_text()
    for phrase in phrases:
        assert phrase in words, (where, phrase, words)
    for part in ("#state", "h1", "#verdict .next"):
        box = page.locator(part).bounding_box()
        assert box is not None, (where, part)
        assert box["y"] + box["height"] <= screen["height"], f"{where}: {part} is below the first screen"
    assert page.evaluate("scrollY") == 0, where
    assert title in page.title(), where


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_width_of_the_screen_is_used_and_nothing_empty_takes_space(
    tmp_path: Path, browser: Browser, width: int
) -> None:
    with (
        in_state(tmp_path, "busy") as served,
        chromium.opened(browser, viewport={"width": width, "height": 1000}) as page,
    ):
        page.goto(f"{served.url}/")
        rights = page.locator(".panel:not([hidden])").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().right)"
        )
        assert max(rights) >= width - 40
        heights = page.locator(".panel[hidden]").evaluate_all("all => all.map(e => e.offsetHeight)")
        assert heights
        assert set(heights) == {0}
        assert page.locator(".timechart").count() == 6


class Clicks:
    """One page, and how often it was clicked; typing is not counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def on(self, selector: str) -> None:
        self.count += 1
        self.page.locator(selector).click()
        self.page.wait_for_load_state("networkidle")


def test_a_pause_is_ended_in_two_clicks(tmp_path: Path, browser: Browser) -> None:
    with in_state(tmp_path, "paused") as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("#to-step")
        page.locator("#reason-pause-1a2b").fill("the profile is right again")
        clicks.on("#pause-1a2b button.main")
        expect(page.locator(".notice.good")).to_contain_text("Reset: pause-1a2b")
        assert clicks.count == 2
        assert not served.ask(read_own(served.desk.ports.store)).flags


def test_a_budget_is_raised_in_two_clicks(tmp_path: Path, browser: Browser) -> None:
    with in_state(tmp_path, "budget gone") as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("#to-step")
        page.locator("#l-press").fill("6.00")
        clicks.on("#raise-press")
        expect(page.locator("#press")).to_contain_text("of $6.00 spent (50 %)")
        assert clicks.count == 2


def test_everything_is_paused_in_three_clicks_and_undone_in_a_fourth(tmp_path: Path, browser: Browser) -> None:
    with in_state(tmp_path, "all failing") as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("nav[aria-label=Console] a[accesskey=f]")
        clicks.on("#trip-pause summary")
        page.locator("#pause-reason").fill("until the network is back")
        clicks.on("#go-pause")
        expect(page.locator(".notice.good")).to_contain_text("Tripped: pause-")
        assert clicks.count == 3
        clicks.on("#undo")
        assert not served.ask(read_own(served.desk.ports.store)).flags


def test_what_waits_is_listed_in_one_click_and_cancelled_in_three(tmp_path: Path, browser: Browser) -> None:
    with in_state(tmp_path, "one route failing") as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("#n-waiting")
        expect(page.locator("table.requests tbody tr")).to_have_count(11)
        clicks.on("#cancel-all")
        expect(page.locator("h1")).to_have_text("Cancel 11 requests?")
        clicks.on("button.main")
        expect(page.locator(".notice.good")).to_contain_text("Cancellation asked for: 11 requests")
        assert clicks.count == 3


def test_the_runbook_is_one_click_away_and_leads_back_to_the_requests_in_a_second(
    tmp_path: Path, browser: Browser
) -> None:
    with (
        in_state(tmp_path, "all failing") as served,
        chromium.opened(browser, permissions=["clipboard-read", "clipboard-write"]) as page,
    ):
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("#to-runbook")
        assert page.url.endswith("/runbook#connection")
        expect(page.locator("#connection h3")).to_be_in_viewport()
        page.locator("#overload .copy-button").first.click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(("renderlane", "gcloud"))
        clicks.on("#list-connection")
        assert "outcome=connection" in page.url
        assert clicks.count == 2
