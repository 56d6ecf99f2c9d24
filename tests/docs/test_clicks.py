"""The documentation names the clicks that are counted."""

from __future__ import annotations

import re
from pathlib import Path

from tests.console.browser.clicks import CLICKS


def test_the_table_of_clicks_is_the_counted_one() -> None:
    page = Path("docs/operations/console.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([a-z' ]+) \| (\d+) \|$", page, re.MULTILINE))
    assert rows == {path: str(count) for path, count in CLICKS.items()}
