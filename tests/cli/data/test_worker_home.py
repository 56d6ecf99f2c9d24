"""Topics before anything was started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shared import wiring
from shared.core.messages.topics import SUBSCRIPTIONS, Subscription
from tests.cli.conftest import renderlane


class Topics:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def ensure(self, subscriptions: Sequence[Subscription]) -> None:
        assert subscriptions == SUBSCRIPTIONS
        self.done.append("ensure")

    async def publish(self, *_: Any) -> str:
        self.done.append("publish")
        return "message-1"

    async def close(self) -> None:
        self.done.append("close")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("arguments", [("submit", "a red cube"), ("cancel", "some-id")])
@pytest.mark.parametrize(
    ("emulator", "done"), [("localhost:8085", ["ensure", "publish", "close"]), (None, ["publish", "close"])]
)
def test_topics_are_made_on_the_emulator_and_never_in_the_cloud(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], emulator: str | None, done: list[str]
) -> None:
    topics = Topics()
    monkeypatch.setattr(wiring, "topics", lambda *_: topics)
    monkeypatch.setenv("RENDERLANE_TOPICS", "pubsub://local")
    if emulator:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)
    assert renderlane(*arguments).exit_code == 0
    assert topics.done == done


def test_local_topics_are_made_too(home: Path) -> None:
    assert renderlane("submit", "a red cube").exit_code == 0
    assert (home / "state.db").exists()
