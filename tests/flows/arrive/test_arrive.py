"""The flow behind the public door: what is published, once, and what is only on record."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.key_set import KeySet
from shared.adapters.signatures.shared_secret import SharedSecret
from shared.adapters.signatures.token import Tokens
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.observability import events
from shared.flows.arrive.arrive import KEEP, arrive, glance
from shared.flows.upkeep.watch import watch
from shared.ports.signatures import NotGenuine, SignaturesUnavailable
from tests.fakes.webhook_sender import ISSUER, URL, SecretSender, TokenSender, event
from tests.world import Killed, World

TOKENS, SECRETS = TokenSender(), SecretSender()
INTERACTION = event("v1_a", user_metadata={"request_id": "r-1", "attempt": 1})


class Door:
    """A world with both ways set up, and its provider."""

    def __init__(self) -> None:
        self.world = World()
        self.keys_down = False

        async def fetch() -> bytes:
            if self.keys_down:
                raise SignaturesUnavailable("down")
            return TOKENS.key_set()

        tokens = Tokens(KeySet(fetch), [URL], [ISSUER])
        self.signatures = GeminiSignatures(tokens, SharedSecret(SECRETS.secret))
        self.ports = replace(self.world.ports, signatures=self.signatures)

    async def send(self, body: bytes = INTERACTION, way: str = "dynamic", message_id: str = "msg_1") -> Any:
        sender: Any = TOKENS if way == "dynamic" else SECRETS
        return await arrive(self.ports, sender.headers(body, self.world.clock.now(), message_id), body)

    @property
    def arrivals(self) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.world.topics.on(RENDER_ARRIVALS)]

    def emitted(self, signal: events.Signal, field: str) -> list[object]:
        return [fields[field] for fields in self.world.signals.of(signal)]


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.mark.parametrize("way", ["dynamic", "static"])
async def test_a_genuine_webhook_is_one_arrival_and_on_record(door: Door, way: str) -> None:
    assert await door.send(way=way) == "taken"
    assert door.arrivals == [{"interaction_id": "v1_a", "request_id": "r-1", "attempt": 1}]
    (record,) = door.world.store.all("provider_webhooks")
    assert record.data["about"] == "v1_a"
    assert record.data["expire_at"] == door.world.clock.now() + KEEP
    assert door.world.signals.of(events.WEBHOOK_TAKEN) == [
        {"event": "interaction.completed", "about": "v1_a", "way": way, "effect": "taken", "message_id": "msg_1"}
    ]


@pytest.mark.parametrize("way", ["dynamic", "static"])
async def test_a_repeated_one_is_taken_once(door: Door, way: str) -> None:
    assert [await door.send(way=way) for _ in range(3)] == ["taken", "repeated", "repeated"]
    assert len(door.arrivals) == 1


async def test_a_token_s_event_is_taken_once_under_any_id(door: Door) -> None:
    """A token signs no id of the webhook: its holder could send it under many."""
    assert [await door.send(message_id=f"msg_{number}") for number in range(3)] == ["taken", "repeated", "repeated"]


async def test_other_events_of_one_interaction_are_taken_each(door: Door) -> None:
    await door.send(event("v1_a", "interaction.requires_action"))
    await door.send(event("v1_a", "interaction.completed"))
    assert len(door.arrivals) == 2


async def test_the_end_of_a_batch_is_passed_on(door: Door) -> None:
    assert await door.send(event("batches/b-1", "batch.succeeded"), "static") == "taken"
    assert door.arrivals == [{"batch": "batches/b-1"}]


async def test_what_concerns_no_render_is_acknowledged_and_left(door: Door) -> None:
    assert await door.send(event("x", "webhook.ping"), "static") == "ignored"
    assert door.arrivals == []
    assert door.world.store.all("provider_webhooks") == []
    assert door.emitted(events.WEBHOOK_TAKEN, "effect") == ["ignored"]


async def test_a_signed_body_that_cannot_be_read_is_acknowledged_and_reported(door: Door) -> None:
    assert await door.send(b"not json", "static") == "ignored"
    assert door.emitted(events.BAD_MESSAGE, "function") == ["arrive"]


async def test_a_forged_one_leaves_an_event_and_nothing_else(door: Door) -> None:
    headers = SecretSender(b"another key of 24 bytes!").headers(INTERACTION, door.world.clock.now())
    assert await arrive(door.ports, headers, INTERACTION) == NotGenuine("signature")
    assert door.arrivals == []
    assert dict(door.world.store.commits) == {}
    assert door.world.signals.of(events.WEBHOOK_REFUSED) == [{"why": "signature", "detail": "", "more": 0}]


async def test_a_body_other_than_its_token_s_is_refused(door: Door) -> None:
    """A token need not cover the body; where it tells of an event, that one counts."""
    headers = TOKENS.headers(INTERACTION, door.world.clock.now(), data={"id": "v1_other"})
    assert await arrive(door.ports, headers, INTERACTION) == NotGenuine(
        "contradicted", "the token names another event than the body"
    )
    assert door.arrivals == []


async def test_what_the_headers_show_is_refused_before_the_body(door: Door) -> None:
    now = door.world.clock.now()
    assert glance(door.ports, {}) == NotGenuine("unsigned")
    assert glance(door.ports, TOKENS.headers(INTERACTION, now - timedelta(minutes=6))) == NotGenuine("stale")
    assert glance(door.ports, TOKENS.headers(INTERACTION, now)) is None
    assert door.emitted(events.WEBHOOK_REFUSED, "why") == ["unsigned", "stale"]


async def test_a_crowd_of_refusals_is_one_event_a_second_that_counts_them(door: Door) -> None:
    for _ in range(50):
        glance(door.ports, {})
    door.world.clock.advance(timedelta(seconds=1))
    glance(door.ports, {})
    assert door.emitted(events.WEBHOOK_REFUSED, "more") == [0, 49]


async def test_keys_that_cannot_be_fetched_ask_for_another_delivery(door: Door) -> None:
    door.keys_down = True
    with pytest.raises(SignaturesUnavailable):
        await door.send()
    assert len(door.world.signals.of(events.WEBHOOK_UNVERIFIED)) == 1
    assert await door.send(way="static", message_id="msg_2") == "taken", "which the other way does not need"


class Deadly:
    """Ports whose process dies at the call of that number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0

    def guard(self, port: Any) -> Any:
        deadly = self

        class Guarded:
            def __getattr__(self, name: str) -> Any:
                async def counted(*arguments: Any, **more: Any) -> Any:
                    deadly.calls += 1
                    if deadly.calls == deadly.number:
                        raise Killed
                    return await getattr(port, name)(*arguments, **more)

                return counted

        return Guarded()


CALLS = 3
"""Of store and topics, for one webhook."""


@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_a_crash_at_any_call_loses_no_arrival(door: Door, number: int) -> None:
    """The provider sends it again."""
    whole, deadly = door.ports, Deadly(number)
    door.ports = replace(whole, store=deadly.guard(whole.store), topics=deadly.guard(whole.topics))
    with pytest.raises(Killed):
        await door.send()
    door.ports = whole
    await door.send()
    assert {arrival["interaction_id"] for arrival in door.arrivals} == {"v1_a"}
    assert len(door.arrivals) <= 2


async def test_a_webhook_takes_no_more_calls_than_were_tried(door: Door) -> None:
    counting = Deadly(0)
    door.ports = replace(door.ports, store=counting.guard(door.ports.store), topics=counting.guard(door.ports.topics))
    await door.send()
    assert counting.calls == CALLS


async def test_records_of_webhooks_are_forgotten_after_a_day(door: Door) -> None:
    await door.send()
    door.world.clock.advance(KEEP - timedelta(seconds=1))
    await watch(door.ports, door.world.kicks, door.world.collector)
    assert len(door.world.store.all("provider_webhooks")) == 1
    door.world.clock.advance(timedelta(seconds=2))
    await watch(door.ports, door.world.kicks, door.world.collector)
    assert door.world.store.all("provider_webhooks") == []
