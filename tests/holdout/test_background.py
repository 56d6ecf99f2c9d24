"""The one-machine worker against the second stand-in: background calls from publish to result, over real HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from scripts.local import upstream
from scripts.local.home import Home, Simulated, running
from shared.config import Settings
from shared.core.lifecycle import queries
from shared.core.values.status import FINAL
from tests.fakes.loopback import serving
from tests.holdout.provider import Provider

pytestmark = [pytest.mark.slow]

WITHIN = 60.0


@dataclass
class Stage:
    home: Home
    events: io.StringIO

    async def render(self, request_id: str = "r-1", **fields: Any) -> dict[str, Any]:
        """The request's document at its end."""
        await self.publish({"request_id": request_id, "prompt": "a lighthouse", **fields})
        return await self.until(request_id, lambda data: data["status"] in FINAL)

    async def publish(self, message: Mapping[str, Any]) -> None:
        await upstream.publish(self.home.worker.ports.topics, [upstream.message(message)])

    async def until(self, request_id: str, condition: Any) -> dict[str, Any]:
        store, matching = self.home.worker.ports.store, list[dict[str, Any]]()

        async def is_so() -> bool:
            for document in await store.query(queries.newest(None, 10)):
                if document.data["request_id"] == request_id and condition(document.data):
                    matching.append(dict(document.data) | {"key": document.id})
            return bool(matching)

        assert await upstream.until(is_so, WITHIN), request_id
        return matching[0]

    async def attempts(self, key: str) -> list[dict[str, Any]]:
        return [dict(row.data) for row in await self.home.worker.ports.store.query(queries.attempts_of(key))]

    def emitted(self, message: str) -> list[dict[str, Any]]:
        rows = (json.loads(line) for line in self.events.getvalue().splitlines())
        return [row for row in rows if row["message"] == message]


@asynccontextmanager
async def staged(provider: Provider, folder: Path, background: str = "on") -> AsyncIterator[Stage]:
    async with serving(provider.app()) as server:
        provider.url = server.url
        environment = {
            "RENDERLANE_HOME": str(folder),
            "GEMINI_API_KEY": "AQ.holdout",
            "GOOGLE_GEMINI_BASE_URL": server.url,
            "RENDERLANE_BACKGROUND": background,
        }
        events = io.StringIO()
        async with running(Settings.read(environment, folder), 0, Simulated(), cast("TextIO", events)) as home:
            yield Stage(home, events)


async def deleted(provider: Provider) -> None:
    async def are_deleted() -> bool:
        return all(call.is_deleted for call in provider.calls.values())

    assert await upstream.until(are_deleted, WITHIN)


async def test_a_webhook_brings_the_image_and_the_record_is_deleted(tmp_path: Path) -> None:
    provider = Provider()
    async with staged(provider, tmp_path) as stage:
        document = await stage.render()
        await deleted(provider)
        assert document["status"] == "succeeded"
        (attempt,) = await stage.attempts(document["key"])
        assert attempt["cost_basis"] == "metered"
    assert (len(provider.calls), provider.made, provider.foreground) == (1, 1, 0)
    assert provider.answers == [204]
    assert stage.emitted("webhook_taken")[0]["way"] == "dynamic"


async def test_without_a_webhook_polling_finds_it(tmp_path: Path) -> None:
    provider = Provider(calls_back=False)
    async with staged(provider, tmp_path) as stage:
        assert (await stage.render())["status"] == "succeeded"
        await deleted(provider)
    assert provider.made == 1


async def test_a_create_whose_answer_is_lost_is_in_the_books_as_it_is_on_the_bill(tmp_path: Path) -> None:
    provider = Provider(loses_answers=1, seconds=0.2)
    async with staged(provider, tmp_path) as stage:
        document = await stage.render()
        assert document["status"] == "succeeded"
        await deleted(provider)
        attempts = await stage.attempts(document["key"])
    priced = [attempt for attempt in attempts if attempt["cost_basis"] == "metered"]
    unknown = [attempt for attempt in attempts if attempt["cost_basis"] == "unknown"]
    assert len(priced) <= provider.made <= len(priced) + len(unknown)


async def test_a_provider_that_refuses_background_calls_is_asked_once(tmp_path: Path) -> None:
    provider = Provider(takes_background=False)
    async with staged(provider, tmp_path, "auto") as stage:
        for number in range(3):
            assert (await stage.render(f"r-{number}"))["status"] == "succeeded"
    assert (provider.refused, provider.foreground, len(provider.calls)) == (1, 3, 0)
    assert len(stage.emitted("background_refused")) == 1


async def test_a_refusal_is_an_answer_here_too(tmp_path: Path) -> None:
    provider = Provider(ends_as="failed")
    async with staged(provider, tmp_path) as stage:
        document = await stage.render()
        await deleted(provider)
    assert (document["status"], len(provider.calls)) == ("refused", 1)


async def test_a_picture_at_an_address_is_fetched(tmp_path: Path) -> None:
    provider = Provider(by_address=True)
    async with staged(provider, tmp_path) as stage:
        assert (await stage.render())["status"] == "succeeded"
    assert provider.made == 1


async def test_a_cancelled_request_cancels_its_interaction(tmp_path: Path) -> None:
    provider = Provider(seconds=30.0)
    async with staged(provider, tmp_path) as stage:
        await stage.publish({"request_id": "r-1", "prompt": "a lighthouse"})
        await stage.until("r-1", lambda data: data.get("interaction_id"))
        await stage.publish({"cancel": "r-1"})
        document = await stage.until("r-1", lambda data: data["status"] in FINAL)
    assert (document["status"], provider.cancelled, provider.made) == ("cancelled", ["v1_holdout0000"], 0)
