"""How many clicks each way to a remedy takes from the overview; typing is not counted. docs/operations/console.md names
the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Page

CLICKS: Mapping[str, int] = {
    "end a pause": 2,
    "raise a budget": 2,
    "undo the raise": 3,
    "trip any flag": 3,
    "undo the trip": 4,
    "reset a breaker": 2,
    "list what waits": 1,
    "cancel all that waits": 3,
    "retry all that failed alike": 3,
    "cancel one request found by its id": 2,
    "open the runbook at what fails": 1,
    "copy the runbook's command": 2,
    "from the runbook to the requests": 2,
}


class Clicks:
    """One page, and how often it was clicked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def on(self, selector: str) -> None:
        self.count += 1
        self.page.locator(selector).click()
        self.page.wait_for_load_state("networkidle")

    def took(self, path: str) -> None:
        assert self.count == CLICKS[path], path
