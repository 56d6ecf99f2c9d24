"""The simulator's own limits and their use, read by Google's client libraries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from scripts.simulator.provider.faults import Fault
from shared.adapters.google_cloud.cloud_quotas import CloudQuotas
from shared.core.limits.live_quota import UsageByModel
from shared.ports.quota import NotAsked, QuotaUnreadable
from tests.builders import a_catalogue
from tests.simulator.conftest import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
UNLIMITED = {"rpm": None, "ipm": None, "tpm": None, "rpd": None}


def source(house: House) -> CloudQuotas:
    return CloudQuotas("local", house.server.url, a_catalogue().ids_by_name, house.clock, "limits and usage")


async def limits(house: House) -> dict[str, dict[str, int | None]]:
    live = await source(house).limits()
    assert not isinstance(live, NotAsked)
    return {model: dict(live_limits.dims) for model, live_limits in live.items()}


async def usage(house: House) -> UsageByModel:
    cloud_quotas = source(house)
    await cloud_quotas.limits()
    used = await cloud_quotas.usage()
    assert not isinstance(used, NotAsked)
    return used


async def control(house: House, method: str, **body: Any) -> Any:
    answer = await house.http.request(method, "/control/quota-api", json=body or None)
    return answer.json()


async def test_it_tells_its_own_limits_and_unlimited_where_it_has_none(house: House) -> None:
    house.simulation.set_limits(f"{PRO}=rpm:60,ipm:50,rpd:1000;*=rpm:100,tpm:9000,concurrency:3,spend10m_usd:10")
    limits_ = await limits(house)
    assert limits_[PRO] == {"rpm": 60, "ipm": 50, "tpm": 9_000, "rpd": 1_000}
    assert limits_[LITE] == {"rpm": 100, "ipm": None, "tpm": 9_000, "rpd": None}
    house.simulation.set_limits("")
    assert all(limit == UNLIMITED for limit in (await limits(house)).values())


async def test_changed_limits_are_told_at_once(house: House) -> None:
    for number in (60, 0, 600):
        await house.http.post("/control/limits", json={"limits": f"*=rpm:{number}"})
        assert (await limits(house))[PRO]["rpm"] == number


async def test_every_model_it_serves_is_told_and_no_other(house: House) -> None:
    served = {model.id for model in house.simulation.models.by_id.values() if model.status != "gone"}
    assert set(await limits(house)) == served


async def test_usage_counts_what_used_quota_by_minute_and_by_pacific_day(house: House) -> None:
    house.clock.at = datetime(2026, 11, 22, 7, 50, 10, tzinfo=UTC)  # the day before in Los Angeles
    await house.ask("yesterday")
    house.clock.at = datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC)
    await house.ask("this morning")
    house.clock.advance(120)
    for _ in range(2):
        await house.ask("a red cube", model=LITE)
    await house.ask("a red cube")
    house.clock.advance(60)
    assert await usage(house) == {
        PRO: {"rpm": 1, "ipm": 1, "tpm": 3, "rpd": 2},
        LITE: {"rpm": 2, "ipm": 2, "tpm": 6, "rpd": 2},
    }


async def test_a_call_that_was_refused_at_the_door_used_nothing(house: House) -> None:
    house.script(Fault(kind="quota", variant="minute"))
    await house.post({"model": PRO, "input": "a red cube"})
    house.script()
    await house.post({"model": PRO, "input": "a red cube"}, headers={})
    await house.post({"model": "gemini-9", "input": "a red cube"})
    house.clock.advance(60)
    assert await usage(house) == {}


@pytest.mark.parametrize(
    ("fault", "code", "remedy"),
    [
        ("denied", "denied", "roles/cloudquotas.viewer"),
        ("disabled", "disabled", "gcloud services enable cloudquotas.googleapis.com"),
        ("down", "unreachable", "asked again"),
    ],
)
async def test_a_fault_is_switched_on_and_off(house: House, fault: str, code: str, remedy: str) -> None:
    assert await control(house, "POST", fault=fault) == {"fault": fault}
    with pytest.raises(QuotaUnreadable) as refused:
        await limits(house)
    assert refused.value.code == code
    assert remedy in refused.value.remedy
    assert await control(house, "GET") == {"fault": fault}
    assert (await house.post({"model": PRO, "input": "a red cube"})).status_code == 200
    assert await control(house, "DELETE") == {"fault": "none"}
    assert PRO in await limits(house)


async def test_a_fault_holds_for_usage_too(house: House) -> None:
    cloud_quotas = source(house)
    await cloud_quotas.limits()
    await control(house, "POST", fault="denied")
    with pytest.raises(QuotaUnreadable) as refused:
        await cloud_quotas.usage()
    assert "roles/monitoring.viewer" in refused.value.remedy


async def test_rows_without_a_model_can_be_asked_for(house: House) -> None:
    house.simulation.set_limits("*=rpm:60")
    await control(house, "POST", fault="missing_dimensions")
    limits_ = await limits(house)
    assert set(limits_) == set(a_catalogue().models)
    assert all(item == UNLIMITED | {"rpm": 60} for item in limits_.values())


async def test_unlimited_can_be_said_of_everything(house: House) -> None:
    house.simulation.set_limits("*=rpm:60")
    await control(house, "POST", fault="unlimited")
    assert (await limits(house))[PRO] == UNLIMITED


@pytest.mark.parametrize("body", [b'{"fault": "sleepy"}', b'{"mood": "denied"}', b"denied", b"{}"])
async def test_a_wrong_fault_is_refused_with_what_is_allowed(house: House, body: bytes) -> None:
    answer = await house.http.post("/control/quota-api", content=body)
    assert answer.status_code == 400
    assert "missing_dimensions" in answer.json()["error"]


async def test_a_reset_takes_the_fault_back(house: House) -> None:
    await control(house, "POST", fault="down")
    assert (await house.http.get("/control/state")).json()["quota_api"] == "down"
    await house.http.post("/control/reset")
    assert await control(house, "GET") == {"fault": "none"}


@pytest.mark.parametrize(
    "changed",
    [
        {"filter": 'metric.type = "compute.googleapis.com/cpu"'},
        {"interval.startTime": "yesterday"},
        {"aggregation.alignmentPeriod": "1s"},
        {"aggregation.groupByFields": "resource.labels.location"},
    ],
)
async def test_a_question_that_is_not_simulated_is_refused(house: House, changed: dict[str, str]) -> None:
    limit = "GenerateRequestsPerMinutePerProjectPerModel"
    metric = "generativelanguage.googleapis.com/quota/generate_requests_per_model/usage"
    parameters = {
        "filter": f'metric.type = "{metric}" AND metric.labels.limit_name = "{limit}"',
        "interval.startTime": "2026-11-22T11:55:00Z",
        "interval.endTime": "2026-11-22T12:00:00Z",
        "aggregation.alignmentPeriod": "60s",
        "aggregation.groupByFields": "metric.labels.model",
    }
    whole, wrong = await asyncio.gather(
        *(house.http.get("/v3/projects/p/timeSeries", params=item) for item in (parameters, parameters | changed))
    )
    assert whole.status_code == 200
    assert wrong.status_code == 400
    assert wrong.json()["error"]["status"] == "INVALID_ARGUMENT"
