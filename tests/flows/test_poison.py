"""One request in twenty is always turned away, on every route: the others are made as if it were not there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from shared.adapters.gemini_errors.errors import read_failure
from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure
from tests.world import World

COUNT, EVERY = 200, 20
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ANSWERS = {
    404: b'{"error": {"code": "model_not_found", "message": "models/gemini-3-pro-image is not found."}}',
    403: b'{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "The caller does not have permission"}}',
    400: b'{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Request contains an invalid argument."}}',
    524: b"<html><title>524: A timeout occurred</title></html>",
}
STATED: dict[str, tuple[int, bytes]] = {
    "403 of the project": (403, b'{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Not yours.",'
     b'"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",'
     b'"domain": "googleapis.com"}]}}'),
    "400 of the location": (400, b'{"error": {"code": 400, "status": "FAILED_PRECONDITION",'
     b'"message": "User location is not supported for the API use."}}'),
    "400 of a state in new words": (400, b'{"error": {"code": 400, "status": "FAILED_PRECONDITION",'
     b'"message": "Not now."}}'),
    "400 of the key": (400, b'{"error": {"code": 400, "status": "INVALID_ARGUMENT",'
     b'"message": "API key not valid."}}'),
    "401": (401, b'{"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "Who are you?"}}'),
    "429 without balance": (429, b'{"error": {"code": 429, "message": "Your prepayment credits are depleted."}}'),
}  # fmt: skip
"""States of what all requests share, which here one request alone is told of."""
ENDS_AS = {404: {"model_gone"}, 403: {"permission"}, 400: {"invalid_request"}, 524: {"server_error", "timeout"}}
"""What each poisoned request ends with, by the status it is always answered."""


def is_poison(number: int, spread: str) -> bool:
    """Evenly, all of them first, or in clumps."""
    match spread:
        case "even":
            return number % EVERY == EVERY - 1
        case "first":
            return number < COUNT // EVERY
        case _:
            return number % (2 * EVERY) in (11, 12)


async def played(answers: Sequence[tuple[int, bytes]], spread: str, *, gap: float, latency: float, quota: str) -> World:
    """All 200, `gap` seconds apart; with no answers nobody is poisoned."""
    world = World(quota, latency=latency * SECOND)

    def answer(order: Order, now: datetime) -> Failure | None:
        number = int(order.request_id.rpartition("-")[2])
        if not answers or not is_poison(number, spread):
            return None
        status, body = answers[number % len(answers)]
        return read_failure(status, {}, body, now)

    async def arrive() -> None:
        for number in range(COUNT):
            await world.submit(f"r-{number:03d}", model="gemini-3-pro-image")
            await world.clock.sleep(gap)

    world.lane.sick = answer
    world.lane.failures_take = 0.5 * SECOND
    await world.run_for(timedelta(seconds=COUNT * gap) + 3 * MINUTE, arrive())
    await world.run_until_quiet()
    return world


def good(world: World, spread: str) -> list[float]:
    """Seconds from the start to the end of each good request."""
    ends = [world.status(f"r-{number:03d}")["finished_at"] for number in range(COUNT) if not is_poison(number, spread)]
    return [(end - world.started).total_seconds() for end in ends]


@pytest.mark.parametrize("spread", ["even", "first", "clumps"])
@pytest.mark.parametrize(
    ("gap", "latency", "quota"),
    [(0.0, 8.0, ""), (0.0, 8.0, "*=rpm:120"), (0.5, 12.0, "*=rpm:300"), (0.1, 1.0, "*=rpm:600")],
    ids=["a backlog, limits unknown", "a backlog at two a second", "steady, slow pictures", "steady, quick pictures"],
)
async def test_the_others_are_made_as_soon_and_each_poisoned_request_ends_with_its_own_reason(
    spread: str, gap: float, latency: float, quota: str
) -> None:
    clean = await played((), spread, gap=gap, latency=latency, quota=quota)
    world = await played(tuple(ANSWERS.items()), spread, gap=gap, latency=latency, quota=quota)
    assert max(good(world, spread)) <= 1.2 * max(good(clean, spread))
    assert sum(good(world, spread)) <= 1.2 * sum(good(clean, spread))
    for number in range(COUNT):
        document = world.status(f"r-{number:03d}")
        if is_poison(number, spread):
            assert document["outcome"]["code"] in ENDS_AS[tuple(ANSWERS)[number % 4]], document["outcome"]
        else:
            assert document["status"] == "succeeded"
            assert document["route"]["model"] == "gemini-3-pro-image", "nobody was sent to a lesser model"
    assert world.signals.of(events.ROUTE_LACKING) == []


@pytest.mark.parametrize("status", list(ANSWERS))
@pytest.mark.parametrize("spread", ["even", "first"])
async def test_ten_alike_stop_nobody_either(status: int, spread: str) -> None:
    clean = await played((), spread, gap=0.2, latency=8.0, quota="*=rpm:600")
    world = await played(((status, ANSWERS[status]),), spread, gap=0.2, latency=8.0, quota="*=rpm:600")
    assert max(good(world, spread)) <= 1.2 * max(good(clean, spread))
    outcomes = {
        world.status(f"r-{number:03d}")["outcome"]["code"] for number in range(COUNT) if is_poison(number, spread)
    }
    assert outcomes <= ENDS_AS[status]


@pytest.mark.parametrize("name", list(STATED))
async def test_a_state_of_the_key_or_the_project_that_one_request_alone_meets_ends_it_and_stops_nobody(
    name: str,
) -> None:
    """While others are served: else nobody could tell it from the state itself."""
    world = World("*=rpm:600", latency=4 * SECOND)
    status, body = STATED[name]
    world.lane.failures_take = 0.5 * SECOND

    def answer(order: Order, now: datetime) -> Failure | None:
        return read_failure(status, {}, body, now) if order.request_id.startswith("bad") else None

    async def arrive() -> None:
        for number in range(60):
            kind = "bad" if number % 15 == 5 else "good"
            await world.submit(f"{kind}-{number:03d}", model="gemini-3-pro-image")
            await world.clock.sleep(1.0)

    world.lane.sick = answer
    await world.run_for(4 * MINUTE, arrive())
    documents = {item.id: item.data for item in world.store.all("requests")}
    for request_id, document in documents.items():
        if request_id.startswith("good"):
            assert document["status"] == "succeeded"
            assert (document["finished_at"] - document["created_at"]).total_seconds() < 8
        else:
            assert document["status"] == "failed", document
            assert document["outcome"]["code"] in {"permission", "credential", "balance"}
            assert document["attempt_count"] <= 5
    assert world.signals.of(events.CONCLUDED) == []


@pytest.mark.parametrize("name", [name for name in STATED if "new words" not in name])
async def test_while_nobody_is_served_such_a_state_ends_no_request(name: str) -> None:
    """One that was told so before others were served, and then everybody."""
    world = World("*=rpm:600")
    status, body = STATED[name]
    until = world.started + 20 * MINUTE
    calm = (world.started + 10 * SECOND, world.started + 40 * SECOND)

    def answer(order: Order, now: datetime) -> Failure | None:
        is_over = now >= until or (calm[0] <= now < calm[1] and order.request_id != "r-000")
        return None if is_over else read_failure(status, {}, body, now)

    async def arrive() -> None:
        for number in range(40):
            await world.submit(f"r-{number:03d}", model="gemini-3-pro-image")
            await world.clock.sleep(5.0)

    world.lane.sick = answer
    await world.run_for(30 * MINUTE, arrive())
    await world.run_until_quiet()
    ends = {number: world.status(f"r-{number:03d}")["status"] for number in range(40)}
    assert {number for number, end in ends.items() if end != "succeeded"} <= {0}, ends
