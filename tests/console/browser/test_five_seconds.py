"""The five-second test: from the first screen alone, without scrolling, somebody who never saw the console names the
state and the next step. What each picture must say stands in MUST_SAY.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from functions.console.desk import ConsoleContext
from shared.core.observability.verdict import Level, State
from tests.console import states
from tests.console.browser import chromium
from tests.console.served import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MUST_SAY: dict[State, tuple[Level, str, tuple[str, ...]]] = {
    "idle": ("green", "Idle: nothing waits, nothing runs", ("Nothing to do",)),
    "busy": ("green", "Working: 6 in flight, 52 waiting", ("images a minute", "to empty", "Nothing to do")),
    "short of quota": (
        "amber", "Short of quota: gemini-3-pro-image runs at its limit",
        ("160 requests wait", "the longest for 22 min", "raise the quota", "The quota of this minute"),
    ),
    "one route failing": (
        "red", "standard/gemini-3-pro-image fails: overload",
        ("22 of 24 calls (92 %) failed in 5 min since", "keeps requests off this route",
         "8 requests accept no other route", "Wait for the probes"),
    ),
    "all failing": (
        "red", "Every call fails: connection",
        ("14 of 14 calls failed", "standard/gemini-3-pro-image", "The worker retries", "Check the base URL"),
    ),
    "paused": (
        "amber", "Paused by ann@example.com",
        ("Reason: the colour profile is wrong", "42 requests", "expires in", "Reset the flag", "Open the flag"),
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
        assert page.locator(".timechart").count() == 7
