"""Results reach the endpoints of their tenant: signed, at least once, under one id, and nobody waits for others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.core.messages.topics import WEBHOOK_DELIVERIES
from shared.core.values.documents import Create, Update
from shared.core.webhooks.delivery import GIVE_UP_AFTER, WebhookDelivery, path
from shared.core.webhooks.endpoint import Endpoint
from shared.core.webhooks.signature import secret_of
from shared.flows.webhooks import endpoints, replay
from shared.flows.webhooks.fan_out import PAGE, fan_out_rejection, publish_due
from shared.flows.webhooks.room import IN_FLIGHT
from shared.ports.webhooks import Answer, NoAnswer
from tests.world import Killed, World

SECRET, OTHER_SECRET = secret_of(b"a" * 32), secret_of(b"b" * 32)
HOOK, OTHER_HOOK = "https://shop.example/hook", "https://print.example/hook"
DAY = timedelta(days=1)


async def add(world: World, tenant: str = "web", url: str = HOOK, *statuses: str, name: str = "we_1") -> Endpoint:
    return await endpoints.add(world.store, world.webhooks, tenant, url, statuses, fresh_id=name, secret=SECRET)


def deliveries(world: World) -> list[dict[str, Any]]:
    return [dict(document.data) for document in world.store.all("webhook_deliveries")]


async def settle(world: World) -> None:
    """Long enough for everything but the retries of a broken endpoint."""
    await world.run_until_quiet()
    await world.run_for(timedelta(seconds=1))


async def test_a_result_is_sent_signed_with_the_public_view() -> None:
    world = World()
    await add(world)
    await world.submit(tenant="web", labels={"campaign": "spring"})
    await settle(world)
    (sent,) = world.webhooks.to(HOOK)
    payload = sent.verified(SECRET)
    assert payload["type"] == "render.succeeded"
    assert payload["data"]["request_id"] == "r-1"
    assert payload["data"]["labels"] == {"campaign": "spring"}
    assert payload["timestamp"] == payload["data"]["finished_at"] == world.results()[0]["finished_at"]
    assert "a lighthouse" not in sent.body.decode(), "the prompt stays here"
    assert [row["state"] for row in deliveries(world)] == ["delivered"]


async def test_only_the_tenants_own_results_and_chosen_statuses_are_sent() -> None:
    world = World()
    await add(world, "web", HOOK, "failed", name="we_1")
    await add(world, "print", OTHER_HOOK, name="we_2")
    await world.submit("r-web", tenant="web")
    await world.submit("r-print", tenant="print")
    await settle(world)
    assert world.webhooks.to(HOOK) == []
    assert [one.verified(SECRET)["data"]["tenant"] for one in world.webhooks.to(OTHER_HOOK)] == ["print"]


async def test_a_repeated_announcement_sends_nothing_twice() -> None:
    world = World()
    world.deliver_twice = True
    await add(world)
    await world.submit(tenant="web")
    await settle(world)
    await world.submit(tenant="web")  # the same again: its result is announced once more
    await settle(world)
    assert len(world.results()) > 1
    assert len(world.webhooks.to(HOOK)) == 1


async def test_two_endpoints_get_the_same_id_and_each_its_own_delivery() -> None:
    world = World()
    await add(world)
    await add(world, "web", OTHER_HOOK, name="we_2")
    await world.submit(tenant="web")
    await settle(world)
    assert len({one.id for one in world.webhooks.sent}) == 1
    assert len(deliveries(world)) == 2


async def test_a_failure_is_retried_with_the_same_id_and_a_fresh_signature() -> None:
    world = World()
    await add(world)
    world.webhooks.replies[HOOK] = lambda number: Answer(500) if number < 3 else Answer(204)
    await world.submit(tenant="web")
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=10))
    sent = world.webhooks.to(HOOK)
    assert len(sent) == 3
    assert len({one.id for one in sent}) == 1
    assert len({one.headers["webhook-timestamp"] for one in sent}) == 3
    assert all(one.verified(SECRET) for one in sent)
    assert [row["state"] for row in deliveries(world)] == ["delivered"]
    effects = [fields["effect"] for signal, fields in world.signals.emitted if signal.name == "webhook_failed"]
    assert effects == ["will retry", "will retry"]


async def test_an_endpoint_that_stays_down_is_tried_for_a_day_then_the_delivery_is_dead() -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    await add(world)
    world.webhooks.replies[HOOK] = lambda _: NoAnswer("no answer within 10 s")
    await world.submit(tenant="web")
    await world.run_until_quiet()
    await world.run_for(DAY + timedelta(hours=1))
    (delivery,) = deliveries(world)
    sent = world.webhooks.to(HOOK)
    assert delivery["state"] == "dead"
    assert delivery["last"]["reason"] == "no answer within 10 s"
    assert 7 <= len(sent) <= 12
    assert sent[-1].at - sent[0].at >= GIVE_UP_AFTER
    before = len(sent)
    await world.run_for(timedelta(hours=3))
    assert len(world.webhooks.to(HOOK)) == before, "dead is dead"


async def test_a_dead_delivery_is_replayed_under_its_id() -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    await add(world)
    world.webhooks.replies[HOOK] = lambda _: Answer(500)
    await world.submit(tenant="web")
    await world.run_until_quiet()
    await world.run_for(DAY + timedelta(hours=1))
    world.webhooks.replies[HOOK] = lambda _: Answer(200)
    (before,) = {one.id for one in world.webhooks.sent}
    assert len(await replay.replay_dead(world.store, world.topics, "web")) == 1
    await world.run_for(timedelta(hours=1))
    assert world.webhooks.sent[-1].id == before
    assert [row["state"] for row in deliveries(world)] == ["delivered"]


async def test_a_request_is_replayed_to_an_endpoint_that_was_added_later() -> None:
    world = World()
    await world.submit(tenant="web")
    await settle(world)
    await add(world)
    assert len(await replay.replay_request(world.store, world.topics, "web", "r-1")) == 1
    await settle(world)
    assert len(world.webhooks.to(HOOK)) == 1


async def test_a_replay_beside_an_attempt_that_ends_is_not_lost() -> None:
    world = World()
    await add(world)
    await world.submit(tenant="web")
    await settle(world)
    commit = world.store.commit
    stale: list[str] = []

    async def overtaken(*writes: Any) -> Any:
        path = writes[0].path
        if path.startswith("webhook_deliveries/") and not stale:
            stale.append(path)
            document = world.store.all("webhook_deliveries")[0]
            await commit(Update(path, {"state": "delivered"}, document.version))
        return await commit(*writes)

    world.store.commit = overtaken  # type: ignore[method-assign]
    assert len(await replay.replay_request(world.store, world.topics, "web", "r-1")) == 1
    assert stale
    await settle(world)
    assert len(world.webhooks.to(HOOK)) == 2


async def test_nobody_replays_the_request_of_another_tenant() -> None:
    world = World()
    await add(world, "print", OTHER_HOOK)
    await world.submit(tenant="web")
    await settle(world)
    with pytest.raises(replay.NothingToReplay, match="no finished request r-1"):
        await replay.replay_request(world.store, world.topics, "print", "r-1")


async def test_410_disables_the_endpoint_until_it_is_enabled() -> None:
    world = World()
    await add(world)
    world.webhooks.replies[HOOK] = lambda number: Answer(410) if number == 1 else Answer(204)
    await world.submit("r-1", tenant="web")
    await settle(world)
    await world.submit("r-2", tenant="web")
    await settle(world)
    assert len(world.webhooks.to(HOOK)) == 1
    assert [signal for signal, _ in world.signals.emitted if signal.name == "webhook_endpoint_disabled"]
    await endpoints.enable(world.store, "web", "we_1")
    await replay.replay_request(world.store, world.topics, "web", "r-2")
    await settle(world)
    assert [one.verified(SECRET)["data"]["request_id"] for one in world.webhooks.to(HOOK)] == ["r-1", "r-2"]


async def test_after_a_rotation_both_secrets_verify_for_a_day() -> None:
    world = World()
    await add(world)
    await endpoints.rotate(world.store, "web", "we_1", OTHER_SECRET)
    await world.submit("r-1", tenant="web")
    await settle(world)
    world.clock.advance(DAY)
    await world.submit("r-2", tenant="web")
    await settle(world)
    first, second = world.webhooks.to(HOOK)
    assert first.verified(SECRET) == first.verified(OTHER_SECRET)
    second.verified(OTHER_SECRET)
    with pytest.raises(AssertionError, match="does not fit"):
        second.verified(SECRET)


async def test_a_hanging_endpoint_delays_no_other_tenant() -> None:
    world = World(quota="*=rpm:100000,concurrency:400")
    await add(world, "web", HOOK)
    await add(world, "print", OTHER_HOOK, name="we_2")
    world.webhooks.replies[HOOK] = lambda _: 10.0
    for number in range(200):
        await world.submit(f"w-{number}", tenant="web")
    for number in range(20):
        await world.submit(f"p-{number}", tenant="print")
    await settle(world)
    finished = {one["request_id"]: one["finished_at"] for one in world.results()}
    sent = {one.verified(SECRET)["data"]["request_id"]: one for one in world.webhooks.to(OTHER_HOOK)}
    assert len(sent) == 20
    assert world.webhooks.most_in_flight[HOOK] == IN_FLIGHT
    delays = [(sent[name].at - datetime.fromisoformat(finished[name])).total_seconds() for name in sent]
    assert max(delays) < 1
    await world.run_for(timedelta(minutes=30))
    assert {row["state"] for row in deliveries(world)} == {"delivered"}


async def test_a_broken_endpoint_is_paused_and_its_deliveries_still_arrive() -> None:
    world = World(quota="*=rpm:100000,concurrency:400")
    world.watch_every = timedelta(minutes=10)
    await add(world)
    begins = world.clock.now() + timedelta(hours=2)
    world.webhooks.replies[HOOK] = lambda _: Answer(503) if world.clock.now() < begins else Answer(204)
    for number in range(100):
        await world.submit(f"w-{number}", tenant="web")
    await world.run_until_quiet()
    await world.run_for(timedelta(hours=2))
    during = len(world.webhooks.to(HOOK))
    assert during < 4 * 100, "a pause of the endpoint spares most attempts"
    await world.run_for(timedelta(hours=10))
    assert {row["state"] for row in deliveries(world)} == {"delivered"}


async def test_a_removed_endpoint_gets_nothing_more() -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    await add(world)
    world.webhooks.replies[HOOK] = lambda _: Answer(500)
    await world.submit(tenant="web")
    await settle(world)
    await endpoints.remove(world.store, "web", "we_1")
    await world.run_for(timedelta(hours=3))
    assert len(world.webhooks.to(HOOK)) == 1
    assert deliveries(world)[0]["last"]["reason"] == "the endpoint was removed"


async def test_one_tenant_cannot_change_the_endpoint_of_another() -> None:
    world = World()
    await add(world)
    for change in (
        endpoints.remove(world.store, "print", "we_1"),
        endpoints.rotate(world.store, "print", "we_1", OTHER_SECRET),
        endpoints.enable(world.store, "print", "we_1"),
    ):
        with pytest.raises(endpoints.NoEndpoint):
            await change


async def test_no_secret_and_no_address_reaches_events_or_spans() -> None:
    world = World()
    await add(world, "web", "https://shop.example/hook?token=hush")
    world.webhooks.replies["https://shop.example/hook?token=hush"] = lambda _: Answer(500)
    await world.submit(tenant="web")
    await settle(world)
    text = repr(world.signals.emitted) + repr(world.signals.spans)
    assert "webhook" in text
    assert SECRET not in text
    assert "hush" not in text
    assert SECRET not in repr(world.store.all("webhook_deliveries"))


class _Death:
    """A port that kills the process before or after its nth call of the webhook path."""

    def __init__(self, port: Any, method: str, kill_at: int, *, after: bool, wanted: Any) -> None:
        self._port, self._method, self._kill_at, self._after, self._wanted = port, method, kill_at, after, wanted
        self.reached = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if name != self._method:
            return real

        async def guarded(*args: Any, **more: Any) -> Any:
            if not self._wanted(*args):
                return await real(*args, **more)
            self.reached += 1
            dies = self.reached == self._kill_at
            if dies and not self._after:
                raise Killed
            answer = await real(*args, **more)
            if dies:
                raise Killed
            return answer

        return guarded


def _about_webhooks(*args: Any) -> bool:
    paths = [getattr(one, "path", "") for one in args]
    return any(path.startswith("webhook_") for path in paths) or WEBHOOK_DELIVERIES in args


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("port", "method", "kill_at"),
    [("store", "commit", 1), ("store", "commit", 2), ("store", "commit", 3), ("topics", "publish", 1),
     ("webhooks", "send", 1)],
)  # fmt: skip
async def test_a_death_at_any_step_loses_no_webhook(port: str, method: str, kill_at: int, *, after: bool) -> None:
    world = World()
    await add(world)

    def guard(inner: Any, name: str) -> Any:
        wanted = (lambda *_: True) if name == "webhooks" else _about_webhooks
        return _Death(inner, method, kill_at, after=after, wanted=wanted) if name == port else inner

    world.guard = guard
    world.boot()
    world.guard = lambda inner, _name: inner
    await world.submit(tenant="web")
    with pytest.raises(Killed):
        await settle(world)
    await world.restart()
    await world.run_for(timedelta(minutes=5))
    assert [row["state"] for row in deliveries(world)] == ["delivered"]
    assert 1 <= len(world.webhooks.to(HOOK)) <= 2
    assert len({one.id for one in world.webhooks.to(HOOK)}) == 1


async def test_a_rejected_message_is_told_to_the_tenant_that_it_names_once_and_without_its_prompt() -> None:
    world = World()
    await add(world)
    await add(world, "default", OTHER_HOOK, name="we_2")
    await world.publish({"request_id": "r-1", "prompt": "a secret", "tenant": "web", "model": "dalle-3"})
    await settle(world)
    (sent,) = world.webhooks.to(HOOK)
    body = sent.verified(SECRET)
    assert (body["type"], body["data"]["request_id"], body["data"]["tenant"]) == ("render.rejected", "r-1", "web")
    assert "model" in body["data"]["outcome"]["message"]
    assert "secret" not in sent.body.decode()
    assert world.webhooks.to(OTHER_HOOK) == []
    rejected = next(one for one in world.results() if one["status"] == "rejected")
    await fan_out_rejection(world.store, world.topics, "web", "r-1", rejected["message_id"])
    await settle(world)
    assert len(world.webhooks.sent) == 1, "a message that is delivered again is one rejection"


async def test_a_rejected_message_without_an_id_is_told_too_and_one_without_a_tenant_to_nobody() -> None:
    world = World()
    await add(world)
    await world.publish({"prompt": "a cube", "tenant": "web"})
    await world.publish({"request_id": "r-2", "prompt": "a cube", "tenant": "no tenant"})
    await settle(world)
    (sent,) = world.webhooks.to(HOOK)
    assert sent.verified(SECRET)["data"]["request_id"] == ""
    assert world.crashes == []


async def test_an_endpoint_for_other_statuses_hears_of_no_rejection() -> None:
    world = World()
    await add(world, "web", HOOK, "succeeded")
    await world.publish({"request_id": "r-1", "prompt": "", "tenant": "web"})
    await settle(world)
    assert world.webhooks.sent == []


async def test_a_rejection_that_fails_is_tried_again_under_its_id() -> None:
    world = World()
    await add(world)
    world.webhooks.replies[HOOK] = lambda number: Answer(500) if number < 3 else Answer(204)
    await world.publish({"request_id": "r-1", "prompt": "", "tenant": "web"})
    await settle(world)
    await world.run_for(timedelta(minutes=10))
    assert len(world.webhooks.to(HOOK)) == 3
    assert len({sent.id for sent in world.webhooks.to(HOOK)}) == 1


async def test_the_image_has_an_address_for_an_hour_and_without_one_the_apis() -> None:
    world = World()
    await add(world)
    world.images.links = True
    await world.submit("r-1", tenant="web")
    await settle(world)
    world.images.links = False
    await replay.replay_request(world.store, world.topics, "web", "r-1")
    await settle(world)
    signed, plain = (sent.verified(SECRET)["data"] for sent in world.webhooks.to(HOOK))
    assert signed["image_url"].startswith("https://")
    expires_at = datetime.fromisoformat(signed["image_expires_at"])
    assert expires_at - world.webhooks.sent[0].at == timedelta(hours=1)
    assert plain["image_url"] == "/v1/requests/r-1/image?tenant=web"
    assert plain["image_expires_at"] is None


async def test_more_deliveries_than_a_page_holds_become_messages_each_once() -> None:
    world, now = World(), datetime(2026, 11, 22, 18, tzinfo=UTC)
    for number in range(PAGE + 3):
        due = WebhookDelivery.new(
            "web", "we_1", f"r-{number}", f"msg_{number}", "succeeded", now + timedelta(seconds=number)
        )
        await world.store.commit(Create(path(f"msg_{number:04}-we_1"), due.to_json()))
    assert await publish_due(world.store, world.topics, now + DAY) == PAGE + 3
    assert len({message.data for message in world.topics.on(WEBHOOK_DELIVERIES)}) == PAGE + 3
