"""What the store says about quota: the live reading, and what each model's calendar contains and has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import MonthSpend
from shared.core.admission.model_state import ModelState
from shared.core.limits.effective import EffectiveLimit, effective_limits
from shared.core.limits.live_quota import PATH, LiveLimits, LiveQuota
from shared.core.limits.quota import Quota
from shared.core.routing.background_proof import PATH as PROOFS
from shared.core.routing.background_proof import Proofs
from shared.core.times.pacific import pacific_day
from shared.core.values.documents import Absent, Document
from shared.core.values.route import lane_apart
from shared.ports.store import Store


class ModelQuotaUse(Struct, frozen=True):
    """One model's limits and their use."""

    model: str
    limits: Mapping[str, EffectiveLimit]
    used: Mapping[str, int]
    """By this worker, by dimension: slots of the last minute, and of the Pacific day."""
    project_used: Mapping[str, int] | None
    """By all callers, as the provider counts, for each limit that is read; None if it is not read."""
    closed_until: datetime | None
    closed_why: str


class QuotaReading(Struct, frozen=True):
    now: datetime
    """The store's own time."""
    live: LiveQuota | None
    models: Sequence[ModelQuotaUse]
    proofs: Proofs = Proofs()
    """Of background calls."""
    spend: MonthSpend | None = None
    """What the ledger says about this month, if a worker reads it."""


async def read(store: Store, configured: Quota, models: Sequence[str]) -> QuotaReading:
    """One look at the live reading and at all calendars; needs no running worker."""
    document, account, proofs, *calendars = await store.get_all(
        [PATH, account_cap.PATH, PROOFS, *(f"calendars/{model}" for model in models)]
    )
    live = LiveQuota.from_json(document.data) if isinstance(document, Document) else None
    model_quotas = [
        _of(model, document.read_at, live, configured, calendar)
        for model, calendar in zip(models, calendars, strict=True)
    ]
    proven = Proofs.from_json(proofs.data) if isinstance(proofs, Document) else Proofs()
    spend = MonthSpend.from_json(account.data) if isinstance(account, Document) else None
    apart = [pair for pair in zip(model_quotas, calendars, strict=True) if lane_apart(pair[0].model) is not None]
    unused = {quota.model for quota, calendar in apart if not isinstance(calendar, Document)}
    return QuotaReading(
        document.read_at, live, [quota for quota in model_quotas if quota.model not in unused], proven, spend
    )


def _of(
    model: str, now: datetime, live: LiveQuota | None, configured: Quota, document: Document | Absent
) -> ModelQuotaUse:
    state = ModelState.from_json(document.data).forget(now) if isinstance(document, Document) else ModelState()
    calendar = state.calendar
    minute = calendar.used(now)
    used = {"rpm": minute.requests, "ipm": minute.images, "tpm": minute.tokens}
    read = live.by_model.get(model) if live else None
    return ModelQuotaUse(
        model=model,
        limits=effective_limits(configured.limits(model), read, state.learned),
        used=used | {"rpd": calendar.days.get(pacific_day(now), 0)},
        project_used=_by_everybody(live, read, model),
        closed_until=calendar.closed_until,
        closed_why=calendar.closed_why,
    )


def _by_everybody(live: LiveQuota | None, read: LiveLimits | None, model: str) -> Mapping[str, int] | None:
    """The provider has no count if nothing was used."""
    if live is None or live.usage is None or read is None:
        return None
    counted = live.usage.get(model, {})
    return {dimension: counted.get(dimension, 0) for dimension in read.dims}
