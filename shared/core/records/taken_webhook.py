"""One accepted webhook of the provider: `provider_webhooks/{digest}`. Repetitions are recognised by it."""

from __future__ import annotations

from datetime import datetime

from shared.core.values.codec import Record


class TakenWebhook(Record, frozen=True):
    event: str
    about: str
    """The interaction or the batch."""
    way: str
    """How it was signed."""
    received_at: datetime
    expire_at: datetime
