"""Each way to a remedy, clicked through in Chromium as on-call would, with its clicks counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from functions.console.desk import ConsoleContext
from shared.core.observability.verdict import State
from shared.core.routing.flag_kinds import NAMES
from shared.flows.operations.flags import read_own
from shared.flows.status import summary
from tests.console import states
from tests.console.browser import chromium
from tests.console.browser.clicks import CLICKS, Clicks
from tests.console.browser.test_five_seconds import in_state
from tests.console.served import Served, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as chrome:
        yield chrome


@contextmanager
def on_call(tmp_path: Path, browser: Browser, state: State) -> Iterator[tuple[Served, Page, Clicks]]:
    """The overview in a state, and a count of the clicks from there."""
    with in_state(tmp_path, state) as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        yield served, page, Clicks(page)


def test_a_pause_is_ended_in_two_clicks(tmp_path: Path, browser: Browser) -> None:
    with on_call(tmp_path, browser, "paused") as (served, page, clicks):
        clicks.on("#to-step")
        page.locator("#reason-pause-1a2b").fill("the profile is right again")
        clicks.on("#pause-1a2b button.main")
        expect(page.locator(".notice.good")).to_contain_text("Reset: pause-1a2b")
        clicks.took("end a pause")
        assert not served.ask(read_own(served.desk.ports.store)).flags


def test_a_budget_is_raised_in_two_clicks_and_the_raise_undone_in_a_third(tmp_path: Path, browser: Browser) -> None:
    with on_call(tmp_path, browser, "budget gone") as (_served, page, clicks):
        clicks.on("#to-step")
        page.locator("#l-press").fill("6.00")
        page.locator("#r-press").fill("the fair goes on until Sunday")
        clicks.on("#raise-press")
        expect(page.locator("#press")).to_contain_text("of $6.00 spent (50 %)")
        clicks.took("raise a budget")
        clicks.on("#undo-press")
        expect(page.locator("#press")).to_contain_text("of $3.00 spent (100 %)")
        clicks.took("undo the raise")


@pytest.mark.parametrize("name", NAMES)
def test_any_flag_is_tripped_from_the_overview_and_undone_in_one_more_click(
    tmp_path: Path, browser: Browser, name: str
) -> None:
    with on_call(tmp_path, browser, "all failing") as (served, page, clicks):
        clicks.on("nav[aria-label=Console] a[accesskey=f]")
        clicks.on(f"#trip-{name} summary")
        page.locator(f"#{name}-reason").fill("until the network is back")
        expect(page.locator(f"#preview-{name}")).to_contain_text("change")
        clicks.on(f"#go-{name}")
        expect(page.locator(".notice.good")).to_contain_text(f"Tripped: {name}-")
        clicks.took("trip any flag")
        assert [flag.name for flag in served.ask(read_own(served.desk.ports.store)).flags.values()] == [name]
        clicks.on("#undo")
        clicks.took("undo the trip")
        assert not served.ask(read_own(served.desk.ports.store)).flags


def test_a_breaker_is_reset_from_its_line_on_the_overview(tmp_path: Path, browser: Browser) -> None:
    with on_call(tmp_path, browser, "one route failing") as (served, page, clicks):
        flag_id = "breaker-standard-gemini-3-pro-image-1"
        clicks.on(f"#change-{flag_id}")
        expect(page.locator(f"#{flag_id}")).to_be_in_viewport()
        page.locator(f"#reason-{flag_id}").fill("the provider says that it is well")
        clicks.on(f"#{flag_id} button.main")
        expect(page.locator(".notice.good")).to_contain_text(f"Reset: {flag_id}")
        clicks.took("reset a breaker")
        assert not served.ask(read_own(served.desk.ports.store)).flags


def test_what_failed_alike_is_retried_from_its_number_on_the_overview(tmp_path: Path, browser: Browser) -> None:
    async def furnish(desk: ConsoleContext) -> None:
        await states.furnish(desk.ports, "idle")
        await states.failed(desk.ports, 3, "overload")
        await summary.write(desk.ports)

    with serve(tmp_path, furnish) as served, chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        clicks = Clicks(page)
        clicks.on("#f-failed-overload")
        expect(page.locator("table.requests tbody tr")).to_have_count(3)
        clicks.on("#revive-all")
        expect(page.locator("h1")).to_have_text("Retry 3 requests?")
        clicks.on("button.main")
        expect(page.locator(".notice.good")).to_contain_text("Resubmitted: 3 requests")
        clicks.took("retry all that failed alike")


def test_one_request_is_found_by_its_id_and_cancelled(tmp_path: Path, browser: Browser) -> None:
    with on_call(tmp_path, browser, "short of quota") as (_served, page, clicks):
        page.keyboard.press("/")
        page.keyboard.type("web-3-007")
        page.keyboard.press("Enter")
        clicks.on("#to-cancel")
        clicks.on("button.main")
        expect(page.locator(".notice.good")).to_contain_text("Cancellation sent")
        clicks.took("cancel one request found by its id")


def test_an_id_that_does_not_exist_leads_on_with_the_navigation_in_place(tmp_path: Path, browser: Browser) -> None:
    with in_state(tmp_path, "idle") as served, chromium.opened(browser, but="status of 404") as page:
        page.goto(f"{served.url}/requests/spring-hero")
        expect(page.locator("h1")).to_have_text("Not found")
        expect(page.locator("nav[aria-label=Console] a")).to_have_count(6)
        page.locator("#to-similar").click()
        expect(page.locator("#r-text")).to_have_value("spring-hero")


def test_what_waits_is_listed_in_one_click_and_cancelled_in_three(tmp_path: Path, browser: Browser) -> None:
    with on_call(tmp_path, browser, "one route failing") as (_served, page, clicks):
        clicks.on("#n-waiting")
        clicks.took("list what waits")
        expect(page.locator("table.requests tbody tr")).to_have_count(11)
        clicks.on("#cancel-all")
        expect(page.locator("h1")).to_have_text("Cancel 11 requests?")
        clicks.on("button.main")
        expect(page.locator(".notice.good")).to_contain_text("Cancellation requested: 11 requests")
        clicks.took("cancel all that waits")


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
        clicks.took("open the runbook at what fails")
        assert page.url.endswith("/runbook#connection")
        expect(page.locator("#connection h3")).to_be_in_viewport()
        clicks.on("#overload .copy-button >> nth=0")
        clicks.took("copy the runbook's command")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("renderlane ")
        clicks.on("#list-connection")
        assert "outcome=connection" in page.url
        assert clicks.count - 1 == CLICKS["from the runbook to the requests"]
