"""What happens in a scene, as a value: who asks for what and when, and what the provider does meanwhile."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct, field

Priority = Literal["interactive", "normal", "bulk"]
WINDOW = 60.0


class SceneRequest(Struct, frozen=True):
    """One request of the upstream app."""

    id: str
    at: float
    """Seconds from the start of the scene."""
    prompt: str
    model: str
    fallback: str | None = None
    """What may serve it in an outage."""
    priority: Priority = "normal"
    image_size: str = "1K"
    poison: bool = False
    """It cannot end with an image."""
    raw: str | None = None
    """Published in place of the request, as it is written."""

    @property
    def prompt_sha256(self) -> str:
        """By which it is found in the provider's record."""
        return sha256(self.prompt.encode()).hexdigest()

    def message(self) -> dict[str, Any]:
        return {
            "request_id": self.id,
            "prompt": self.prompt,
            "model": self.model,
            "priority": self.priority,
            "image_size": self.image_size,
        }

    def data(self, *, with_fallback: bool) -> bytes:
        """As it is published. Renderlane chooses fallbacks itself."""
        if self.raw is not None:
            return self.raw.encode()
        return json.dumps(self.message() | ({"fallback": self.fallback} if with_fallback else {})).encode()


class RaceScene(Struct, frozen=True):
    name: str
    title: str
    """What happens, for the tables."""
    orders: Sequence[SceneRequest]
    within: float
    """Seconds after which the scene is cut off."""
    latency: float = 1.0
    """Seconds that a picture takes."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Requests a minute by model, enforced by the provider and told to the entrants."""
    limits_later: tuple[float, Mapping[str, int]] | None = None
    """From so many seconds on, told to nobody."""
    faults: Sequence[Mapping[str, Any]] = ()
    """Of the simulator, their times counted from the start of the scene."""
    kills: Sequence[float] = ()
    """Seconds at which the entrant is killed with -9; it is started again at once."""
    window: tuple[float, float] | None = None
    """Goodput is measured between these seconds."""
    warm: bool = False
    """One image before the scene begins, which tells the cold start."""
    alone: bool = False
    """One entrant after the other, so that times are not those of a busy machine."""
    reserved: float = 0.0
    """Share of the limit that an entrant without priorities of its own may keep for interactive requests."""
    figures: Sequence[str] = ()
    """What the table of this scene shows, by name. No books where it is cut off: they follow calls that still run."""

    @property
    def good(self) -> list[SceneRequest]:
        return [order for order in self.orders if not order.poison]


def ideal_seconds(scene: RaceScene) -> float:
    """When the last image would come if each call began as soon as the limit allows it."""
    starts: defaultdict[str, list[float]] = defaultdict(list)
    for order in sorted(scene.good, key=lambda order: order.at):
        made = starts[order.model]
        at = order.at
        while (limit := _limit(scene, order.model, at)) is not None:
            recent = [start for start in made if start > at - WINDOW]
            if len(recent) < limit:
                break
            at = recent[-limit] + WINDOW
        made.append(at)
    return max((start for row in starts.values() for start in row), default=0.0) + scene.latency


def most_images(scene: RaceScene) -> int | None:
    """As many as the limit allows within the scene's window."""
    if scene.window is None or not scene.limits:
        return None
    since, until = scene.window
    return round(sum(scene.limits.values()) * (until - since) / WINDOW)


def _limit(scene: RaceScene, model: str, at: float) -> int | None:
    if scene.limits_later is not None and at >= scene.limits_later[0]:
        return scene.limits_later[1].get(model)
    return scene.limits.get(model)
