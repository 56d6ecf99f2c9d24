"""Receivers of webhooks in virtual time: what one address answers, and what it was sent."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from msgspec import Struct
from standardwebhooks.webhooks import Webhook

from shared.ports.clock import Clock
from shared.ports.webhooks import AddressRefused, Answer

Reply: TypeAlias = Answer | Exception | float
"""An answer, what the port raises, or the seconds after which it answers 204."""


class Sent(Struct, frozen=True):
    url: str
    at: datetime
    body: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The payload, checked as a receiver would; the specification's own library compares times with now."""
        signer = Webhook(secret)
        at = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        signature = signer.sign(self.id, at, self.body.decode())
        assert signature in self.headers["webhook-signature"].split(" "), "the signature does not fit"
        payload: dict[str, Any] = json.loads(self.body)
        return payload


class ScriptedWebhooks:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sent: list[Sent] = []
        self.replies: dict[str, Callable[[int], Reply]] = defaultdict(lambda: lambda _number: Answer(204))
        """By URL; called with 1 for the first attempt at that URL."""
        self.in_flight: dict[str, int] = defaultdict(int)
        self.most_in_flight: dict[str, int] = defaultdict(int)

    async def check(self, url: str) -> None:
        if not url.startswith("https://"):
            raise AddressRefused("found no https://; allowed: https://HOST/PATH")

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.sent.append(Sent(url, self._clock.now(), body, dict(headers)))
        reply = self.replies[url](len(self.to(url)))
        self.in_flight[url] += 1
        self.most_in_flight[url] = max(self.most_in_flight[url], self.in_flight[url])
        try:
            if isinstance(reply, float):
                await self._clock.sleep(reply)
                return Answer(204)
            await self._clock.sleep(0.01)
            if isinstance(reply, Exception):
                raise reply
            return reply
        finally:
            self.in_flight[url] -= 1

    def to(self, url: str) -> list[Sent]:
        return [one for one in self.sent if one.url == url]
