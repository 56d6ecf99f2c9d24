"""Each port's adapters, by name, for the contract suites."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from shared.adapters.sqlite.store import SqliteStore
from shared.adapters.sqlite.topics import LocalTopics
from shared.ports.messaging import Delivery, Subscriptions, Topics
from shared.ports.store import Store
from tests.contract.fake_clock import FakeClock
from tests.emulators import firestore_host, pubsub_host
from tests.fakes.memory import MemoryStore

__all__ = ["firestore_host", "pubsub_host"]

INDEXES: Sequence[tuple[str, tuple[str, ...]]] = (("requests", ("status", "tag")), ("requests", ("-created_at",)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def project() -> str:
    """A project of the test's own: on an emulator nothing else lies in it."""
    return f"test-{uuid.uuid4().hex[:20]}"


@pytest.fixture(params=["memory", "sqlite", pytest.param("firestore", marks=pytest.mark.emulator)])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, project: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    one: Store
    if request.param == "memory":
        one = MemoryStore(clock)
    elif request.param == "sqlite":
        one = SqliteStore(tmp_path / "state.db", clock, INDEXES)
    else:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", request.getfixturevalue("firestore_host"))
        from shared.adapters.google_cloud.firestore_store import FirestoreStore

        one = FirestoreStore(project)
    yield one
    await one.close()


class BothPorts(Topics, Subscriptions, Protocol):
    """Each adapter publishes and pulls."""


@dataclass
class Post:
    """The topics under test and their time: the fake clock's, or on the emulator the real one."""

    topics: BothPorts
    project: str
    clock: FakeClock | None

    async def pull(self, subscription: str, limit: int = 10) -> list[Delivery]:
        """What surely comes: the emulator may need seconds to hand out what was rejected."""
        wait = timedelta(seconds=20) if self.clock is None else timedelta(0)
        return await self.topics.pull(subscription, limit, wait)

    async def pull_one(self, subscription: str) -> Delivery:
        (delivery,) = await self.pull(subscription)
        return delivery

    async def nothing_comes(self, subscription: str) -> bool:
        wait = timedelta(seconds=0.3) if self.clock is None else timedelta(0)
        return await self.topics.pull(subscription, 10, wait) == []

    async def pass_time(self, by: timedelta) -> None:
        if self.clock is None:
            await asyncio.sleep(by.total_seconds())
        else:
            self.clock.advance(by)

    def pass_backoff(self) -> None:
        """The emulator's own back-off is waited for by `pull`."""
        if self.clock is not None:
            self.clock.advance(timedelta(seconds=60))


@pytest.fixture(params=["local", pytest.param("pubsub", marks=pytest.mark.emulator)])
async def post(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, project: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Post]:
    one: Post
    if request.param == "local":
        one = Post(LocalTopics(tmp_path / "state.db", clock, project), project, clock)
    else:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", request.getfixturevalue("pubsub_host"))
        from shared.adapters.google_cloud.pubsub_topics import PubsubTopics

        one = Post(PubsubTopics(project), project, clock=None)
    yield one
    await one.topics.close()
