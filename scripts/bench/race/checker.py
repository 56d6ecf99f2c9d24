"""The figures of an entrant in a scene, from what was ordered, what was delivered, and the provider's own record.

It knows nothing of how an entrant works. A request is found in the record by the hash of its prompt.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from scripts.bench.harness.percentile import finite_percentile
from scripts.bench.race.scene import RaceScene, SceneRequest, ideal_seconds, most_images


class Recorded(Struct, frozen=True):
    """What is left of a scene when it is over."""

    began: float
    """Unix seconds, as all instants here."""
    published: Mapping[str, float]
    """By request id."""
    delivered: Mapping[str, float]
    """When its image was there."""
    calls: Sequence[Mapping[str, Any]]
    """The provider's record."""
    booked_micros: int | None = None
    """What the entrant's own books say it cost; None: it keeps none."""
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    cold_start: float | None = None
    """Seconds from exec to the first image, without the model's own time."""


class EntrantFigures(Struct, frozen=True):
    """Costs are in micro-dollars, times in seconds. None: does not apply, or the entrant cannot say."""

    requests: int
    images: int
    lost: int
    """Requests that could have an image and have none when the scene is cut off."""
    makespan: float | None
    """From the first request to the last image; None where some are lost."""
    ideal: float
    wait_p50: float | None
    """From a request's publication to its image."""
    wait_p99: float | None
    wait_worst: float | None
    interactive_p50: float | None
    interactive_p99: float | None
    interactive_missing: int
    rejected: int
    """Calls answered with 429."""
    sick_calls: int
    """Calls answered with 5xx, or not at all."""
    primary: int
    """Images by the model that was asked for."""
    goodput: float | None
    """Images within the scene's window, as a share of what the limit allows."""
    paid_twice: int
    """Charges beyond the first of a request."""
    poison_calls: int
    """Calls for requests of which no image can come."""
    wasted_micros: int
    """Charged, and no image of it was delivered: repeats, and all charges of requests without an image."""
    billed_micros: int
    booked_micros: int | None
    cpu_ms: float
    """Of a delivered image."""
    peak_mb: int
    cold_start: float | None
    published_late: float
    """The most by which a request was published after its time: more than a second says that the bench was too slow."""

    @property
    def cost_error_micros(self) -> int | None:
        return None if self.booked_micros is None else self.booked_micros - self.billed_micros


def check(scene: RaceScene, recorded: Recorded) -> EntrantFigures:
    by_order = _calls_by_order(scene, recorded.calls)
    charges = {id: [call for call in calls if call["charged"]] for id, calls in by_order.items()}
    calls = [call for rows in by_order.values() for call in rows]
    good = scene.good
    images = [order for order in good if order.id in recorded.delivered]
    waits = [_wait(recorded, order) for order in images]
    interactive = [order for order in good if order.priority == "interactive"]
    interactive_waits = [
        _wait(recorded, order) if order.id in recorded.delivered else math.inf for order in interactive
    ]
    ends = [recorded.delivered[order.id] - recorded.began for order in images]
    lost = len(good) - len(images)
    return EntrantFigures(
        requests=len(scene.orders),
        images=len(images),
        lost=lost,
        makespan=max(ends) if ends and not lost else None,
        ideal=ideal_seconds(scene),
        wait_p50=finite_percentile(waits, 0.5),
        wait_p99=finite_percentile(waits, 0.99),
        wait_worst=max(waits, default=None),
        interactive_p50=finite_percentile(interactive_waits, 0.5),
        interactive_p99=finite_percentile(interactive_waits, 0.99),
        interactive_missing=sum(map(math.isinf, interactive_waits)),
        rejected=sum(call["status"] == 429 for call in calls),
        sick_calls=sum(_is_sick(call) for call in calls),
        primary=sum(_served(charges[order.id]) == order.model for order in images),
        goodput=_goodput(scene, ends),
        paid_twice=sum(max(0, len(rows) - 1) for rows in charges.values()),
        poison_calls=sum(len(by_order[order.id]) for order in scene.orders if order.poison),
        wasted_micros=sum(_wasted(order, charges[order.id], recorded) for order in scene.orders),
        billed_micros=sum(call["cost_micros"] for rows in charges.values() for call in rows),
        booked_micros=recorded.booked_micros,
        cpu_ms=recorded.cpu_seconds * 1000 / max(1, len(images)),
        peak_mb=round(recorded.peak_bytes / 1e6),
        cold_start=recorded.cold_start,
        published_late=max(
            (recorded.published[order.id] - recorded.began - order.at for order in scene.orders), default=0
        ),
    )


def _calls_by_order(scene: RaceScene, calls: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Calls that ask for a picture; those for no order of the scene, such as the first image, are left out."""
    by_prompt: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for call in calls:
        if call["api"] in ("interactions", "generate_content"):
            by_prompt[call["prompt_sha256"]].append(call)
    return {order.id: by_prompt[order.prompt_sha256] for order in scene.orders}


def _wait(recorded: Recorded, order: SceneRequest) -> float:
    return recorded.delivered[order.id] - recorded.published[order.id]


def _is_sick(call: Mapping[str, Any]) -> bool:
    ended = call["finished_at"] is not None
    return ended and not call["charged"] and (call["status"] is None or call["status"] >= 500)


def _served(charges: Sequence[Mapping[str, Any]]) -> str | None:
    """By the first charge that came to its end."""
    ended = sorted((call for call in charges if call["finished_at"]), key=_finished_at)
    return str(ended[0]["served_model"]) if ended else None


def _finished_at(call: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(call["finished_at"])


def _wasted(order: SceneRequest, charges: Sequence[Mapping[str, Any]], recorded: Recorded) -> int:
    first = 1 if order.id in recorded.delivered else 0
    return sum(call["cost_micros"] for call in sorted(charges, key=_finished_at)[first:])


def _goodput(scene: RaceScene, ends: Sequence[float]) -> float | None:
    most = most_images(scene)
    if most is None or scene.window is None:
        return None
    since, until = scene.window
    return sum(since <= end < until for end in ends) / most
