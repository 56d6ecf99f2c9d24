"""Cloud Run's own quota, in the form of the Cloud Quotas API, and what doctor makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.doctor.platform import InstanceTotals, examine
from shared.adapters.google_cloud.platform_quotas import (
    CPU_QUOTA,
    MEMORY_QUOTA,
    SERVICE,
    PlatformLimits,
    platform_limits,
)
from shared.ports.quota import QuotaUnreadable
from tests.fakes.loopback import serving

REGION = "europe-west1"
FRESH = PlatformLimits(20_000, 40 << 30)
"""Observed in a new project: googlecodelabs/feedback#1856."""


def an_info(quota_id: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"quotaId": quota_id, "service": SERVICE, "dimensions": ["region"], "dimensionsInfos": list(rows)}


def a_row(value: int, region: str | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"details": {"value": str(value)}, "applicableLocations": [region or "global"]}
    return row | ({"dimensions": {"region": region}} if region else {})


async def read(*infos: dict[str, Any], status: int = 200) -> PlatformLimits:
    async def quota_infos(_request: Request) -> Response:
        return JSONResponse({"quotaInfos": list(infos)} if status == 200 else {"error": {"code": status}}, status)

    path = f"/v1/projects/p/locations/global/services/{SERVICE}/quotaInfos"
    async with serving(Starlette(routes=[Route(path, quota_infos)])) as server:
        return await platform_limits("p", REGION, server.url)


async def test_a_regions_own_value_goes_before_the_one_for_all_others() -> None:
    cpus = an_info(CPU_QUOTA, a_row(20_000), a_row(60_000, REGION), a_row(1, "us-central1"))
    memory = an_info(MEMORY_QUOTA, a_row(40 << 30))
    assert await read(an_info("Other", a_row(7)), cpus, memory) == PlatformLimits(60_000, 40 << 30)


async def test_unlimited_and_unnamed_are_no_limit() -> None:
    assert await read(an_info(CPU_QUOTA, a_row(-1, REGION))) == PlatformLimits(None, None)


async def test_a_refusal_names_the_role_that_is_missing() -> None:
    with pytest.raises(QuotaUnreadable) as refused:
        await read(status=403)
    assert "roles/cloudquotas.viewer" in refused.value.remedy


@pytest.mark.parametrize(
    ("fleet", "limits", "verdict", "part"),
    [
        ("16x16.5@europe-west1", FRESH, "pass", "16 CPUs and 16.5 GiB in europe-west1"),
        ("34x42@europe-west1", FRESH, "fail", "allowed: 20 CPUs, 40 GiB"),
        ("20x41@europe-west1", FRESH, "fail", "allowed: 40 GiB"),
        ("900x900@europe-west1", PlatformLimits(None, None), "pass", "900 CPUs"),
        ("1x1@europe-west1", "no answer", "unknown", "no answer"),
    ],
)
def test_doctor_compares_the_fleet_with_it(fleet: str, limits: PlatformLimits | str, verdict: str, part: str) -> None:
    (finding,) = examine(InstanceTotals.parse(fleet), limits)
    assert (finding.check, finding.verdict) == ("platform-quota", verdict)
    assert part in finding.found
    assert (finding.remedy == "") == (verdict == "pass")


@pytest.mark.parametrize("text", ["", "16", "16x16", "16x16@", "x16@europe-west1", "16x16@EU"])
def test_a_fleet_of_another_form_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="CPUSxGIB@REGION"):
        InstanceTotals.parse(text)
