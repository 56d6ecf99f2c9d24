"""An independent reader of what a run left: it counts from documents, images, results and the provider's own bill.

It uses none of the worker's arithmetic: prices come from the catalogue's table, sums from the documents as they lie.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared.core.catalogue.catalogue import Catalogue, Rates
from shared.core.provider.call import Answer
from shared.core.provider.usage import Usage
from shared.core.values.documents import Document
from tests.world import World

FINAL = ("succeeded", "refused", "failed", "expired", "cancelled")
KEPT = ("status", "outcome", "image_uri", "receipt", "finished_at", "request", "tenant", "created_at")
"""What no later commit may change once a request has ended."""


class Reader:
    """Watches one world from its beginning; `now` after each step, `at_the_end` once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended: dict[str, dict[str, Any]] = {}
        self._booked: dict[str, int] = {}
        """By request, as it was seen last: the ledger keeps what is forgotten."""
        self._on_record: set[tuple[str, int]] = set()
        """Attempts that were ever seen."""
        self.now()

    def now(self) -> None:
        """What holds at every moment, also right after a death. AssertionError names the first that does not."""
        for request in self._kept():
            self._is_whole(request)
            self._never_changes(request)
        assert len(self._world.lane.calls) <= len(self._on_record), "a call left that is not on record"
        self._announced_as_they_ended()
        self._money_adds_up()

    def at_the_end(self) -> None:
        """What holds when nothing is on its way any more."""
        self.now()
        for request in self._world.store.all("requests"):
            assert request.data["status"] in FINAL, f"{request.id} is still {request.data['status']}"
            assert request.data["announce"] is None, f"{request.id} was not announced"
            assert not request.data["leftovers"], f"{request.id} left {request.data['leftovers']} at the provider"
        heard = {(event["tenant"], event["request_id"]) for event in self._results()}
        ended = {(one.data["tenant"], one.data["request_id"]) for one in self._world.store.all("requests")}
        assert ended <= heard, f"nobody heard of {ended - heard}"
        self._books_are_the_bill()

    # -- at every moment ----------------------------------------------------------------------------------------------

    def _is_whole(self, request: Document) -> None:
        """It has one next step, and its open attempt somebody who ends it."""
        data, name = request.data, f"{request.id} ({request.data['status']})"
        attempts = self._attempts(request)
        numbers = [attempt["number"] for attempt in attempts]
        self._on_record |= {(request.id, number) for number in numbers}
        assert numbers == list(range(1, len(numbers) + 1)), f"{name} has attempts {numbers}"
        assert data["attempt_count"] == len(attempts), f"{name} counts {data['attempt_count']} of {len(attempts)}"
        open_attempts = [attempt["number"] for attempt in attempts if attempt["outcome"] is None]
        match data["status"]:
            case "rendering":
                assert open_attempts == [len(attempts)], f"{name} has open attempts {open_attempts}"
                owned = data["lease_holder"] is not None and data["lease_until"] is not None
                collected = data["collect_at"] is not None and data["interaction_id"] is not None
                assert owned != collected, f"{name}: owner {data['lease_holder']}, collected {data['collect_at']}"
            case "batched" if data["batch"] is not None:
                assert open_attempts == [len(attempts)], f"{name} has open attempts {open_attempts}"
                assert any(batch.id == data["batch"] for batch in self._world.store.all("batches")), f"{name}: no batch"
            case _:
                assert not open_attempts, f"{name} has open attempts {open_attempts}"
                assert data["lease_until"] is None, f"{name} is leased"
                assert data["collect_at"] is None, f"{name} is to be collected"
        if data["status"] == "released":
            assert data["slot_at"] is not None, f"{name} has no slot"
        else:
            assert data["status"] in (*FINAL, "queued", "batched", "rendering"), name
        if data["status"] == "succeeded":
            assert data["image_uri"].removeprefix("memory://") in self._world.images.stored, f"{name} has no image"
            won = [attempt for attempt in attempts if attempt["outcome"]["code"] == "succeeded"]
            assert [attempt["image_uri"] for attempt in won] == [data["image_uri"]], f"{name}: not one success"
            assert data["receipt"] is not None, f"{name} has no receipt"

    def _never_changes(self, request: Document) -> None:
        if request.data["status"] not in FINAL:
            assert request.id not in self._ended, f"{request.id} had ended and goes on"
            return
        kept = {name: request.data[name] for name in KEPT}
        before = self._ended.setdefault(request.id, kept)
        assert before == kept, f"{request.id} ended as {before}, and is now {kept}"

    def _announced_as_they_ended(self) -> None:
        ended = {(kept["tenant"], kept["request"]["request_id"]): kept for kept in self._ended.values()}
        for event in self._results():
            if event["status"] == "rejected":
                continue
            name = (event["tenant"], event["request_id"])
            assert name in ended, f"{name} was announced as {event['status']} before it ended"
            assert event["status"] == ended[name]["status"], f"{name} was announced as {event['status']}"
            assert event["image_uri"] == ended[name]["image_uri"], f"{name} was announced with another image"

    def _money_adds_up(self) -> None:
        """Each cent on an attempt is on its request and in the ledger; reserved money is for something."""
        world = self._world
        spent: Counter[tuple[str, str]] = Counter()
        reserved_for: Counter[tuple[str, str]] = Counter()
        for request in self._kept():
            data, attempts = request.data, self._attempts(request)
            booked = sum(attempt["cost_micros"] for attempt in attempts)
            assert data["cost_micros"] == booked, f"{request.id} costs {data['cost_micros']}, its attempts {booked}"
            unknown = sum(1 for attempt in attempts if attempt["cost_basis"] == "unknown")
            assert data["cost_unknown_attempts"] == unknown, f"{request.id}: {unknown} attempts of unknown cost"
            self._booked[request.id] = booked
            for attempt in attempts:
                if attempt["budget"] is not None:
                    account = (data["tenant"], attempt["budget"]["period"])
                    spent[account] += attempt["cost_micros"]
                    if attempt["outcome"] is None or attempt["cost_basis"] == "unknown":
                        reserved_for[account] += attempt["budget"]["micros"]
            if data["budget"] is not None and data["status"] in ("released", "batched") and data["batch"] is None:
                reserved_for[data["tenant"], data["budget"]["period"]] += data["budget"]["micros"]
        total = sum(self._booked.values())
        assert total == world.ledger_micros(), f"attempts cost {total}, the ledger has {world.ledger_micros()}"
        shards: Mapping[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for shard in world.store.all("budget_shards"):
            for name in ("returned_micros", "cost_micros"):
                shards[shard.data["tenant"], shard.data["period"]][name] += shard.data[name]
        for document in world.store.all("budgets"):
            key = (document.data["tenant"], document.data["period"])
            pending = sum(one["micros"] for one in document.data["pending"] if not self._is_handed_out(one))
            reserved = document.data["reserved_micros"] - shards[key]["returned_micros"]
            assert reserved >= 0, f"{key}: {-reserved} more was given back than was ever reserved"
            assert shards[key]["cost_micros"] == spent[key], f"{key}: {shards[key]['cost_micros']} is not {spent[key]}"
            assert reserved <= reserved_for[key] + pending, (
                f"{key}: {reserved - reserved_for[key] - pending} is reserved for nothing"
            )

    def _is_handed_out(self, pending: Mapping[str, Any]) -> bool:
        """Its request carries the reservation itself, or did."""
        requests = [one for one in self._world.store.all("requests") if one.id == pending["request_id"]]
        return any(one.data["release"] >= pending["release"] for one in requests)

    # -- at the end ---------------------------------------------------------------------------------------------------

    def _books_are_the_bill(self) -> None:
        """What the provider made is paid in the open: booked to the cent, or named as unknown."""
        bill = sum(price(answer, self._world.catalogue) for answer in self._answers())
        requests = [one.data for one in self._world.store.all("requests")]
        unknown = sum(one["cost_unknown_attempts"] for one in requests)
        booked = self._world.ledger_micros()
        if not unknown:
            assert booked == bill, f"booked {booked}, billed {bill}"
            return
        most = sum(
            attempt["estimate_micros"]
            for request in self._world.store.all("requests")
            for attempt in self._attempts(request)
            if attempt["cost_basis"] == "unknown"
        )
        assert booked <= bill <= booked + most, f"billed {bill}, booked {booked} and at most {most} unknown"

    def _answers(self) -> Iterator[Answer]:
        yield from self._world.lane.ended
        now = self._world.clock.now()
        for record in self._world.interactions.records.values():
            if record.cancelled_at is None and record.is_over(now) and record.answer is not None:
                yield record.answer
        yield from self._world.batches.answered

    def _kept(self) -> list[Document]:
        """Requests whose time is not over: the others may be half deleted."""
        now = self._world.clock.now()
        requests = self._world.store.all("requests")
        return [one for one in requests if one.data["expire_at"] is None or one.data["expire_at"] > now]

    def _attempts(self, request: Document) -> list[dict[str, Any]]:
        return [dict(one.data) for one in self._world.store.all(f"requests/{request.id}/attempts")]

    def _results(self) -> list[dict[str, Any]]:
        return [json.loads(event.data) for event in self._world.topics.published if event.topic == "render-results"]


def price(answer: Answer, catalogue: Catalogue) -> int:
    """What the provider charges for an answer, in millionths of a dollar; nothing where it counted nothing."""
    if answer.usage is None or answer.usage == Usage():
        return 0
    model = answer.model.removeprefix("models/")
    rates: Rates = catalogue.models[model].lanes[answer.lane or "standard"]
    usage = answer.usage
    exact = (
        Decimal(usage.text_in + usage.image_in) * rates.input
        + Decimal(usage.text_out + usage.thought) * rates.text_output
        + Decimal(usage.image_out) * rates.image_output
    )
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def most_starts(world: World, window: timedelta = timedelta(minutes=1)) -> dict[str, int]:
    """By model, the most calls that left within any `window`."""
    by_model: dict[str, list[Any]] = defaultdict(list)
    for call in world.lane.calls:
        by_model[call.order.model].append(call.at)
    return {
        model: max(sum(1 for at in starts if first <= at < first + window) for first in starts)
        for model, starts in by_model.items()
    }
