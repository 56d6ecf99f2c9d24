"""Sending a signed body to an address that a tenant named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from msgspec import Struct


class AddressRefused(Exception):
    """The address may not be called: says what was found and what is allowed. Nothing was sent."""


class NoAnswer(Exception):
    """No answer in time; the receiver may or may not have the delivery."""


class Answer(Struct, frozen=True):
    http_status: int
    retry_after: timedelta | None = None

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.http_status < 300

    @property
    def is_gone(self) -> bool:
        """The receiver wants no more deliveries (Standard Webhooks: 410)."""
        return self.http_status == 410


class Webhooks(Protocol):
    async def check(self, url: str) -> None:
        """Raises AddressRefused for an address that `send` would refuse today."""
        ...

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Redirects are not followed; only the head of the answer is read. Raises AddressRefused, NoAnswer."""
        ...
