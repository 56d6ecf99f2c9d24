"""The pictures of the documentation are of this console: `./scripts/pictures` takes them again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from functions.console.desk import ConsoleContext
from tests.console import states
from tests.console.browser import chromium
from tests.console.served import serve

PICTURES = {"light": Path("docs/console.png"), "dark": Path("docs/console-dark.png")}
WIDTH = 1280
TAKEN = os.environ.get("RENDERLANE_PICTURES")
"""Set by ./scripts/pictures: the pictures are written."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as chrome:
        yield chrome


def take_them(tmp_path: Path, browser: Browser) -> None:
    async def furnish(desk: ConsoleContext) -> None:
        await states.furnish(desk.ports, "one route failing")

    with serve(tmp_path, furnish) as served:
        for scheme, path in PICTURES.items():
            with chromium.opened(browser, viewport={"width": WIDTH, "height": 900}, color_scheme=scheme) as page:
                page.goto(f"{served.url}/")
                page.wait_for_load_state("networkidle")
                page.screenshot(path=str(path), full_page=True)
                with Image.open(path) as image:  # a third of the size, and no colour less that one sees
                    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if TAKEN:
    test_take_them = pytest.mark.browser(pytest.mark.slow(take_them))


@pytest.mark.parametrize("path", PICTURES.values(), ids=PICTURES)
def test_each_is_a_whole_screen_and_the_page_shows_it(path: Path) -> None:
    with Image.open(path) as image:
        assert image.width == WIDTH
        assert image.height > 700
    assert path.stat().st_size < 250_000
    page = Path("docs/operations/console.md").read_text("utf-8")
    assert re.search(rf'(?:src|srcset)="\.\./{path.name}"', page)
