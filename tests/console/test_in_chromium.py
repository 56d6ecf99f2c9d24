"""The pages in a real Chromium: by keyboard alone, on a phone, in the dark, without scripts, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, Page, expect

from functions.console.app import desk_of, whole
from functions.console.desk import Desk
from scripts.local.home import serving
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.core.lifecycle import request_record
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.values.documents import Create
from shared.flows.operations import flags, tenants
from shared.flows.operations.flags import read_own
from shared.flows.status import summary
from shared.wiring import Worker
from tests.builders import a_record, a_request, an_attempt
from tests.console import chromium
from tests.console.conftest import settings_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
T = TypeVar("T")

PRO, LONG = "gemini-3-pro-image", "a-request-with-a-rather-long-name-of-the-kind-that-pipelines-make-up-0001"
PAGES = (
    "/", "/flags", "/failures", "/runbook", f"/requests/{LONG}", f"/requests/{LONG}/packet", f"/requests/{LONG}/trace",
    "/requests/w-1", "/requests/w-1/cancel",
)  # fmt: skip


@dataclass
class Served:
    """A console with things on it, served by a thread of its own."""

    desk: Desk
    url: str
    loop: asyncio.AbstractEventLoop

    def ask(self, what: Awaitable[T]) -> T:
        async def asked() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(asked(), self.loop).result(20)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    ready, ends = threading.Event(), asyncio.Event()
    found: list[Served] = []

    async def serve() -> None:
        settings = settings_of(tmp_path)
        messaging = wiring.topics(settings, SystemClock())
        assert isinstance(messaging, LocalTopics)
        await messaging.ensure(SUBSCRIPTIONS)
        worker = Worker.of(wiring.build(settings, io.StringIO(), messaging))
        desk = desk_of(worker, settings)
        await _furnish(desk)
        async with serving(whole(desk), port=0) as address:
            found.append(Served(desk, f"{address}/console", asyncio.get_running_loop()))
            ready.set()
            await ends.wait()
        await worker.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(ends.set)
        thread.join(20)


async def _furnish(desk: Desk) -> None:
    """Something in every panel."""
    now, store = datetime.now(UTC), desk.ports.store
    for number in range(60):
        tenant, priority = ("web", "print", "shop")[number % 3], ("interactive", "normal", "bulk")[number % 3]
        request = a_request(request_id=f"w-{number}", model=PRO, image_size="4K", tenant=tenant, priority=priority)
        await store.commit(
            Create(request_record.path(f"w-{number}"), a_record(request, now=now - timedelta(minutes=number)))
        )
    for number, code in enumerate(("overload", "overload", "timeout", "credential")):
        outcome = {"code": code, "message": "The provider said no.", "advice": ""}
        at = now - timedelta(minutes=number + 1)
        changes = {"status": "failed", "outcome": outcome, "finished_at": at, "announce": None}
        await store.commit(
            Create(request_record.path(f"f-{number}"), a_record(a_request(request_id=f"f-{number}"), now=at, **changes))
        )
    begun, attempt = an_attempt(a_request(request_id=LONG, model=PRO), now=now)
    await store.commit(Create(begun.path, begun.data), Create(attempt.path, attempt.data))
    await tenants.set_budget(store, "web", limit_micros=12_500_000)
    circuit = Scope(model=PRO, lane="standard")
    breaker = f"standard/{PRO}: overload, 9 of 9 calls in 10 s"
    for flag in (
        Flag(
            "breaker-standard-3-pro",
            "use-nano-banana-2",
            BREAKER,
            breaker,
            now,
            now + timedelta(hours=2),
            scope=circuit,
        ),
        Flag("use-flex-1a2b", "use-flex", "ann@example.com", "it is dear", now, now + timedelta(hours=1)),
    ):
        await flags.trip(store, desk.ports.signals, flag)
    await summary.write(desk.ports)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as found:
        yield found


def _until(page: Page, key: str, is_there: Callable[[], bool], most: int = 120) -> None:
    """Press a key until the focus is where it is wanted."""
    for _ in range(most):
        if is_there():
            return
        page.keyboard.press(key)
    raise AssertionError("the keyboard does not lead there")


def _focused(page: Page, selector: str) -> Callable[[], bool]:
    return lambda: bool(page.evaluate("(s) => document.activeElement.matches(s)", selector))


def test_a_flag_is_tripped_by_the_keyboard_alone(served: Served, browser: Browser) -> None:
    with chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        _until(page, "Tab", _focused(page, "#to-trip"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/flags#trip")
        _until(page, "Tab", _focused(page, "form.trip input[type=radio]"))
        _until(page, "ArrowDown", _focused(page, "input[value=pause]"))
        _until(page, "Tab", _focused(page, "#f-to"))
        page.keyboard.type("none")
        _until(page, "Tab", _focused(page, "#f-reason"))
        page.keyboard.type("by keyboard")
        _until(page, "Tab", _focused(page, "button[formaction]"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"  # one sees where one is
        page.keyboard.press("Enter")
        expect(page.locator("#preview .big")).to_contain_text("change")
        _until(page, "Tab", _focused(page, "form.trip button.main"))
        page.keyboard.press("Enter")
        expect(page.locator(".notice.good")).to_contain_text("Tripped: pause-")
        board = served.ask(read_own(served.desk.ports.store))
        assert [each.reason for each in board.flags.values() if each.name == "pause"] == ["by keyboard"]
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(served: Served, browser: Browser, scheme: str) -> None:
    with chromium.opened(browser, viewport=chromium.PHONE, color_scheme=scheme) as page:
        for number, path in enumerate(PAGES):
            page.goto(f"{served.url}{path}")
            page.wait_for_load_state("networkidle")
            assert chromium.is_within(page), path
            chromium.shot(page, f"phone-{scheme}-{number}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_by_day_and_in_the_dark(served: Served, browser: Browser, scheme: str) -> None:
    """By WCAG's contrast of 4.5, for every text on the overview, the flags and the failures."""
    with chromium.opened(browser, color_scheme=scheme) as page:
        for path in ("/", "/flags", "/failures", f"/requests/{LONG}"):
            page.goto(f"{served.url}{path}")
            chromium.shot(page, f"desk-{scheme}-{path.strip('/').partition('/')[0] or 'overview'}")
            assert page.evaluate(CONTRAST) == [], path
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(244, 245, 247)")


CONTRAST = """() => {
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if ((c[3] ?? 1) > 0) return c;
    }
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest(".unseen, .skip, datalist, option, noscript")) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color).slice(0, 3)), light(ground(e).slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName} ${e.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


def test_panels_follow_without_a_reload_keep_the_focus_and_rest_while_nobody_looks(
    served: Served, browser: Browser
) -> None:
    with chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        page.evaluate("window.sameDocument = true")
        page.locator("#change-use-flex-1a2b").focus()
        store, signals = served.desk.ports.store, served.desk.ports.signals
        now = datetime.now(UTC)
        new = Flag("pause-9f9f", "pause", "bob", "a new one", now, now + timedelta(hours=1))
        served.ask(flags.trip(store, signals, new))
        expect(page.locator("#flags")).to_contain_text("a new one")
        assert page.evaluate("window.sameDocument")
        assert page.evaluate("document.activeElement.id") == "change-use-flex-1a2b"
        assert "3 active flags" in page.locator("#news").inner_text()
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("htmx.trigger('#panels', 'every')")
        page.evaluate("document.body.dispatchEvent(new Event('wake'))")
        assert asked == []
        page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
        with page.expect_request("**/live"):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_script_that_is_not_ours_does_not_run(served: Served, browser: Browser) -> None:
    with _Plain(browser) as page:
        page.goto(f"{served.url}/")
        violated = page.evaluate("""() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        })""")
        assert violated == "script-src-elem"
        assert page.evaluate("window.ran") is None


class _Plain:
    """A page whose errors are wanted."""

    def __init__(self, browser: Browser) -> None:
        self._context = browser.new_context()

    def __enter__(self) -> Page:
        return self._context.new_page()

    def __exit__(self, *_: object) -> None:
        self._context.close()


def test_everything_works_without_scripts(served: Served, browser: Browser) -> None:
    with chromium.opened(browser, but="status of 422", java_script_enabled=False) as page:
        page.goto(f"{served.url}/flags")
        page.get_by_role("radio", name="use-flex").check()
        page.get_by_label("Size, for lower-resolution").select_option("none")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("Preview")
        page.get_by_role("button", name="Trip", exact=True).click()
        expect(page.locator(".wrong")).to_contain_text("found nothing; allowed: 1 to 300 characters")
        page.get_by_label("Reason recorded in receipts").fill("without scripts")
        page.get_by_role("button", name="Trip", exact=True).click()
        expect(page.locator(".notice.good")).to_contain_text("Tripped: use-flex-")
        page.goto(f"{served.url}/requests/w-1")
        page.get_by_role("button", name="Show the prompt").click()
        expect(page.locator(".prompt")).to_contain_text("a black mechanical keyboard")
        assert "keyboard" not in page.url
        page.goto(f"{served.url}/requests/w-1")
        page.get_by_role("link", name="Show the trace").click()
        expect(page.locator(".waterfall")).to_contain_text("queue wait")
        page.goto(f"{served.url}/requests/w-1")
        page.get_by_role("link", name="Cancel…").click()
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator(".notice.good")).to_contain_text("Cancellation sent")
