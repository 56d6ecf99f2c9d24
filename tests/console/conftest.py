"""A console on a store of its own: SQLite in a file, local topics, a folder of images; and a browser that is none."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from functions.console.app import BASE, desk_of, whole
from functions.console.desk import ConsoleContext
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.config import Settings
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.wiring import Worker

ORIGIN = "http://localhost:8080"


class Browser:
    """What a person does on the pages: look, fill in what a form has, send it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def look(self, path: str = "/", **headers: str) -> httpx2.Response:
        return await self.client.get(f"{BASE}{path}", headers=headers)

    async def send(self, path: str, page: str = "/flags", **fields: str) -> httpx2.Response:
        """A form of `page`, with its token, sent to `path` from our own origin."""
        shown = await self.look(page)
        match = re.search(r'name="token" value="([0-9a-f]+)"', shown.text)
        assert match is not None, shown.text
        return await self.post(path, token=match[1], **fields)

    async def post(self, path: str, origin: str | None = ORIGIN, **fields: str) -> httpx2.Response:
        headers = {} if origin is None else {"origin": origin}
        return await self.client.post(f"{BASE}{path}", data=fields, headers=headers)


def settings_of(home: Path, **more: str) -> Settings:
    return Settings.read({"RENDERLANE_HOME": str(home), "RENDERLANE_QUOTA": "*=rpm:60", **more}, home)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ConsoleContext]:
    settings = settings_of(tmp_path)
    messaging = wiring.topics(settings, SystemClock())
    assert isinstance(messaging, LocalTopics)
    await messaging.ensure(SUBSCRIPTIONS)
    worker = Worker.of(wiring.build(settings, io.StringIO(), messaging))
    yield desk_of(worker, settings)
    await worker.close()


def client_of(desk: ConsoleContext, peer: str = "127.0.0.1", base_url: str = ORIGIN) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=whole(desk), client=(peer, 4711), raise_app_exceptions=True)
    return httpx2.AsyncClient(transport=transport, base_url=base_url)


@pytest.fixture
async def browser(desk: ConsoleContext) -> AsyncIterator[Browser]:
    async with client_of(desk) as client:
        yield Browser(client)
