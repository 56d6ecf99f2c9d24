"""Whether Cloud Run's own quota in the region carries the fleet at its largest. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from scripts.doctor.finding import CheckResult, fails, passes, unknown
from shared.adapters.google_cloud.platform_quotas import PlatformLimits

GIB = 1 << 30
FORM = re.compile(r"(\d+)x(\d+(?:\.\d+)?)@([a-z]+-[a-z]+\d+)")
ALLOWED = "CPUSxGIB@REGION, such as 16x16.5@europe-west1"
REMEDY = (
    "Request more (docs/deployment/quotas-and-cost.md: `request_platform_quota`), or lower render.max_instances; "
    "background calls need few instances."
)


class InstanceTotals(Struct, frozen=True):
    """All instances that may run at once."""

    cpus: int
    gib: float
    region: str

    @classmethod
    def parse(cls, text: str) -> InstanceTotals:
        """Raises ValueError."""
        form = FORM.fullmatch(text)
        if form is None:
            raise ValueError(f"found {text!r}; allowed: {ALLOWED}")
        return cls(int(form[1]), float(form[2]), form[3])


def examine(fleet: InstanceTotals, limits: PlatformLimits | str) -> list[CheckResult]:
    """`limits` as text says why they could not be read."""
    what = f"the fleet may need {fleet.cpus} CPUs and {fleet.gib:g} GiB in {fleet.region}"
    if isinstance(limits, str):
        remedy = "Let roles/cloudquotas.viewer be granted; a new project often has 20 CPUs and 40 GiB a region."
        return [unknown("quota", "platform-quota", f"{what}; {limits}", remedy)]
    over = [*_over("CPUs", fleet.cpus, limits.cpu_millis, 1000), *_over("GiB", fleet.gib, limits.memory_bytes, GIB)]
    if over:
        return [fails("quota", "platform-quota", f"{what}; allowed: {', '.join(over)}", REMEDY)]
    return [passes("quota", "platform-quota", what)]


def _over(unit: str, needed: float, limit: int | None, per_unit: int) -> Sequence[str]:
    if limit is None or needed * per_unit <= limit:
        return []
    return [f"{limit / per_unit:g} {unit}"]
