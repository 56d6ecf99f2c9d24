"""A real Chromium for the console's pages, and what it must never say on them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
SHOTS = os.environ.get("RENDERLANE_SCREENSHOTS")
"""A folder for screenshots, to look at afterwards."""
PHONE = {"width": 360, "height": 740}
PATIENCE_MS = 30_000
DESK = {"width": 1280, "height": 900}


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Skips, with the reason, where Chromium is not installed."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # The sandbox of Chromium cannot be had by root, which containers are.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, *, but: str | None = None, **more: Any) -> Iterator[Page]:
    """A page of its own; at the end it must not have said a word of errors, `but` those with that in them, and loaded
    nothing from elsewhere.
    """
    context = browser.new_context(**{"viewport": DESK, **more})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    messages: list[str] = []
    urls: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and (but is None or but not in message.text):
            messages.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    yield page
    origin = page.url.partition("/console")[0]
    context.close()
    assert messages == []
    assert [url for url in urls if not url.startswith(origin)] == []


def shot(page: Page, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def is_within(page: Page) -> bool:
    """Nothing is cut off or has to be scrolled to sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return wide


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
