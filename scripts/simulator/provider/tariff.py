"""How a provider gateway charges: a price for each call that was answered, out of a balance. Not Google's billing."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

PRICES: Mapping[str, int] = {
    "gemini-3-pro-image": 90_000,
    "gemini-nano-banana-2.1": 45_000,
    "gemini-3.1-flash-image": 55_000,
    "gemini-3.1-flash-lite-image": 25_000,
    "gemini-2.5-flash-image": 20_000,
}
"""Micro-dollars a call of any size: laozhang.ai's public list of 2026-10-07. Kept apart from the product's own."""
ALIASES: Mapping[str, str] = {"nano-banana-pro": "gemini-3-pro-image", "nano-banana": "gemini-2.5-flash-image"}


class Tariff(Struct):
    """Of one gateway. Every 200 is charged, a refusal too; an error is not."""

    prices: Mapping[str, int] = field(default_factory=lambda: PRICES)
    aliases: Mapping[str, str] = field(default_factory=lambda: ALIASES)
    """Names it answers to, beside the ids."""
    balance_micros: int | None = None
    """What is left of the recharge; None = billed later."""
    by_url: bool = False
    """The OpenAI forms answer with an address to fetch the image from."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Images that wait to be fetched."""

    def model(self, name: str) -> str:
        return self.aliases.get(name, name)

    def price(self, model_id: str) -> int:
        return self.prices.get(model_id, 0)

    def can_pay(self, model_id: str) -> bool:
        return self.balance_micros is None or self.balance_micros >= self.price(model_id)

    def pay(self, micros: int) -> None:
        if self.balance_micros is not None:
            self.balance_micros -= micros

    def keep(self, name: str, picture: bytes) -> str:
        """The path at which the image can be fetched."""
        self.files[name] = picture
        return f"/files/{name}"
