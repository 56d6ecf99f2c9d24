"""The effect of cancellations: sent by id, then polled until each has taken effect, or time is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from scripts.cli.main import NOT_YET
from shared.core.messages.request_key import id_of
from shared.core.records.request import RequestRecord
from shared.core.values.documents import Document
from shared.core.values.status import FINAL
from shared.flows.requests.lookup import find_request
from shared.ports.store import Store

PAUSE = 0.1
"""Seconds between two looks."""

Effect: TypeAlias = Literal["cancelled", "kept", "ended before", "begun", "sent"]


class Target(Struct, frozen=True):
    """One request that is to be cancelled."""

    name: str
    """As it was typed."""
    tenant: str
    status: str | None
    """Before the cancellation was sent; None where there is no such request."""

    @property
    def request_id(self) -> str:
        return id_of(self.name)


class Fate(Struct, frozen=True):
    """The effect of one cancellation."""

    target: Target
    status: str | None

    begun: bool = False

    @property
    def effect(self) -> Effect:
        if self.target.status in FINAL:
            return "ended before"
        if self.status is None:
            return "kept"
        if self.status == "cancelled":
            return "cancelled"
        if self.status in FINAL:
            return "ended before"
        return "begun" if self.begun else "sent"

    def to_json(self) -> dict[str, Any]:
        target = self.target
        return {"request_id": target.request_id, "tenant": target.tenant, "effect": self.effect, "status": self.status}

    @property
    def line(self) -> str:
        name, look = self.target.name, f"see `renderlane status {self.target.name}`"
        match self.effect:
            case "cancelled":
                return f"{name}: cancelled"
            case "kept":
                return f"{name}: no such request yet; the cancellation is kept for 30 days, should it come"
            case "ended before":
                return f"{name}: already {self.status}; nothing was cancelled"
            case "begun":
                return f"{name}: its attempt has begun and ends as it ends; {look}"
            case "sent":
                return f"{name}: cancellation sent, not processed yet; {look}"


def exit_code(fates: Sequence[Fate]) -> int:
    """1 if a request had ended before, 3 if one has not ended yet."""
    effects = {fate.effect for fate in fates}
    if "ended before" in effects:
        return 1
    return NOT_YET if effects & {"begun", "sent"} else 0


async def follow(store: Store, targets: Sequence[Target], patience: float) -> list[Fate]:
    """Until each has taken effect; after `patience` seconds in their state at that time."""
    give_up_at = time.monotonic() + patience
    while True:
        fates = await look(store, targets)
        if all(fate.effect not in ("begun", "sent") for fate in fates) or time.monotonic() >= give_up_at:
            return fates
        await asyncio.sleep(PAUSE)


async def look(store: Store, targets: Sequence[Target]) -> list[Fate]:
    documents = await asyncio.gather(
        *(find_request(store, target.tenant, target.request_id) for target in targets if target.status is not None)
    )
    by_key = {(one.record.tenant, id_of(one.id)): one.record for one in documents if isinstance(one, Document)}
    return [_fate(target, by_key.get((target.tenant, target.request_id))) for target in targets]


def _fate(target: Target, request: RequestRecord | None) -> Fate:
    if request is None:
        return Fate(target, None)
    return Fate(target, request.status, request.has_begun)
