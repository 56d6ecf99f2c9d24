"""Calls that wait are bounded, and one tenant's leave room for those of the others."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from functions.api.places import MOST_IN_THE_CLOUD, Places
from functions.api.problems import ProblemAnswer
from shared.wiring import Worker
from tests.api.callers import client, of_cloud
from tests.api.test_requests import HERO
from tests.world import World

WEB, EVIL = "web@p.iam.gserviceaccount.com", "evil@p.iam.gserviceaccount.com"


def taken_by(places: Places, tenant: str) -> int:
    """How many it gets until it is refused."""
    for count in range(1_000):
        try:
            places.take(tenant)
        except ProblemAnswer:
            return count
    raise AssertionError("nothing bounds it")


def test_each_tenant_may_hold_as_many_places_as_are_free() -> None:
    places = Places(100)
    assert [taken_by(places, name) for name in ("a", "b", "c")] == [50, 25, 13]
    places.leave("a")
    places.leave("a")
    places.take("c")
    assert taken_by(Places(0), "a") == 0


def test_a_place_is_left_after_an_error() -> None:
    places = Places(2)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), places.place("a"):
            raise ZeroDivisionError
    assert taken_by(places, "a") == 1


async def test_one_tenant_that_waits_for_everything_leaves_room_for_another() -> None:
    world = World()
    worker = Worker.of(world.ports)
    application = of_cloud(worker, most_waiting=8)
    web, evil = client(worker, WEB, application), client(worker, EVIL, application)
    for caller in (web, evil):
        await world.run(caller.post("/v1/requests", json=HERO))
    world.topics.take("render-requests-intake")  # nobody takes them up: everybody waits
    answers: dict[str, list[httpx2.Response]] = {}

    async def waits(name: str, caller: httpx2.AsyncClient, count: int) -> None:
        calls = [caller.get(f"/v1/requests/hero{way}") for way in ["?wait=30", "/events"] * (count // 2)]
        answers[name] = await asyncio.gather(*calls)

    async def story() -> None:
        await asyncio.gather(waits("evil", evil, 20), waits("web", web, 2))

    await world.run_for(timedelta(minutes=5), story())
    assert sorted({answer.status_code for answer in answers["web"]}) == [200]
    codes = [answer.status_code for answer in answers["evil"]]
    assert (codes.count(200), codes.count(429)) == (4, 16)
    assert {answer.headers.get("retry-after") for answer in answers["evil"]} == {None, "1"}
    again = await world.run(evil.get("/v1/requests/hero?wait=1"))
    assert again.status_code == 200  # every place was left


async def test_a_stream_that_was_never_begun_leaves_its_place() -> None:
    """Its caller has gone while the head of the answer was sent."""
    world = World()
    worker = Worker.of(world.ports)
    application = of_cloud(worker, most_waiting=2)
    caller = client(worker, WEB, application)
    await world.run(caller.post("/v1/requests", json=HERO))
    await world.run_until_quiet()
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"spec_version": "2.4"}, "http_version": "1.1", "method": "GET", "query_string": b"",
        "path": "/v1/requests/hero/events", "raw_path": b"/v1/requests/hero/events", "root_path": "",
        "headers": [(b"authorization", caller.headers["authorization"].encode())],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        raise OSError("the caller has gone")

    for _ in range(5):
        with pytest.raises(Exception):  # noqa: B017  which one is the server's affair
            await world.run(application(scope, receive, send))
    assert (await world.run(caller.get("/v1/requests/hero/events"))).status_code == 200


def test_the_bound_in_the_cloud_leaves_room_for_calls_that_do_not_wait() -> None:
    concurrency = re.search(r"max_instance_request_concurrency = (\d+)", Path("terraform/api.tf").read_text("utf-8"))
    assert concurrency
    assert int(concurrency[1]) - 50 >= MOST_IN_THE_CLOUD
