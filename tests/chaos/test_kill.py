"""kill -9 of the one-machine process at random moments under load: nothing is lost, every cent accounted for."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream, until

REQUESTS = 120
KILLS = 5
WITHIN = 300.0


@pytest.mark.slow
async def test_five_kills_under_load_lose_nothing_and_pay_twice_only_for_what_was_in_flight(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    with ExitStack() as stack:
        provider = stack.enter_context(rig.simulator(latency="uniform:0.5,1.5"))
        environment = {
            "RENDERLANE_HOME": str(tmp_path),
            "GEMINI_API_KEY": "AQ.chaos",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
            "RENDERLANE_QUOTA": "*=concurrency:12",
        }
        client = Upstream.of(environment)
        await client.publish(
            [{"request_id": f"r-{number}", "prompt": f"picture {number}"} for number in range(REQUESTS)]
        )
        in_flight_at_kills = 0
        for _ in range(KILLS):
            with rig.command("up", "--port", "0", environment=environment) as up:
                await _until_it_works(client)
                await asyncio.sleep(chance.uniform(0.2, 1.5))
                up.popen.send_signal(signal.SIGKILL)
                up.popen.wait()
            in_flight_at_kills += await _in_flight(client)
        with rig.command("up", "--port", "0", environment=environment):
            ended = await client.wait_for(REQUESTS, WITHIN)
        documents = await client.documents(REQUESTS + 1)
        await client.close()
        charged = [call for call in rig.calls(provider.url) if call["charged"]]
    assert in_flight_at_kills > 0, "the kills hit no attempt: this run shows nothing"
    succeeded = [document for document in documents if document["status"] == "succeeded"]
    given_up = [document for document in documents if document["status"] == "failed"]
    assert sum(ended.values()) == REQUESTS == len(succeeded) + len(given_up)
    # Without a cap what may have been billed is repeated at most twice: a request hit by three kills ends so.
    assert all(item["outcome"]["code"] == "crashed" and item["crash_count"] == 3 for item in given_up)
    assert len({item["image_uri"] for item in succeeded}) == len(succeeded)
    # Each charge is one image of a request that ended well, or stands in the books as an attempt with unknown bill.
    unknown = sum(document["cost_unknown_attempts"] for document in documents)
    assert len(succeeded) <= len(charged) <= len(succeeded) + unknown
    assert unknown <= in_flight_at_kills
    most = max(Counter(call["prompt_sha256"] for call in charged).values())
    assert most <= 1 + max(document["crash_count"] for document in documents)
    # The same prompt always has the same thoughts, so each picture has one price, however often it was made.
    prices = {(call["prompt_sha256"], call["cost_micros"]) for call in charged}
    price_of = dict(prices)
    assert len(price_of) == len(prices)
    booked = {request["request_id"]: request["cost_micros"] for request in succeeded}
    assert booked == {request_id: price_of[_prompt_sha256(request_id)] for request_id in booked}
    assert sum(request["cost_micros"] for request in given_up) == 0, "what may have been billed for them is unknown"


def _prompt_sha256(request_id: str) -> str:
    return hashlib.sha256(f"picture {request_id.removeprefix('r-')}".encode()).hexdigest()


async def _until_it_works(client: Upstream) -> None:
    """Until an attempt of the new boot is in flight, or all is over."""

    async def works() -> bool:
        return await _in_flight(client) > 0 or sum((await client.ended(REQUESTS)).values()) == REQUESTS

    assert await until(works, 60, longest=0.05), "the restarted process began nothing within 60 s"


async def _in_flight(client: Upstream) -> int:
    from shared.core.lifecycle import queries

    in_flight: list[Any] = await client.store.query(queries.rendering(REQUESTS))
    return len(in_flight)
