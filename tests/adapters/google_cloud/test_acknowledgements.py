"""Acknowledgements that come while a request is under way share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.adapters.google_cloud.pubsub_topics import PubsubTopics
from shared.ports.messaging import TopicsUnavailable


async def test_a_single_one_leaves_at_once_and_those_after_it_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, list[str]]] = []
    gate = asyncio.Event()

    async def send(_: PubsubTopics, subscription: str, handles: Sequence[str]) -> None:
        sent.append((subscription, list(handles)))
        await gate.wait()

    monkeypatch.setattr(PubsubTopics, "_acknowledge", send)
    topics = PubsubTopics("a-project")
    tasks = [asyncio.create_task(topics.acknowledge("s", ["1"]))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sent == [("s", ["1"])]
    tasks += [asyncio.create_task(topics.acknowledge("s", [name, f"{name}b"])) for name in ("2", "3")]
    tasks.append(asyncio.create_task(topics.acknowledge("other", ["9"])))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert sorted(sent) == [("other", ["9"]), ("s", ["1"]), ("s", ["2", "2b", "3", "3b"])]
    await topics.acknowledge("s", [])
    assert len(sent) == 3


async def test_a_failure_reaches_all_that_shared_the_request_and_none_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [TopicsUnavailable("away"), None]

    async def send(_: PubsubTopics, __: str, ___: Sequence[str]) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr(PubsubTopics, "_acknowledge", send)
    topics = PubsubTopics("a-project")
    ends = await asyncio.gather(*(topics.acknowledge("s", [name]) for name in "12"), return_exceptions=True)
    assert [type(end) for end in ends] == [TopicsUnavailable, TopicsUnavailable]
    await topics.acknowledge("s", ["3"])
    await topics.close()
