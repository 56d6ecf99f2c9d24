"""Small stories that lead through every flow. In each a process may die at any step, and the caller asks again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.shared_secret import SharedSecret
from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.render_request import parse_message
from shared.core.messages.topics import DEAD_LETTER_SOURCE, RENDER_DEAD_LETTERS, RENDER_REQUESTS
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import FlagRefused
from shared.core.values.documents import Document, Update
from shared.core.webhooks.signature import secret_of
from shared.flows.api import cancelling, submit
from shared.flows.arrive.arrive import arrive
from shared.flows.intake.revive import revive
from shared.flows.operations import flags, tenants
from shared.flows.webhooks import endpoints, replay
from shared.ports.webhooks import Answer, NoAnswer
from tests.chaos.chaos_world import ChaosWorld
from tests.fakes.webhook_sender import SecretSender, event

Step = Callable[[ChaosWorld], Awaitable[None]]
Check = Callable[[ChaosWorld], None]
SENDER = SecretSender()
SECRET = secret_of(b"a" * 32)
HOOK, BROKEN, CLOSED = "https://shop.example/hook", "https://shop.example/broken", "https://shop.example/closed"
PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SAFETY = Failure(
    FailureKind.REFUSED, "no", "image_safety", http_status=200, usage=Usage(text_in=10, thought=40), model=NB21,
    lane="standard",
)  # fmt: skip


class Scenario(Struct, frozen=True):
    name: str
    act: Step
    """What callers and operators do. A caller that hears nothing does it again."""
    check: Check
    prepare: Step | None = None
    """Before anything can die."""
    quota: str = ""
    latency: timedelta = timedelta(seconds=1)
    background: Any = "off"
    after: timedelta = timedelta(seconds=5)
    """How long it goes on when every request has ended."""

    often: int = 4
    """How many times CI dies at a step that is taken again and again, such as the pump's."""

    async def world(self) -> ChaosWorld:
        world = ChaosWorld(self.quota, latency=self.latency)
        world.background = self.background
        world.boot()
        if self.prepare is not None:
            await self.prepare(world)
        world.faults.steps.clear()
        return world


def _ended_as(**statuses: str) -> Check:
    def check(world: ChaosWorld) -> None:
        wanted = {name.replace("_", "-"): status for name, status in statuses.items()}
        assert world.statuses() == wanted, world.statuses()

    return check


# -- intake ----------------------------------------------------------------------------------------------------------


async def _three_priorities(world: ChaosWorld) -> None:
    for priority in ("bulk", "normal", "interactive"):
        await world.submit(f"r-{priority}", priority=priority)


async def _repeats_and_rubbish(world: ChaosWorld) -> None:
    await world.publish({"cancel": "r-early"})
    await world.submit("r-early")
    await world.submit("r-1")
    await world.submit("r-1")
    await world.submit("r-1", prompt="another picture")
    await world.publish(b"\xff not json")
    await world.publish({"request_id": "r-odd", "prompt": "x", "image_size": "2k"})


def _rejected_three(world: ChaosWorld) -> None:
    assert world.statuses() == {"r-early": "cancelled", "r-1": "succeeded"}
    assert len(world.store.all("rejected")) >= 3
    assert {event["request_id"] for event in world.results() if event["status"] == "rejected"} == {"r-1", "r-odd"}


async def _cancelled_in_the_queue(world: ChaosWorld) -> None:
    await world.submit("r-1")
    await world.submit("r-2")
    await world.publish({"cancel": "r-2"})


def _one_was_cancelled(world: ChaosWorld) -> None:
    """The wish may come too late: then its image is made and paid in the open."""
    statuses = world.statuses()
    assert statuses["r-1"] == "succeeded"
    assert statuses["r-2"] in ("cancelled", "succeeded")


async def _failed_one(world: ChaosWorld) -> None:
    world.lane.then(FailureKind.INVALID_REQUEST)
    await world.submit("r-1")
    await world.run_until_quiet()


async def _revive(world: ChaosWorld) -> None:
    await world.run(revive(world.ports, "r-1", "ann"))


# -- pump ------------------------------------------------------------------------------------------------------------


async def _a_budget_of_two(world: ChaosWorld) -> None:
    await world.run(tenants.set_budget(world.store, "web", limit_micros=200_000, period="day", over="queue"))


async def _more_than_the_budget(world: ChaosWorld) -> None:
    for number in range(4):
        await world.submit(f"r-{number}", tenant="web", purpose="draft")
    await world.run_for(timedelta(seconds=12))
    await world.run(tenants.set_budget(world.ports.store, "web", limit_micros=2_000_000))


def _all_four_within_the_raised_budget(world: ChaosWorld) -> None:
    assert set(world.statuses().values()) == {"succeeded"}, world.statuses()
    assert len(world.statuses()) == 4


async def _two_deadlines(world: ChaosWorld) -> None:
    soon = (world.started + timedelta(seconds=20)).isoformat()
    for number in range(3):
        await world.submit(f"r-{number}", deadline=soon)


def _expired_or_made(world: ChaosWorld) -> None:
    assert set(world.statuses().values()) <= {"expired", "succeeded"}, world.statuses()
    assert len(world.statuses()) == 3


def _pause(world: ChaosWorld) -> Flag:
    now = world.started
    return Flag("pause-1", "pause", "ann", "quota is short", now, now + timedelta(hours=2), scope=Scope(tenant="web"))


async def _paused(world: ChaosWorld) -> None:
    await flags.trip(world.store, world.signals, _pause(world))
    for number in range(2):
        await world.submit(f"r-{number}", tenant="web")
    await world.run_for(timedelta(seconds=8))


async def _resumed(world: ChaosWorld) -> None:
    try:
        await world.run(flags.reset(world.ports.store, world.signals, "pause-1", "ann", "quota is back"))
    except FlagRefused:
        assert "pause-1" not in (await world.run(flags.read_own(world.store))).flags


async def _sick(world: ChaosWorld) -> None:
    world.lane.then(
        FailureKind.OVERLOAD, FailureKind.QUOTA_MINUTE, FailureKind.SERVER_ERROR, SAFETY, FailureKind.CONNECTION
    )


async def _four(world: ChaosWorld) -> None:
    for number in range(4):
        await world.submit(f"r-{number}")


def _each_ended(world: ChaosWorld) -> None:
    assert len(world.statuses()) == 4
    assert set(world.statuses().values()) <= {"succeeded", "refused"}, world.statuses()


async def _flags_by_hand(world: ChaosWorld) -> None:
    """An operator whose terminal dies looks at what there is, and goes on."""
    store, now = world.ports.store, world.started
    new = Flag("nb2-1", "use-nano-banana-2", "ann", "quota is short", now, now + timedelta(minutes=3))
    until = now + timedelta(minutes=5)
    board = await world.run(flags.read_own(world.store))
    lines = world.store.all("flag_history")
    if not lines:
        await world.run(flags.trip(store, world.signals, new))
    board = await world.run(flags.read_own(world.store))
    if "nb2-1" in board.flags and board.flags["nb2-1"].expires_at != until:
        await world.run(flags.extend(store, world.signals, "nb2-1", until, "ann", "longer"))
    await world.submit("r-1", model=PRO)


def _flag_expired_once(world: ChaosWorld) -> None:
    actions = sorted(line.data["action"] for line in world.store.all("flag_history"))
    assert actions == ["expire", "extend", "trip"], actions
    assert world.statuses() == {"r-1": "succeeded"}


async def _tenants_by_hand(world: ChaosWorld) -> None:
    store = world.ports.store
    await world.run(tenants.set_weight(store, "web", 3.0))
    await world.run(tenants.set_budget(store, "web", limit_micros=5_000_000, period="month"))
    await world.submit("r-1", tenant="web")
    await world.run_until_quiet()
    await world.run(tenants.lift_budget(store, "web"))


def _tenant_is_as_wished(world: ChaosWorld) -> None:
    (tenant,) = world.store.all("tenants")
    assert (tenant.data["weight"], tenant.data["budget"]) == (3.0, None)
    assert world.statuses() == {"r-1": "succeeded"}


# -- background ------------------------------------------------------------------------------------------------------


async def _cancelled_while_it_runs(world: ChaosWorld) -> None:
    await world.submit("r-1")
    await world.run_for(timedelta(seconds=8))
    await world.publish({"cancel": "r-1"})


def _cancelled_or_made(world: ChaosWorld) -> None:
    assert set(world.statuses()) == {"r-1"}
    assert world.statuses()["r-1"] in ("cancelled", "succeeded")


async def _never_ends_at_first(world: ChaosWorld) -> None:
    world.interactions.never_ends = lambda order: order.attempt == 1


async def _told_by_webhook(world: ChaosWorld) -> None:
    """The provider repeats a webhook until it is answered; its signature is proof in any process."""
    await world.submit("r-1")
    await world.run_for(timedelta(seconds=12))
    for number, interaction_id in enumerate(list(world.interactions.records)):
        body = event(interaction_id)
        headers = SENDER.headers(body, world.clock.now(), f"msg_{number}")
        ports = replace(world.ports, signatures=GeminiSignatures(None, SharedSecret(SENDER.secret)))
        assert await world.run(arrive(ports, headers, body)) in ("taken", "repeated")


# -- webhooks of results ---------------------------------------------------------------------------------------------


def _broken_twice(number: int) -> Answer | Exception:
    match number:
        case 1:
            return Answer(500)
        case 2:
            return NoAnswer("slow")
        case _:
            return Answer(204)


async def _three_endpoints(world: ChaosWorld) -> None:
    for name, url in (("we_1", HOOK), ("we_2", BROKEN), ("we_3", CLOSED)):
        await endpoints.add(world.store, world.webhooks, "web", url, (), fresh_id=name, secret=SECRET)
    world.webhooks.replies[BROKEN] = _broken_twice
    world.webhooks.replies[CLOSED] = lambda number: Answer(410)


async def _one_for_web(world: ChaosWorld) -> None:
    await world.submit("r-1", tenant="web")


def _webhooks_ended(world: ChaosWorld) -> None:
    by_endpoint = {row.data["endpoint"]: row.data["state"] for row in world.store.all("webhook_deliveries")}
    assert by_endpoint == {"we_1": "delivered", "we_2": "delivered", "we_3": "dead"}, by_endpoint
    for url in (HOOK, BROKEN):
        assert len({sent.id for sent in world.webhooks.to(url)}) == 1


async def _a_dead_delivery(world: ChaosWorld) -> None:
    await endpoints.add(world.store, world.webhooks, "web", HOOK, (), fresh_id="we_1", secret=SECRET)
    world.webhooks.replies[HOOK] = lambda _: Answer(410)
    await world.submit("r-1", tenant="web")
    await world.run_until_quiet()
    await world.run_for(timedelta(seconds=2))
    world.webhooks.replies[HOOK] = lambda _: Answer(204)
    (delivery,) = world.store.all("webhook_deliveries")
    assert delivery.data["state"] == "dead"


async def _replayed(world: ChaosWorld) -> None:
    store = world.ports.store
    await world.run(endpoints.enable(store, "web", "we_1"))
    await world.run(endpoints.rotate(store, "web", "we_1", secret_of(b"b" * 32)))
    await world.run(replay.replay_dead(store, world.ports.topics, "web"))
    await world.run_for(timedelta(seconds=5))
    await world.run(replay.replay_request(store, world.ports.topics, "web", "r-1"))


def _replay_arrived(world: ChaosWorld) -> None:
    (delivery,) = world.store.all("webhook_deliveries")
    assert delivery.data["state"] == "delivered"
    assert len({sent.id for sent in world.webhooks.to(HOOK)}) == 1


# -- bury ------------------------------------------------------------------------------------------------------------


async def _a_released_request(world: ChaosWorld) -> None:
    await world.submit("r-1", tenant="web")
    await world.run_until_quiet()


async def _dead_letters(world: ChaosWorld) -> None:
    new = json.dumps({"request_id": "r-2", "prompt": "a lighthouse"}).encode()
    event = next(message.data for message in world.topics.on("render-results"))
    for source, data in (
        ("render-requests-intake", new),
        ("render-requests-intake", b"{"),
        ("render-releases-render", ReleaseMessage("web~r-1", 1).to_bytes()),
        ("render-arrivals-collect", b'{"interaction_id": "v1_x"}'),
        ("render-results-deliver", event),
    ):
        await world.topics.publish(RENDER_DEAD_LETTERS, data, {DEAD_LETTER_SOURCE: source})


# -- api -------------------------------------------------------------------------------------------------------------


async def _by_api(world: ChaosWorld) -> None:
    for name in ("r-1", "r-2"):
        data = json.dumps({"request_id": name, "prompt": "a lighthouse", "tenant": "web"}).encode()
        await world.run(submit.submit(world.ports, _parsed(data), data, {}, "https://api.example"))
    try:
        await world.run(cancelling.cancel(world.ports, "web", "r-2", "https://api.example"))
    except cancelling.HasEnded:
        pass


def _parsed(data: bytes) -> Any:
    return parse_message(data)


# -- upkeep ----------------------------------------------------------------------------------------------------------


async def _a_month_old(world: ChaosWorld) -> None:
    for number in range(3):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    for request in world.store.all("requests"):
        soon = world.clock.now() + timedelta(seconds=30)
        await world.store.commit(Update(request.path, {"expire_at": soon}, request.version))


async def _nothing(world: ChaosWorld) -> None:
    await world.run_for(timedelta(minutes=3))


def _forgotten(world: ChaosWorld) -> None:
    assert world.statuses() == {}
    assert [name for name in world.store._rows if name.startswith("requests/")] == []


async def _probing(world: ChaosWorld) -> None:
    world.ports = replace(world.ports, probe_every=timedelta(minutes=15))
    await world.run_for(timedelta(minutes=20))


def _probes_are_named_by_their_time(world: ChaosWorld) -> None:
    published = [json.loads(message.data)["request_id"] for message in world.topics.on(RENDER_REQUESTS)]
    assert len(world.statuses()) == len(set(published)) >= 1
    assert set(world.statuses().values()) == {"succeeded"}


async def _unannounced(world: ChaosWorld) -> None:
    await world.submit("r-1")
    await world.run_until_quiet()
    request = world.request()
    assert isinstance(request, Document)
    await world.store.commit(Update(request.path, {"announce": "pending"}, request.version))


SCENARIOS = (
    Scenario("three priorities", _three_priorities, _ended_as(r_bulk="succeeded", r_normal="succeeded",
             r_interactive="succeeded"), quota="*=rpm:60"),
    Scenario("repeats and rubbish", _repeats_and_rubbish, _rejected_three),
    Scenario("cancelled in the queue", _cancelled_in_the_queue, _one_was_cancelled, quota="*=rpm:60"),
    Scenario("revived", _revive, _ended_as(r_1="failed", r_1_r2="succeeded"), prepare=_failed_one),
    Scenario("more than the budget", _more_than_the_budget, _all_four_within_the_raised_budget,
             prepare=_a_budget_of_two),
    Scenario("deadlines", _two_deadlines, _expired_or_made, quota="*=rpm:2"),
    Scenario("paused and resumed", _resumed, _ended_as(r_0="succeeded", r_1="succeeded"), prepare=_paused),
    Scenario("a sick provider", _four, _each_ended, prepare=_sick, quota="*=rpm:60"),
    Scenario("flags by hand", _flags_by_hand, _flag_expired_once, after=timedelta(minutes=7)),
    Scenario("tenants by hand", _tenants_by_hand, _tenant_is_as_wished),
    Scenario("background", _three_priorities, _ended_as(r_bulk="succeeded", r_normal="succeeded",
             r_interactive="succeeded"), background="on", latency=timedelta(seconds=6),
             after=timedelta(minutes=3)),
    Scenario("background, unproven", _three_priorities, _ended_as(r_bulk="succeeded", r_normal="succeeded",
             r_interactive="succeeded"), background="auto", latency=timedelta(seconds=6),
             after=timedelta(minutes=3)),
    Scenario("background, cancelled", _cancelled_while_it_runs, _cancelled_or_made, background="on",
             latency=timedelta(seconds=40), after=timedelta(minutes=3)),
    Scenario("background, without end", _one_for_web, _ended_as(r_1="succeeded"), prepare=_never_ends_at_first,
             background="on", latency=timedelta(seconds=6), often=1, after=timedelta(minutes=3)),
    Scenario("background, told by a webhook", _told_by_webhook, _ended_as(r_1="succeeded"), background="on",
             latency=timedelta(seconds=6), after=timedelta(minutes=3)),
    Scenario("a prober", _probing, _probes_are_named_by_their_time),
    Scenario("webhooks of results", _one_for_web, _webhooks_ended, prepare=_three_endpoints,
             after=timedelta(minutes=12)),
    Scenario("webhooks replayed", _replayed, _replay_arrived, prepare=_a_dead_delivery, after=timedelta(minutes=3)),
    Scenario("dead letters", _dead_letters, _ended_as(r_1="succeeded", r_2="succeeded"), prepare=_a_released_request),
    Scenario("by API", _by_api, _one_was_cancelled),
    Scenario("forgotten after a month", _nothing, _forgotten, prepare=_a_month_old),
    Scenario("announced late", _nothing, _ended_as(r_1="succeeded"), prepare=_unannounced),
)  # fmt: skip
