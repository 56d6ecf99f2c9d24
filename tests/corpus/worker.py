"""The whole worker on a case: real flows, real lanes and SDK, a real HTTP server, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from shared.core.provider.failure import RULES, FailureKind
from shared.core.values.route import Route
from shared.core.values.status import FINAL
from tests.corpus import pictures
from tests.corpus.case import Case
from tests.corpus.case_world import CorpusWorld
from tests.corpus.stand_in import standing_in
from tests.corpus.virtual_loop import VirtualLoop
from tests.world import World

BYSTANDER = "bystander"
BYSTANDER_AFTER = 3
BYSTANDER_WITHIN = 30
"""Seconds in which a request on the same model is served where nothing was concluded about it."""


class Attempt(Struct, frozen=True):
    kind: str
    charge: str
    cost_micros: int
    circuit: str


class Ended(Struct, frozen=True):
    """One request when the case was over."""

    status: str
    outcome: str
    attempts: tuple[Attempt, ...]
    avoided: tuple[str, ...]

    @property
    def next(self) -> str:
        """What became of it after the first attempt."""
        if not self.attempts:
            return "end" if self.status in FINAL else "wait"
        first = self.attempts[0]
        if first.kind == "succeeded":
            return "done"
        if len(self.attempts) > 1:
            same = self.attempts[1].circuit == first.circuit
            return _step(first.kind) if same else "elsewhere"
        if self.status in FINAL:
            return "end"
        lane = first.circuit.partition("/")[0]
        return "elsewhere" if {first.circuit, f"{lane}/*"} & set(self.avoided) else _step(first.kind)


class Observed(Struct, frozen=True):
    """How a case ended."""

    requests: tuple[Ended, ...]
    bystander: str | None
    calls: int
    paid: int
    """Calls of the case's requests that the provider charges."""
    billed: int
    """All that it charges, the bystander's too."""
    booked: int
    """Attempts that are booked as charged or as unknown."""
    unknown: tuple[int, int]
    """Attempts of unknown cost, by the attempts themselves and by the ledger."""
    micros: tuple[int, int]
    """What all attempts cost, by the attempts themselves and by the ledger."""
    crashes: tuple[str, ...]
    pictures: int
    """Stored for the case's own requests."""


async def played(case: Case, loop: VirtualLoop, folder: Path) -> Observed:
    """Run the case through the worker."""
    async with standing_in(loop, case) as provider:
        world = CorpusWorld(case, provider, loop, folder)
        try:
            await world.prove()
            bystander = await _run(world, case, folder)
            ids = [request["request_id"] for request in case.requests if _is_stored(world, request["request_id"])]
            attempts = [attempt for request_id in world.statuses() for attempt in world.attempts(request_id)]
            rejected = [Ended("rejected", "", (), ())] * (len(case.requests) - len(ids))
            assert not provider.faults, provider.faults
            return Observed(
                requests=(*(_ended(world, item) for item in ids), *rejected),
                bystander=bystander,
                calls=len(provider.calls),
                paid=sum(call.is_billed for call in provider.calls),
                billed=sum(bill.is_billed for bill in provider.bills),
                booked=sum(
                    attempt["cost_micros"] > 0 or attempt["cost_basis"] in (None, "unknown") for attempt in attempts
                ),
                unknown=(
                    sum(attempt["cost_basis"] == "unknown" for attempt in attempts),
                    world.in_ledger("unknown_attempts"),
                ),
                micros=(sum(attempt["cost_micros"] for attempt in attempts), world.in_ledger("cost_micros")),
                crashes=tuple(map(repr, (*world.crashes, *world.watch_crashes))),
                pictures=sum(world.status(item)["image_uri"] is not None for item in ids),
            )
        finally:
            await world.close()


def _ended(world: CorpusWorld, request_id: str) -> Ended:
    status = world.status(request_id)
    outcome = status["outcome"] or {}
    return Ended(
        status["status"],
        f"{outcome.get('code')}: {outcome.get('message')} {outcome.get('advice')}",
        tuple(_attempt(attempt) for attempt in world.attempts(request_id)),
        tuple(status["avoided"]),
    )


async def _run(world: CorpusWorld, case: Case, folder: Path) -> str | None:
    for request in case.requests:
        await world.publish(_request(request, folder))
    story = _bystander(world, case)
    within = timedelta(seconds=case.timeout)
    if case.expected.others == "may_wait":
        story.close()
        await _quiet(world, within)
        return None
    task = asyncio.ensure_future(story)
    await world.run_for(timedelta(seconds=BYSTANDER_AFTER + BYSTANDER_WITHIN))
    await _quiet(world, within)
    return await task


async def _bystander(world: CorpusWorld, case: Case) -> str:
    await asyncio.sleep(BYSTANDER_AFTER)
    first = case.requests[0]
    kept = ("model", "image_size", "allow")
    same: dict[str, Any] = {name: value for name, value in first.items() if name in kept}
    await world.publish({"request_id": BYSTANDER, "prompt": "a boat", **same})
    await asyncio.sleep(BYSTANDER_WITHIN - 1)
    fields = world.status(BYSTANDER)
    return f"{fields['status']} {(fields['route'] or {}).get('model')}"


async def _quiet(world: CorpusWorld, within: timedelta) -> None:
    try:
        await world.run_until_quiet(within)
    except AssertionError as error:
        if "not quiet in time" not in str(error):
            raise


def _request(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    references = [
        {**reference, "uri": reference["uri"].replace("file://REFS", f"file://{folder}")}
        for reference in request.get("references", ())
    ]
    return request | ({"references": references} if references else {})


def write_references(folder: Path) -> None:
    for name, data in pictures.references().items():
        (folder / name).write_bytes(data)


def _is_stored(world: World, request_id: str) -> bool:
    return request_id in world.statuses()


def _attempt(data: Mapping[str, Any]) -> Attempt:
    micros, basis = data["cost_micros"], data["cost_basis"]
    charge = "unknown" if basis in (None, "unknown") else "nothing" if not micros else basis
    kind = (data["outcome"] or {"code": "under way"})["code"]
    return Attempt(kind, charge, micros, Route.from_json(data["route"]).circuit)


def _step(kind: str) -> str:
    return RULES[FailureKind(kind)].next.value
