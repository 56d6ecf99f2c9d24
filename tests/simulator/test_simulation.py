"""Quota, latency, bill and control of a running simulator."""

from __future__ import annotations

import asyncio
import signal
import sys
from random import Random
from typing import Any

import pytest
from google.genai import _interactions as sdk

from scripts.simulator.api.app import build
from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.latency import InvalidLatency
from scripts.simulator.provider.latency import parse as parse_latency
from tests.simulator.conftest import House, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRO = "gemini-3-pro-image"


def details_of(error: sdk.APIStatusError) -> dict[str, Any]:
    assert isinstance(error.body, dict)
    return {row["@type"].rpartition(".")[2]: row for row in error.body["error"].get("details", [])}


async def rejected(house: House, **changes: Any) -> sdk.RateLimitError:
    with pytest.raises(sdk.RateLimitError) as raised:
        await house.ask(**changes)
    return raised.value


async def test_a_minute_limit_answers_with_its_value_and_a_true_delay(house: House) -> None:
    house.simulation.set_limits(f"{PRO}=rpm:2")
    await house.ask()
    house.clock.advance(10.25)
    await house.ask()
    house.clock.advance(5)
    error = await rejected(house)
    details = details_of(error)
    assert details["RetryInfo"]["retryDelay"] == "44.750000000s"
    assert details["QuotaFailure"]["violations"] == [
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model",
            "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
            "quotaDimensions": {"location": "global", "model": PRO},
            "quotaValue": "2",
        }
    ]
    assert "Please retry in 44.75s." in str(error.body)
    assert "retry-after" not in error.response.headers
    await house.ask(model="gemini-nano-banana-2.1")
    house.clock.advance(44.75)
    await house.ask()
    await rejected(house)


async def test_a_day_limit_lasts_until_midnight_pacific(house: House) -> None:
    house.simulation.set_limits("*=rpd:1,rpm:1")
    await house.ask()
    error = await rejected(house)
    assert isinstance(error.body, dict)
    assert error.body["error"]["code"] == "quota_exceeded"
    details = details_of(error)
    assert details["RetryInfo"]["retryDelay"] == "72000s"
    assert [row["quotaId"] for row in details["QuotaFailure"]["violations"]] == [
        "GenerateRequestsPerMinutePerProjectPerModel",
        "GenerateRequestsPerDayPerProjectPerModel",
    ]
    house.clock.advance(72_000)
    await house.ask()


async def test_token_and_image_limits_are_the_models_own(house: House) -> None:
    house.simulation.set_limits("*=tpm:20,ipm:3")
    await house.ask("x" * 60)
    error = await rejected(house, prompt="x" * 60)
    assert (
        details_of(error)["QuotaFailure"]["violations"][0]["quotaId"] == "GenerateContentInputTokensPerModelPerMinute"
    )
    await house.ask("x")
    await house.ask("x")
    error = await rejected(house, prompt="x")
    assert details_of(error)["QuotaFailure"]["violations"][0]["quotaId"] == "GenerateImagesPerMinutePerProjectPerModel"


async def test_spend_and_concurrency_answer_without_details(house: House) -> None:
    house.simulation.set_limits("*=spend10m_usd:0.10")
    await house.ask()
    assert details_of(await rejected(house)) == {}
    house.simulation.set_limits("*=concurrency:0")
    error = await rejected(house)
    assert details_of(error) == {}
    assert isinstance(error.body, dict)
    assert error.body["error"]["code"] == "too_many_requests"


async def test_concurrency_counts_calls_in_flight(house: House) -> None:
    gate = asyncio.Event()

    async def wait(seconds: float) -> None:
        await gate.wait()

    house.simulation.set_limits("*=concurrency:2")
    house.simulation.set_latency("fixed:1")
    house.simulation.sleep = wait
    try:
        tasks = [asyncio.create_task(house.ask()) for _ in range(2)]
        await until(lambda: house.simulation.quota_of(PRO).in_flight == 2)
        await rejected(house)
        gate.set()
        await asyncio.gather(*tasks)
    finally:
        house.simulation.sleep = house.clock.sleep
    await house.ask()


async def test_failures_count_against_quota_and_are_not_charged(house: House) -> None:
    house.simulation.set_limits("*=rpm:2")
    with pytest.raises(sdk.BadRequestError):
        await house.ask(response_format={"type": "image", "image_size": "2k"})
    assert (await house.post({"model": PRO, "input": "x"}, headers={})).status_code == 401, "this one does not count"
    await house.ask()
    await rejected(house)
    assert house.simulation.ledger.bill().total.charged_calls == 1


async def test_a_limit_of_nothing_promises_no_delay(house: House) -> None:
    house.simulation.set_limits("*=rpd:0")
    details = details_of(await rejected(house))
    assert details["QuotaFailure"]["violations"][0]["quotaValue"] == "0"
    assert "RetryInfo" not in details


async def test_the_bill_adds_up_by_model_and_tier(house: House) -> None:
    await house.ask("abcd" * 10)
    await house.ask("abcd" * 10, response_format={"type": "image", "image_size": "4K"}, service_tier="flex")
    await house.ask("abcd" * 10, model="gemini-3.1-flash-lite-image")
    with pytest.raises(sdk.NotFoundError):
        await house.ask(model="gemini-9")
    thoughts, _, light, *_ = (call.usage.thoughts for call in house.simulation.ledger.since())
    bill = (await house.http.get("/control/bill")).json()
    standard = 10 * 2 + thoughts * 12 + 134_400
    flex = 10 + thoughts * 6 + 120_000
    lite = (10 * 250 + 1120 * 30_000 + light * 1_500 + 500) // 1000
    assert bill["by_model"][PRO]["cost_micros"] == standard + flex
    assert bill["by_model"]["gemini-3.1-flash-lite-image"]["cost_micros"] == lite
    assert bill["by_tier"]["flex"]["cost_micros"] == flex
    assert bill["total"] == {
        "calls": 4,
        "charged_calls": 3,
        "images": 3,
        "text_in": 30,
        "image_in": 0,
        "text_out": 0,
        "image_out": 1120 + 2000 + 1120,
        "thoughts": 2 * thoughts + light,
        "searches": 0,
        "cost_micros": standard + flex + lite,
    }
    assert bill["by_outcome"] == {"image": 3, "model_not_found": 1}


async def test_calls_are_listed_from_a_number_on(house: House) -> None:
    house.simulation.set_latency("fixed:2")
    for marker in ("r-1", "r-2", "r-3"):
        await house.ask(labels={"request_id": marker})
    calls = (await house.http.get("/control/calls", params={"since": 1})).json()["calls"]
    assert [(call["number"], call["marker"]) for call in calls] == [(2, "r-2"), (3, "r-3")]
    assert calls[0]["received_at"] == "2026-11-22T12:00:00+00:00"
    assert calls[0]["finished_at"] is not None
    assert (calls[0]["status"], calls[0]["outcome"], calls[0]["size"]) == (200, "image", "1K")
    assert len(calls[0]["prompt_sha256"]) == 64
    assert (await house.http.get("/control/calls", params={"since": "x"})).status_code == 400
    assert (await house.http.get("/control/calls", params={"since": "9" * 5_000})).status_code == 400


async def test_faults_limits_and_latency_are_set_over_http(house: House) -> None:
    set_faults = await house.http.post("/control/faults", json=[{"kind": "overload", "times": 1}])
    assert set_faults.json()["faults"] == [{"fault": {"kind": "overload", "times": 1}, "met": 0, "struck": 0}]
    with pytest.raises(sdk.InternalServerError):
        await house.ask()
    assert (await house.http.get("/control/faults")).json()["faults"][0]["struck"] == 1
    assert (await house.http.delete("/control/faults")).json() == {"faults": []}
    wrong = await house.http.post("/control/faults", json=[{"kind": "served_by", "served_by": "gemini-9"}])
    assert wrong.status_code == 400
    assert "gemini-9" in wrong.json()["error"]
    assert (await house.http.post("/control/limits", json={"limits": "*=rpm:0"})).json()["limits"] == "*=rpm:0"
    await rejected(house)
    assert (await house.http.post("/control/limits", json={"limits": "gemini-9=rpm:1"})).status_code == 400
    assert (await house.http.post("/control/limits", json={"limit": ""})).status_code == 400
    assert (await house.http.post("/control/limits", json={})).status_code == 400
    await house.http.post("/control/limits", json={"limits": ""})
    await house.http.post("/control/latency", json={"latency": f"{PRO}=fixed:7;*=fixed:3"})
    await house.ask()
    await house.ask(model="gemini-3.1-flash-lite-image")
    assert house.clock.slept == [7.0, 3.0]
    state = (await house.http.post("/control/reset")).json()
    assert state["latency"] == f"{PRO}=fixed:7;*=fixed:3"
    assert (await house.http.get("/control/calls")).json() == {"calls": []}


async def test_the_page_says_that_this_is_a_simulator(house: House) -> None:
    await house.ask()
    page = (await house.http.get("/")).text
    assert "This is a simulator" in page
    assert PRO in page
    assert f"0.{house.simulation.ledger.since()[0].cost_micros:06d}" in page


async def test_the_same_seed_gives_the_same_answers(house: House) -> None:
    first = (await house.ask()).model_dump()
    house.simulation.reset()
    second = (await house.ask()).model_dump()
    assert {**first, "id": ""} == {**second, "id": ""}
    assert first["id"] != second["id"], "no id is given twice"


async def test_latency_is_drawn_from_what_is_written() -> None:
    chance = Random(3)
    assert parse_latency("fixed:1.5").draw("any", chance) == 1.5
    uniform = [parse_latency("uniform:2,4").draw("any", chance) for _ in range(500)]
    assert 2 <= min(uniform) < 2.1
    assert 3.9 < max(uniform) <= 4
    lognormal = sorted(parse_latency("lognormal:12,0.4").draw("any", chance) for _ in range(2001))
    assert 11 < lognormal[1000] < 13
    for text in (
        "fixed",
        "fixed:-1",
        "fixed:1,2",
        "uniform:4,2",
        "lognormal:0,1",
        "normal:1,2",
        "=fixed:1",
        "fixed:nan",
    ):
        with pytest.raises(InvalidLatency):
            parse_latency(text)


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
async def test_each_kind_of_window_holds_the_limit_over_a_socket(house: House, window: Any) -> None:
    simulation = Simulation(
        limits="*=rpm:5", window=window, pictures="cached", now=house.clock.now, monotonic=house.clock.monotonic
    )
    server = await serve(simulation)
    body = {"model": PRO, "input": "x", "response_format": {"type": "image"}, "store": False}
    statuses = []
    for _ in range(8):
        answer = await house.http.post(f"{server.url}/v1/interactions", json=body, headers={"x-goog-api-key": "AQ.k"})
        statuses.append(answer.status_code)
    assert statuses == [200] * 5 + [429] * 3
    house.clock.advance(60)
    answer = await house.http.post(f"{server.url}/v1/interactions", json=body, headers={"x-goog-api-key": "AQ.k"})
    assert answer.status_code == 200
    await server.stop()
    simulation.close()


async def test_a_server_that_stops_drops_what_hangs(house: House) -> None:
    simulation = Simulation(latency="fixed:3600")
    server = await serve(simulation)
    body = {"model": PRO, "input": "x", "response_format": {"type": "image"}}
    call = asyncio.create_task(
        house.http.post(f"{server.url}/v1/interactions", json=body, headers={"x-goog-api-key": "AQ.k"})
    )
    await until(lambda: bool(simulation.ledger.since()))
    await server.stop()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    simulation.close()


async def test_run_serves_until_it_is_told_to_stop(house: House) -> None:
    program = (
        "from scripts.simulator.api.server import run; "
        "run(limits='*=rpm:9', on_ready=lambda url: print(url, flush=True)); print('stopped')"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    url = (await process.stdout.readline()).decode().strip()
    assert (await house.http.get(f"{url}/control/state")).json()["limits"] == "*=rpm:9"
    process.send_signal(signal.SIGTERM)
    assert await process.stdout.read() == b"stopped\n"
    assert await process.wait() == 0


@pytest.mark.parametrize("path", ["/v1beta/interactions", f"/v1beta/models/{PRO}:generateContent"])
async def test_who_hangs_up_before_the_body_is_charged_nothing_and_raises_nothing(house: House, path: str) -> None:
    async def hang_up() -> dict[str, str]:
        return {"type": "http.disconnect"}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    await build(house.simulation)(scope, hang_up, send)  # type: ignore[arg-type]
    assert [item["status"] for item in sent if "status" in item] == [499]
    assert not house.simulation.ledger.since()
