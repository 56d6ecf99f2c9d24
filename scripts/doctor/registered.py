"""The webhooks that are registered at the provider for this key's project, as `GET /v1/webhooks` lists them.

Source: https://ai.google.dev/gemini-api/docs/webhooks. The list costs nothing; secrets are not in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Struct

WANTED = (
    "interaction.completed", "interaction.failed", "interaction.requires_action", "batch.succeeded", "batch.failed",
    "batch.expired",
)  # fmt: skip
"""Events about the end of something that the worker waits for."""
MOST_PAGES = 20
Get: TypeAlias = Callable[[str], Awaitable[tuple[int, bytes]]]
"""The status and the body of a path; status 0 without an answer."""


class RegisteredWebhook(Struct, frozen=True):
    """One static webhook."""

    uri: str
    state: str
    events: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Events that the worker waits for and that are not sent here."""
        return tuple(event for event in WANTED if event not in self.events)

    @property
    def words(self) -> str:
        missing = f", without {', '.join(self.missing)}" if self.missing else ""
        return f"{self.uri} {self.state}{missing}"


async def read(get: Get) -> tuple[RegisteredWebhook, ...] | str:
    """All of them, or why they could not be read."""
    hooks: list[RegisteredWebhook] = []
    path = "/v1/webhooks"
    for _ in range(MOST_PAGES):
        status, content = await get(path)
        if status != 200:
            return f"GET /v1/webhooks answered {status or 'nothing'}"
        try:
            page: Any = msgspec.json.decode(content)
            hooks += [_one(row) for row in page.get("webhooks") or []]
            token = page.get("next_page_token")
        except (msgspec.DecodeError, AttributeError, TypeError):
            return "GET /v1/webhooks answered 200 with a body of another form"
        if not token:
            break
        path = f"/v1/webhooks?page_token={quote(str(token), safe='')}"
    return tuple(hooks)


def words(hooks: Sequence[RegisteredWebhook] | str) -> str:
    if isinstance(hooks, str):
        return hooks
    which = f": {'; '.join(one.words for one in hooks)}" if hooks else ""
    return f"GET /v1/webhooks answered 200, {len(hooks)} registered{which}"


def _one(row: Any) -> RegisteredWebhook:
    events = row.get("subscribed_events") or ()
    return RegisteredWebhook(str(row.get("uri", "")), str(row.get("state", "")), tuple(str(event) for event in events))
