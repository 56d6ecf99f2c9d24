"""The HTTP API, beyond what its description allows: addresses, queries, headers and bodies that fit nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from random import Random
from urllib.parse import quote

import httpx2

from functions.api.app import ROUTES, app
from scripts.fuzzing import invariants, rubbish
from scripts.fuzzing.door import Input, bytes_of
from scripts.fuzzing.doors.request import FIELDS, VALID, plausible
from shared.core.messages.topics import RENDER_REQUESTS
from shared.ports.identity import Caller, CallerInfo
from shared.wiring import Worker
from tests.world import World

QUERY = ("wait", "tenant", "status", "model", "since", "group", "cursor", "limit", "x")
HEADERS = ("idempotency-key", "content-type", "traceparent", "tracestate", "host", "origin", "accept",
           "x-forwarded-host", "content-length", "authorization", "last-event-id", "range")  # fmt: skip
GOOD = {
    "wait": ("0", "0.1"), "tenant": ("default", "web"), "status": ("queued", "succeeded", "rejected"),
    "limit": ("1", "50"), "model": ("nano-banana",),
    "since": ("2026-11-22T18:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
}  # fmt: skip


class Anybody:
    """Lets every call in."""

    async def caller(self, call: CallerInfo) -> Caller:
        return Caller("ada", ("*",))


class ApiDoor:
    name = "api"

    def draw(self, random: Random) -> Input:
        route = random.choice(ROUTES)
        method = (
            random.choice(sorted({*(route.methods or ())} - {"HEAD"}))
            if random.random() < 0.9
            else random.choice(METHODS)
        )
        message = {**random.choice(VALID), **plausible(random)} if random.random() < 0.6 else random.choice(VALID)
        if random.random() < 0.4:
            message = rubbish.changed(random, message, FIELDS)
        query = {
            name: random.choice(GOOD[name]) if name in GOOD and random.random() < 0.5 else rubbish.text(random)
            for name in QUERY
            if random.random() < (0.3 if name in getattr(route.endpoint, "parameters", ()) else 0.02)
        }
        request_id = random.choice(("r-1", "r-1", "r-2", "web~r-1", rubbish.text(random)))
        headers = {name: rubbish.text(random) for name in HEADERS if random.random() < 0.03}
        if "wait" in query:
            query["wait"] = query["wait"] if query["wait"] != "true" else "0"
        return {
            "method": method,
            "path": route.path,
            "request_id": request_id,
            "query": query,
            "headers": headers,
            "body": rubbish.as_sent(random, message) if method == "POST" else "",
        }

    def play(self, item: Input) -> Sequence[str]:
        return asyncio.run(_played(item))


METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "GET", "POST", "BREW")


async def _played(item: Input) -> list[str]:
    world = World()
    await world.submit("r-1", prompt=f"a {invariants.PROMPT}")
    await world.run_until_quiet()
    await world.submit("r-2", tenant="web", prompt=f"a {invariants.PROMPT}")
    before = len(world.topics.on(RENDER_REQUESTS))
    url = _path(item)
    content = bytes_of(item["body"])
    headers = {
        name.encode(): value.encode("utf-8", "replace").replace(b"\n", b" ").replace(b"\r", b" ")
        for name, value in item["headers"].items()
    }
    problems: list[str] = []
    application = app(Worker.of(world.ports), Anybody())
    transport = httpx2.ASGITransport(app=application, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        request = client.build_request(item["method"], url, content=content or None, headers=list(headers.items()))
        answer = await world.run(client.send(request))
    if answer.status_code >= 500:
        problems.append(f"{item['method']} {item['path']} answered {answer.status_code}")
    problems += _form(item, answer)
    problems += invariants.in_answer(answer.content, (invariants.KEY,))
    if item["path"] != "/v1/estimate" and answer.status_code >= 400:
        problems += invariants.in_answer(answer.content, (invariants.PROMPT,))
    published = len(world.topics.on(RENDER_REQUESTS)) - before
    if published and answer.status_code >= 400:
        problems.append(f"{item['method']} {item['path']} answered {answer.status_code} and published")
    await world.run_until_quiet()
    if answer.status_code == 202 and item["path"] == "/v1/requests" and world.store.all("rejected"):
        problems.append("a request that was answered with 202 was rejected by intake")
    problems += [f"raised {error!r}" for error in (*world.crashes, *world.watch_crashes)]
    problems += invariants.leaks(world.signals)
    return problems


def _form(item: Input, answer: httpx2.Response) -> Sequence[str]:
    """Every error is a problem document, and names each field with what was found, what is allowed and what to do."""
    if answer.status_code < 400 or item["method"] == "HEAD":
        return ()
    try:
        document = json.loads(answer.content)
        named = document["status"] == answer.status_code and document["title"] and document["detail"]
        parts = [error[part] for error in document["errors"] for part in ("field", "found", "allowed", "remedy")]
    except (ValueError, KeyError, TypeError):
        return (f"{item['method']} {item['path']}: {answer.status_code} without a problem document",)
    is_whole = named and parts and all(parts)
    return () if is_whole else (f"{item['path']}: a problem document without title, detail or the parts of an error",)


def _path(item: Input) -> str:
    text = item["path"].replace("{request_id}", quote(item["request_id"].encode("utf-8", "replace"), safe=""))
    pairs = (
        f"{quote(name)}={quote(value.encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in item["query"].items()
    )
    return f"{text}?{'&'.join(pairs)}"[:60_000]
