"""Start-time fair queueing: waiting tenants share a queue by their weights, however many requests each has in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from shared.core.lifecycle.request_record import Head

DEFAULT_WEIGHT = 1.0
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0
_NEVER = datetime.max.replace(tzinfo=UTC)


def queue_name(model: str, priority: str) -> str:
    """One queue: the requests of a model and priority."""
    return f"{model}/{priority}"


def fair_tag(served: float, waiting: int, weight: float) -> float:
    """The tag of a new request, with `waiting` requests of its tenant before it; `served` is the queue's virtual time.
    A tenant's i-th request gets the tag `i/weight` after the one now being served. A tenant that arrives late gets its
    share from now on; an idle tenant accumulates no credit."""
    return served + (waiting + 1) / min(max(weight, LEAST_WEIGHT), MOST_WEIGHT)


def served_after(served: Mapping[str, float], queue: str, tag: float) -> dict[str, float]:
    """Virtual time never runs backwards: a request that returns for a retry keeps its old, smaller tag."""
    return {**served, queue: max(served.get(queue, 0.0), tag)}


def in_order(heads: Sequence[Head]) -> list[Head]:
    """By fair tag; among one tenant's requests the nearest deadline takes its first place."""
    by_tag = sorted(heads, key=lambda head: (head.fair_tag, head.request_id))
    if not any(head.deadline for head in by_tag):
        return by_tag
    places: dict[str, list[int]] = defaultdict(list)
    for place, head in enumerate(by_tag):
        places[head.tenant].append(place)
    ordered = list(by_tag)
    for own in places.values():
        urgent = sorted((by_tag[place] for place in own), key=lambda head: head.deadline or _NEVER)
        for place, head in zip(own, urgent, strict=True):
            ordered[place] = head
    return ordered
