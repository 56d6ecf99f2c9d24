"""The three headers of Standard Webhooks, read before anything else of a webhook.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from shared.ports.signatures import NotGenuine

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = timedelta(minutes=5)
LONGEST_ID = 256
LONGEST_SIGNATURE = 8_192
"""Characters of a token with its claims, or of the signatures of several secrets."""


class Stamped(Struct, frozen=True):
    """What the headers of one webhook say."""

    id: str
    at: datetime
    signature: str

    @property
    def is_token(self) -> bool:
        """False: it holds signatures of shared secrets: `v1,...`."""
        return "," not in self.signature and self.signature.count(".") == 2


def read(headers: Mapping[str, str], now: datetime) -> Stamped | NotGenuine:
    message_id, timestamp, signature = (headers.get(name, "").strip() for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and timestamp and signature):
        return NotGenuine("unsigned")
    if len(message_id) > LONGEST_ID or len(signature) > LONGEST_SIGNATURE or not message_id.isprintable():
        return NotGenuine("malformed")
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 11):
        return NotGenuine("malformed")
    at = datetime.fromtimestamp(int(timestamp), UTC)
    if abs(now - at) > TOLERANCE:
        return NotGenuine("stale")
    return Stamped(message_id, at, signature)
