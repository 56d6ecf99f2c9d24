"""Files and batches of the simulator, as the facts have them: by raw HTTP, and by the unmodified SDK."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai.types import HttpOptions

from scripts.simulator.provider.faults import Fault
from tests.simulator.conftest import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"x-goog-api-key": "AQ.test"}
PRO = "gemini-3-pro-image"


def line(key: str, prompt: str = "a red cube", **config: Any) -> dict[str, Any]:
    request = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    return {"key": key, "request": request | {"generation_config": {"responseModalities": ["TEXT", "IMAGE"], **config}}}


async def uploaded(house: House, *lines: dict[str, Any]) -> str:
    content = b"".join(json.dumps(item).encode() + b"\n" for item in lines)
    start = KEY | {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    begun = await house.http.post("/upload/v1beta/files", json={"file": {"displayName": "in"}}, headers=start)
    assert begun.status_code == 200
    command = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
    ended = await house.http.post(begun.headers["x-goog-upload-url"], content=content, headers=command)
    return str(ended.json()["file"]["name"])


async def created(house: House, file: str, model: str = PRO, name: str = "job-1") -> Any:
    body = {"batch": {"displayName": name, "inputConfig": {"fileName": file}}}
    return await house.http.post(f"/v1beta/models/{model}:batchGenerateContent", json=body, headers=KEY)


async def operation_of(house: House, name: str) -> dict[str, Any]:
    answer = await house.http.get(f"/v1beta/{name}", headers=KEY)
    assert answer.status_code == 200
    return dict(answer.json())


async def ended(house: House, *lines: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A batch of these lines at its end, and its answers."""
    name = (await created(house, await uploaded(house, *lines))).json()["name"]
    work = house.simulation.jobs[name].work
    if work is not None:
        await work
    house.clock.advance(31)
    operation = await operation_of(house, name)
    output = operation["metadata"].get("output")
    if output is None:
        return operation, []
    download = await house.http.get(f"/v1beta/{output['responsesFile']}:download", params={"alt": "media"}, headers=KEY)
    return operation, [json.loads(splitline) for splitline in download.content.splitlines()]


async def test_a_batch_goes_from_pending_to_its_answers(house: House) -> None:
    answer = await created(house, await uploaded(house, line("a", imageConfig={"imageSize": "4K"}), line("b")))
    name = answer.json()["name"]
    assert name.startswith("batches/")
    assert answer.json()["metadata"]["state"] == "BATCH_STATE_PENDING"
    house.clock.advance(10)
    assert (await operation_of(house, name))["metadata"]["state"] == "BATCH_STATE_RUNNING"
    work = house.simulation.jobs[name].work
    assert work is not None
    await work
    house.clock.advance(30)
    operation = await operation_of(house, name)
    assert operation["done"] is True
    assert operation["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert operation["metadata"]["batchStats"] == {"requestCount": "2", "successfulRequestCount": "2"}
    assert operation["response"]["responsesFile"] == operation["metadata"]["output"]["responsesFile"]


async def test_each_answer_is_billed_at_half_the_price(house: House) -> None:
    _, answers = await ended(house, line("a"), line("b"))
    assert [answer["key"] for answer in answers] == ["a", "b"]
    assert answers[0]["response"]["usageMetadata"]["candidatesTokensDetails"] == [
        {"modality": "IMAGE", "tokenCount": 1120}
    ]
    calls = house.simulation.ledger.since()
    assert [(call.api, call.tier, call.charged) for call in calls] == [("batch", "batch", True)] * 2
    rates = house.simulation.models.by_id[PRO].rates["batch"]
    assert calls[0].cost_micros >= 1120 * rates.image // 1000 == 67_200


async def test_one_bad_line_is_an_error_of_its_own(house: House) -> None:
    house.script(Fault(kind="refusal", prompt="bad"), Fault(kind="internal", prompt="ill"))
    lines = [line("a"), line("b", imageConfig={"imageSize": "9K"}), line("c", "bad"), line("d", "ill")]
    operation, answers = await ended(house, *lines)
    assert answers[1]["error"]["code"] == 3
    assert answers[2]["response"]["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    assert answers[3]["error"]["code"] == 13
    assert operation["metadata"]["batchStats"]["failedRequestCount"] == "2"


async def test_keys_may_be_missing_doubled_or_strange_and_all_are_billed(house: House) -> None:
    house.script(
        Fault(kind="missing_key", prompt="gone"),
        Fault(kind="duplicate_key", prompt="many", copies=21),
        Fault(kind="strange_key", prompt="odd"),
    )
    _, answers = await ended(house, line("a", "gone"), line("b", "many"), line("c", "odd"))
    assert [answer["key"] for answer in answers] == ["b"] * 21 + ["c-strange"]
    assert house.simulation.ledger.bill().total.images == 23


@pytest.mark.parametrize(
    ("kind", "after_a_minute", "after_two_days"),
    [("batch_failed", "FAILED", "FAILED"), ("batch_expired", "RUNNING", "EXPIRED"), ("stuck", "RUNNING", "RUNNING")],
)
async def test_a_whole_batch_can_end_badly_or_never(
    house: House, kind: Any, after_a_minute: str, after_two_days: str
) -> None:
    house.script(Fault(kind=kind))
    operation, answers = await ended(house, line("a"))
    assert answers == []
    assert operation["metadata"]["state"] == f"BATCH_STATE_{after_a_minute}"
    house.clock.advance(48 * 3600)
    assert (await operation_of(house, operation["name"]))["metadata"]["state"] == f"BATCH_STATE_{after_two_days}"
    assert house.simulation.ledger.bill().total.images == 0


async def test_a_batch_can_be_cancelled(house: House) -> None:
    name = (await created(house, await uploaded(house, line("a")))).json()["name"]
    assert (await house.post({}, path=f"/v1beta/{name}:cancel")).status_code == 200
    operation = await operation_of(house, name)
    assert (operation["done"], operation["metadata"]["state"]) == (True, "BATCH_STATE_CANCELLED")


async def test_the_list_is_newest_first_and_comes_in_pages(house: House) -> None:
    file = await uploaded(house, line("a"))
    for number in range(3):
        house.clock.advance(60)
        assert (await created(house, file, name=f"job-{number}")).status_code == 200
    first = (await house.http.get("/v1beta/batches", params={"pageSize": "2"}, headers=KEY)).json()
    assert [operation["metadata"]["displayName"] for operation in first["operations"]] == ["job-2", "job-1"]
    query = {"pageSize": "2", "pageToken": first["nextPageToken"]}
    second = (await house.http.get("/v1beta/batches", params=query, headers=KEY)).json()
    assert [operation["metadata"]["displayName"] for operation in second["operations"]] == ["job-0"]
    assert "nextPageToken" not in second


async def test_a_reset_create_may_have_made_its_batch(house: House) -> None:
    file = await uploaded(house, line("a"))
    for charged in (False, True):
        house.script(Fault(kind="reset", api="batch_create", charged=charged))
        with pytest.raises(httpx2.HTTPError):
            await created(house, file)
        assert len(house.simulation.jobs) == int(charged)


async def test_what_cannot_be_created_says_why(house: House) -> None:
    file = await uploaded(house, line("a"))
    assert (await created(house, file, model="gemini-3-pro-image-preview")).status_code == 404
    assert (await created(house, "files/none")).status_code == 403
    house.simulation.jobs |= {f"batches/{n}": await _open(house, file) for n in range(99)}
    full = await created(house, file)
    assert (full.status_code, full.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


async def _open(house: House, file: str) -> Any:
    if not house.simulation.jobs:
        await created(house, file)
    return next(iter(house.simulation.jobs.values()))


async def test_the_unmodified_sdk_can_upload_create_and_look(house: House, tmp_path: Any) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(line("a")) + "\n")
    client = genai.Client(api_key="AQ.test", http_options=HttpOptions(base_url=house.server.url, api_version="v1beta"))
    file = await client.aio.files.upload(file=str(path), config={"mime_type": "jsonl", "display_name": "in"})
    assert file.name
    job = await client.aio.batches.create(model=PRO, src=file.name, config={"display_name": "by-sdk"})
    assert job.name
    assert job.display_name == "by-sdk"
    batch_job = await client.aio.batches.get(name=job.name)
    assert batch_job.state is not None
    assert batch_job.state.value == "JOB_STATE_PENDING"
    assert [batch_job.name async for batch_job in await client.aio.batches.list()] == [job.name]
    await client.aio.aclose()
    client.close()
