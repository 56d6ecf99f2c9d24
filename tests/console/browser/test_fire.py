"""A fire from its first spark to its end, as on-call sees it: in a real browser, on a running home, in the store."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.routing.flag_board import Board
from shared.core.values.documents import Document, Query
from shared.flows.operations.flags import read_own
from shared.ports.store import Store
from tests.cli.conftest import started as started_process
from tests.console.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]
T = TypeVar("T")

PRO = "gemini-3-pro-image"
BACKLOG = 200
RPM = 240
REASON = "the big sizes can wait"
ME = getpass.getuser()
SOON = 45_000
DRAINED = 150_000
"""Milliseconds."""


@dataclass(frozen=True)
class Fire:
    """A home with a simulator that can be set on fire."""

    home: Path
    url: str
    console: str
    simulator: str

    def set_faults(self, *faults: dict[str, Any]) -> None:
        httpx2.post(f"{self.simulator}/control/faults", json=list(faults)).raise_for_status()

    def submit(self, count: int) -> None:
        import base64

        for first in range(0, count, 50):
            payloads = [
                {"request_id": f"hero-{number}", "prompt": "a lighthouse", "model": PRO, "image_size": "4K",
                 "priority": "bulk", "tenant": "web" if number % 3 else "print"}
                for number in range(first, min(first + 50, count))
            ]  # fmt: skip
            messages = [{"data": base64.b64encode(json.dumps(payload).encode()).decode()} for payload in payloads]
            publish = f"{self.url}/v1/projects/local/topics/render-requests:publish"
            httpx2.post(publish, json={"messages": messages}).raise_for_status()

    def ask(self, what: Callable[[Store], Awaitable[T]]) -> T:
        """The store, as another process sees it."""

        async def answer() -> T:
            store = wiring.store(Settings.read({"RENDERLANE_HOME": str(self.home)}, self.home), SystemClock())
            try:
                return await what(store)
            finally:
                await store.close()

        with ThreadPoolExecutor(1) as beside:  # Playwright has a loop in this thread
            return beside.submit(lambda: asyncio.run(answer())).result()

    def board(self) -> Board:
        return self.ask(read_own)

    def requests(self, status: str) -> list[Document]:
        return self.ask(lambda store: store.query(Query("requests", equal=(("status", status),), limit=1_000)))


@pytest.fixture
def fire(tmp_path: Path) -> Iterator[Fire]:
    home = tmp_path / "home"
    with started_process(home, "simulator", "--latency", "fixed:0.2", "--pictures", "cached") as simulator:
        (simulated,) = re.findall(r"ready at (\S+)", simulator.first_line)
        more = {
            "GOOGLE_GEMINI_BASE_URL": simulated, "GEMINI_API_KEY": "simulated", "RENDERLANE_QUOTA": f"*=rpm:{RPM}",
            "RENDERLANE_LIVE_QUOTA": "off",
        }  # fmt: skip
        with started_process(home, "up", "--port", "0", **more) as up:
            (url,) = re.findall(r"ready at (\S+)", up.first_line)
            (console,) = re.findall(r"console at (\S+)", up.first_line)
            yield Fire(home, url, console, simulated)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium.started() as started_browser:
        yield started_browser


def test_on_call_sees_a_fire_puts_it_out_and_clears_up(fire: Fire, browser: Browser) -> None:
    with chromium.opened(browser) as page:
        page.goto(fire.console)
        expect(page.locator("#state")).to_have_text("idle")
        expect(page.locator("#n-waiting")).to_have_text("0")
        expect(page.locator("#queue")).to_be_hidden()

        # The overload starts; the page shows the backlog without being loaded again.
        fire.set_faults({"kind": "overload", "model": PRO})
        fire.submit(BACKLOG)
        expect(page.locator("#queue")).to_contain_text("waiting", timeout=SOON)
        expect(page.locator("#queue")).to_contain_text("2 tenants")
        expect(page.locator("#queue")).to_contain_text("print")
        assert len(fire.requests("queued")) > BACKLOG / 2

        # The breaker trips by itself.
        breaker = page.locator("#flags .flagline", has_text=f"standard/{PRO}")
        expect(breaker).to_contain_text("breaker", timeout=SOON)
        assert [item.circuit for item in fire.board().flags.values()] == [f"standard/{PRO}"]
        chromium.shot(page, "fire-breaker")

        # On-call looks what lower-resolution would change: nothing is tripped by that.
        page.get_by_role("link", name="Flags", exact=True).click()
        form = page.locator("#trip-lower-resolution")
        form.locator("summary").click()
        form.get_by_label("Size").select_option("1K")
        form.get_by_label("Reason recorded in receipts").fill(REASON)
        form.get_by_role("button", name="Preview").click()
        expect(form.locator(".preview .big")).to_contain_text(re.compile(r"[1-9]\d* of the next \d+ change"))
        expect(form.locator(".preview")).to_contain_text("1K")
        expect(form.get_by_label("Reason recorded in receipts")).to_have_value(REASON)
        assert len(fire.board().flags) == 1
        chromium.shot(page, "fire-preview")

        # Tripped: on the page, in the store, with the name of the person who did it.
        form.get_by_role("button", name="Trip lower-resolution").click()
        expect(page.locator(".notice.good")).to_contain_text("Tripped: lower-resolution-")
        (flag,) = [item for item in fire.board().flags.values() if item.circuit is None]
        assert (flag.name, flag.to, flag.actor, flag.reason) == ("lower-resolution", "1K", ME, REASON)
        chromium.shot(page, "fire-flags")

        # The backlog drains, cheaper than before.
        page.get_by_role("link", name="Overview").click()
        row = page.locator("#flags .flagline", has_text=REASON)
        expect(row).to_contain_text(re.compile(r"\d+ requests?, \$\d+\.\d+ less"), timeout=SOON)
        chromium.shot(page, "fire-draining")
        expect(page.locator("#n-waiting")).to_have_text("0", timeout=DRAINED)
        expect(page.locator("#queue")).to_be_hidden()
        expect(page.locator("#cost")).to_contain_text(re.compile(r"\$[1-9]\d*\.\d+"), timeout=SOON)
        made = fire.requests("succeeded")
        bent = [document for document in made if flag.id in (document.data["flags"] or ())]
        others = [document for document in made if flag.id not in (document.data["flags"] or ())]
        assert len(bent) > BACKLOG / 4
        assert {document.data["receipt"]["delivered"]["image_size"] for document in bent} == {"1K"}
        assert all(flag.because in "; ".join(document.data["receipt"]["reasons"]) for document in bent)
        assert max(document.data["cost_micros"] for document in bent) < min(
            document.data["cost_micros"]
            for document in others
            if document.data["receipt"]["delivered"]["image_size"] == "4K"
        )

        # One of them, in full.
        page.get_by_label("Request id").fill(bent[0].id)
        page.get_by_role("button", name="Find").click()
        expect(page.locator("h1")).to_have_text(bent[0].id)
        expect(page.locator("#facts")).to_contain_text(REASON)
        page.locator("figure img").evaluate("image => image.decode()")  # fails where it is no picture
        expect(page.locator("#trace")).to_contain_text("queue wait")
        chromium.shot(page, "fire-request")

        # The fire is out: on-call resets the flag, and overrules the breaker.
        fire.set_faults()
        page.get_by_role("link", name="Flags", exact=True).click()
        section = page.locator(f"#{flag.id}")
        section.get_by_label("Reason").first.fill("the fire is out")
        section.get_by_role("button", name="Reset").click()
        expect(page.locator(".notice.good")).to_contain_text(f"Reset: {flag.id}")
        assert flag.id not in fire.board().flags
        page.get_by_role("link", name="Overview").click()
        expect(page.locator("#flags")).not_to_contain_text(REASON)
        history = fire.ask(lambda store: store.query(Query("flag_history", order_by=("-at",), limit=10)))
        assert [
            (document.data["action"], document.data["actor"])
            for document in history
            if document.data["flag_id"] == flag.id
        ] == [
            ("reset", ME),
            ("trip", ME),
        ]
