"""Every page and every form of the console, on a store in a file: no input breaks a page."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from urllib.parse import quote

import httpx2

from functions.console.app import BASE, CHANGING, LOOKING, desk_of
from functions.console.desk import ConsoleContext
from scripts.fuzzing import invariants, rubbish
from scripts.fuzzing.door import Input
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.wiring import Worker
from tests.console import states
from tests.console.conftest import ORIGIN, client_of, settings_of
from tests.fakes.memory import RecordedSignals

FIELDS: Sequence[str] = (
    "name", "reason", "lasts", "tenant", "purpose", "model", "lane", "share", "flag_id", "seen", "limit", "before",
    "did", "done", "failed", "flag", "id", "keys", "part", "query", "request_id", "span", "trip", "view",
    "shadow", "status", "since", "until", "group", "outcome", "priority", "cursor", "viewport",
)  # fmt: skip
WELL_FORMED: Mapping[str, Mapping[str, str]] = {
    "/flags/preview": {"name": "use-nano-banana-2", "reason": "a test", "lasts": "2h", "share": "50"},
    "/flags/trip": {"name": "use-nano-banana-2", "reason": "a test", "lasts": "2h", "flag_id": "1a2b"},
    "/flags/{flag_id}/reset": {"reason": "a test"},
    "/flags/{flag_id}/extend": {"reason": "a test", "lasts": "3h"},
    "/budgets/{tenant}": {"limit": "12.50", "reason": "a test", "before": "", "seen": ""},
    "/bulk/cancel": {"reason": "a test", "keys": "r-1 failed-1", "status": "queued"},
    "/bulk/revive": {"reason": "a test", "keys": "failed-1", "status": "failed"},
}
VALUES = (
    "use-nano-banana-2", "use-gateway", "pause", "ann", "2h", "30m", "1d", "50", "0.5", "gemini-3-pro-image", "default",
    "web", "standard", "succeeded", "failed", "queued", "bulk", "2026-11-22T18:00:00+00:00", "0", "99999999999", "-1",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "nan", "inf", "1e400", "9" * 400 + "d", "999999999999w",
)  # fmt: skip
REAL = "@REAL"
"""Stands for the address of something that there is."""


class ConsoleDoor:
    name = "console"

    def draw(self, random: Random) -> Input:
        method = random.choice(("GET", "POST"))
        path = random.choice(list(LOOKING if method == "GET" else CHANGING))
        fields = dict(WELL_FORMED.get(path, {})) if random.random() < 0.7 else {}
        fields |= {name: _value(random) for name in random.sample(FIELDS, random.randrange(9))}
        if random.random() < 0.1:
            fields[rubbish.text(random)] = rubbish.text(random)
        return {
            "method": method,
            "path": path,
            "place": random.randrange(1_000),
            "part": random.choice((REAL, REAL, REAL, "web", "default", rubbish.text(random))),
            "fields": fields,
            "noise": random.random() < 0.05,
            "part_of_page": random.random() < 0.2,
        }

    def play(self, item: Input) -> Sequence[str]:
        return _stage().play(item)


class _Stage:
    """One console for all cases of the process: what a case changes stays."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._signals = RecordedSignals()
        self._desk = self._loop.run_until_complete(self._made())
        self._client = client_of(self._desk)
        self._token, self._parts = self._loop.run_until_complete(self._looked())

    def play(self, item: Input) -> Sequence[str]:
        return self._loop.run_until_complete(self._played(item))

    async def _made(self) -> ConsoleContext:
        settings = settings_of(self._home)
        messaging = wiring.topics(settings, SystemClock())
        assert isinstance(messaging, LocalTopics)
        await messaging.ensure(SUBSCRIPTIONS)
        ports = wiring.build(settings, io.StringIO(), messaging)
        await states.furnish(ports, "busy")
        return desk_of(Worker.of(ports), settings)

    async def _looked(self) -> tuple[str, dict[str, list[str]]]:
        """The token of the forms, and what there is by the name of its part of an address."""
        page = await self._client.get(f"{BASE}/flags")
        token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
        assert token is not None, page.text[:500]
        parts = {"flag_id": [*re.findall(r"/flags/([^/\"?]+)/reset", page.text)], "tenant": ["web", "print", "default"]}
        listed = (await self._client.get(f"{BASE}/requests")).text
        parts["request_id"] = sorted({*re.findall(r"/requests/([^/\"?&]+)\"", listed)})
        parts["action"] = ["cancel", "revive"]
        return token[1], parts

    async def _played(self, item: Input) -> Sequence[str]:
        path = re.sub(r"\{(\w+)\}", lambda match: self._part(match[1], item), item["path"])
        headers = {"origin": ORIGIN} | ({"hx-request": "true"} if item["part_of_page"] else {})
        fields = "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in item["fields"].items())
        client = self._client
        if item["method"] == "GET":
            answer = await client.get(f"{BASE}{path}?{fields}"[:60_000], headers=headers)
        else:
            content = f"token={self._token}&{fields}" if not item["noise"] else f"\x00%%%=&&&={fields}\xff"
            headers["content-type"] = "application/x-www-form-urlencoded"
            answer = await client.post(f"{BASE}{path}", content=content.encode("latin-1", "replace"), headers=headers)
        return _problems(item, answer)

    def _part(self, name: str, item: Input) -> str:
        """Of an address: of something that there is, or as it was drawn."""
        if item["part"] == REAL and self._parts.get(name):
            there = self._parts[name]
            return there[int(item["place"]) % len(there)]
        return quote(item["part"].encode("utf-8", "replace"), safe="")


def _problems(item: Input, answer: httpx2.Response) -> Sequence[str]:
    problems = []
    if answer.status_code >= 500:
        problems.append(f"{item['method']} {item['path']} answered {answer.status_code}")
    if "<script>x</script>" in answer.text:
        problems.append(f"{item['method']} {item['path']} shows what was sent as a script")
    problems += [f"{item['path']}: {problem}" for problem in invariants.in_answer(answer.content)]
    return problems


@cache
def _stage() -> _Stage:
    return _Stage(Path(tempfile.mkdtemp(prefix=f"fuzz-console-{datetime.now(UTC):%H%M%S}-")))


def _value(random: Random) -> str:
    return random.choice(VALUES) if random.random() < 0.7 else rubbish.text(random)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
