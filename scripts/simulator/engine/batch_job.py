"""One batch of the simulated provider, and how it tells of itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from scripts.simulator.engine.files import File
from scripts.simulator.provider.accepted_request import WebhookConfig
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.models import ImageModel

EXPIRES_AFTER = timedelta(hours=48)


class BatchCounts(Struct):
    """What the batch's statistics say."""

    total: int = 0
    good: int = 0
    bad: int = 0


class Job(Struct):
    """One batch."""

    name: str
    """`batches/...`"""
    display_name: str
    model: ImageModel
    created_at: datetime
    ends_at: datetime
    fault: Fault | None
    results: File
    counts: BatchCounts = field(default_factory=BatchCounts)
    work: asyncio.Task[None] | None = None
    alarm: asyncio.Task[None] | None = None
    """Tells webhooks of its end."""
    cancelled_at: datetime | None = None
    webhook: WebhookConfig = WebhookConfig()

    def state(self, now: datetime) -> str:
        kind = self.fault.kind if self.fault is not None else None
        if self.cancelled_at is not None:
            return "CANCELLED"
        if kind == "batch_expired" and now - self.created_at >= EXPIRES_AFTER:
            return "EXPIRED"
        if kind in ("stuck", "batch_expired"):
            return "RUNNING"
        if now < self.created_at + (self.ends_at - self.created_at) / 10:
            return "PENDING"
        if now < self.ends_at or (self.work is not None and not self.work.done()):
            return "RUNNING"
        return "FAILED" if kind == "batch_failed" else "SUCCEEDED"

    def to_json(self, now: datetime) -> dict[str, Any]:
        state = self.state(now)
        done = state in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
        body: dict[str, Any] = {"name": self.name, "metadata": self._metadata(state, now)}
        if done:
            body["done"] = True
        if state == "SUCCEEDED":
            body["response"] = {"responsesFile": self.results.name}
        elif state == "FAILED":
            body["error"] = {"code": 13, "message": "The batch could not be processed."}
        elif state == "CANCELLED":
            body["error"] = {"code": 1, "message": "The batch was cancelled."}
        return body

    def _metadata(self, state: str, now: datetime) -> dict[str, Any]:
        counts = self.counts
        ended = state == "SUCCEEDED"
        stats = {"requestCount": counts.total, "successfulRequestCount": counts.good if ended else 0}
        stats |= {"failedRequestCount": counts.bad if ended else 0}
        stats |= {"pendingRequestCount": 0 if ended else counts.total}
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": f"models/{self.model.id}",
            "displayName": self.display_name,
            "createTime": _written(self.created_at),
            "updateTime": _written(now),
            "state": f"BATCH_STATE_{state}",
            "batchStats": {name: str(count) for name, count in stats.items() if count},
        }
        if ended:
            metadata |= {"output": {"responsesFile": self.results.name}, "endTime": _written(self.ends_at)}
        return metadata


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
