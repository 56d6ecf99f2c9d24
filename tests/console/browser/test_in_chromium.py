"""The pages in a real Chromium: by keyboard alone, on a phone, in the dark, without scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from functions.console.desk import ConsoleContext
from shared.core.lifecycle import request_record
from shared.core.observability import series
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.routing.flag_kinds import NAMES
from shared.core.values.documents import Create, Document, Update
from shared.flows.operations import flags, tenants
from shared.flows.operations.flags import read_own
from shared.flows.status import summary
from tests.builders import a_record, a_request, an_attempt
from tests.console import states
from tests.console.browser import chromium
from tests.console.served import Served, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PRO, LONG = "gemini-3-pro-image", "a-request-with-a-rather-long-name-of-the-kind-that-pipelines-make-up-0001"
PAGES = (
    "/", "/flags", "/failures", "/runbook", f"/requests/{LONG}", f"/requests/{LONG}/packet", f"/requests/{LONG}/trace",
    "/requests/w-1", "/requests/w-1/cancel",
)  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path, _furnish) as console:
        yield console


async def _furnish(desk: ConsoleContext) -> None:
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
    with chromium.started() as started_browser:
        yield started_browser


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
        page.goto(f"{served.url}/flags")
        _until(page, "Tab", _focused(page, "#trip-pause summary"))
        page.keyboard.press("Enter")
        _until(page, "Tab", _focused(page, "#pause-reason"))
        page.keyboard.type("by keyboard")
        expect(page.locator("#preview-pause .big")).to_contain_text("change")
        _until(page, "Tab", _focused(page, "#go-pause"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"  # one sees where one is
        page.keyboard.press("Enter")
        expect(page.locator(".notice.good")).to_contain_text("Tripped: pause-")
        board = served.ask(read_own(served.desk.ports.store))
        assert [flag.reason for flag in board.flags.values() if flag.name == "pause"] == ["by keyboard"]
        page.wait_for_load_state("networkidle")  # the page that answered has its script by now
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
            assert page.evaluate(chromium.CONTRAST) == [], path
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(244, 245, 247)")


@pytest.mark.parametrize("name", NAMES)
def test_each_flag_is_tripped_by_its_own_form_previewed_as_one_types_and_undone_by_one_click(
    served: Served, browser: Browser, name: str
) -> None:
    with chromium.opened(browser, but="status of 422") as page:
        page.goto(f"{served.url}/flags")
        form = page.locator(f"#trip-{name}")
        form.locator("summary").click()
        expect(form.locator(".preview")).to_contain_text("of the next 60 change")
        form.locator("input[name=tenant]").fill("shop")
        expect(form.locator(".preview")).to_contain_text("20 of")
        form.locator("input[name=share]").fill("101")
        expect(form.locator(".preview .wrong")).to_contain_text("a whole number from 1 to 100")
        assert page.locator("main").count() == 1  # a part came, not a page
        form.locator("input[name=share]").fill("100")
        expect(page.locator(f"#go-{name}")).to_contain_text("of 20 change")
        form.locator("input[name=reason]").fill(f"a test of {name}")
        page.locator(f"#go-{name}").click()
        expect(page.locator(".notice.good")).to_contain_text(f"Tripped: {name}-")
        board = served.ask(read_own(served.desk.ports.store))
        assert [flag.scope.tenant for flag in board.flags.values() if flag.reason == f"a test of {name}"] == ["shop"]
        page.locator("#undo").click()
        expect(page.locator(".notice.good")).to_contain_text(f"Undone: {name}-")
        board = served.ask(read_own(served.desk.ports.store))
        assert not [flag for flag in board.flags.values() if flag.reason == f"a test of {name}"]


def test_the_values_of_a_moment_are_read_off_all_time_lines(served: Served, browser: Browser) -> None:
    served.ask(served.desk.ports.store.commit(Update(*_a_day_of_series(served))))
    with chromium.opened(browser) as page:
        page.goto(f"{served.url}/")
        box = page.locator("#chart-errors .plot svg").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.422, box["y"] + 20)  # in the outage of the morning
        expect(page.locator("#hover")).to_contain_text("UTC · Failed calls:")
        expect(page.locator("#hover")).to_contain_text("%")
        assert page.locator(".cross[visibility=visible]").count() == 7
        page.mouse.move(box["x"], 5)
        expect(page.locator("#hover")).to_have_text("")
        page.get_by_role("link", name="1 hour").click()
        expect(page.locator("#time-title")).to_have_text("Last 1 hour")
        chromium.shot(page, "time-1h")


def _a_day_of_series(served: Served) -> tuple[str, dict[str, Any], str]:
    """In place of the one point that furnishing made."""
    document = served.ask(served.desk.ports.store.get(series.PATH))
    assert isinstance(document, Document)
    return series.PATH, states.a_day(datetime.now(UTC), "busy").to_json(), document.version


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
        expect(page.locator("#news")).to_contain_text("3 active flags")
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.evaluate("htmx.trigger('#panels', 'every')")
        page.evaluate("document.body.dispatchEvent(new Event('wake'))")
        assert urls == []
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
        form = page.locator("#trip-use-flex")
        form.locator("summary").click()
        form.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview-use-flex")).to_contain_text("of the next")
        page.get_by_role("button", name="Trip use-flex").click()
        expect(page.locator(".wrong")).to_contain_text("found nothing; allowed: 1 to 300 characters")
        page.get_by_label("Reason recorded in receipts").and_(page.locator("#use-flex-reason")).fill("without scripts")
        page.get_by_role("button", name="Trip use-flex").click()
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
