"""What Cloud Run may allocate in one region of a project, from the Cloud Quotas API.

Cloud Run compares max instances x CPU with it at deployment, and answers 429 where the sum of all services is over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from shared.adapters.google_cloud.cloud_quotas import CALL_TIMEOUT, in_a_thread, quotas_client

if TYPE_CHECKING:
    from google.cloud.cloudquotas_v1 import QuotaInfo

SERVICE = "run.googleapis.com"
CPU_QUOTA = "CpuAllocPerProjectRegion"
"""In thousandths of a CPU."""
MEMORY_QUOTA = "MemAllocPerProjectRegion"
"""In bytes."""


class PlatformLimits(Struct, frozen=True):
    """None = unlimited, or not named by the API."""

    cpu_millis: int | None
    memory_bytes: int | None


async def platform_limits(project: str, region: str, server: str | None = None) -> PlatformLimits:
    """`server` None means Google's. Raises QuotaUnreadable."""

    def ask() -> PlatformLimits:
        parent = f"projects/{project}/locations/global/services/{SERVICE}"
        with quotas_client(server) as client:
            infos = list(client.list_quota_infos(parent=parent, retry=None, timeout=CALL_TIMEOUT.total_seconds()))
        return PlatformLimits(_value(infos, CPU_QUOTA, region), _value(infos, MEMORY_QUOTA, region))

    return await in_a_thread(ask, server, "cloudquotas.googleapis.com", "roles/cloudquotas.viewer")


def _value(infos: Iterable[QuotaInfo], quota_id: str, region: str) -> int | None:
    """The region's own value, else the one that holds wherever no other does; a negative one means unlimited."""
    for info in infos:
        if info.quota_id != quota_id:
            continue
        rows = [row for row in info.dimensions_infos if "details" in row]
        own = [row for row in rows if row.dimensions.get("region") == region]
        applying = [row for row in rows if not row.dimensions and region in (*row.applicable_locations, region)]
        for row in (*own, *applying):
            value = int(row.details.value)
            return value if value >= 0 else None
    return None
