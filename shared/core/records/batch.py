"""One batch of the Batch API: `batches/{id}`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from shared.core.values.codec import Record, Stored

BatchState: TypeAlias = Literal["collected", "submitted", "ended"]
"""collected: the intent is on record and perhaps sent; submitted: the provider's name of it is known."""
ProviderState: TypeAlias = Literal["pending", "running", "succeeded", "failed", "cancelled", "expired", "unknown"]


class Item(Stored, frozen=True):
    """One attempt of one request in a batch."""

    request_id: str
    attempt: int

    @property
    def key(self) -> str:
        """The key that the provider returns with its answer."""
        return f"{self.request_id}/{self.attempt}"


class BatchRecord(Record, frozen=True):
    state: BatchState
    model: str
    image_size: str
    display_name: str
    items: tuple[Item, ...]
    created_at: datetime
    changed_at: datetime
    """When the provider last reported a change."""
    name: str | None = None
    """The provider's name, once there is one."""
    provider_state: ProviderState | None = None
    done: int = 0
    """Requests that have ended, successfully or not."""
    tries: int = 0
    """Creates that certainly made no batch."""
    creating_at: datetime | None = None
    submitted_at: datetime | None = None
    escalated_at: datetime | None = None
    due_at: datetime | None = None
    """When it is due for a look; None once it has ended."""
    ended_at: datetime | None = None
    expire_at: datetime | None = None
    part_of: str | None = None
    """The batch that was split, if this is a part."""
    is_part: bool = False
