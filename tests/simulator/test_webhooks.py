"""Webhooks of both kinds, registered by the unmodified SDK, and checked by the libraries that a listener would use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from google.genai import _interactions as sdk
from standardwebhooks import Webhook as StandardWebhook

from scripts.simulator.engine.webhooks import GIVE_UP_AFTER, SimulatedWebhooks
from scripts.simulator.provider.faults import Fault
from tests.simulator.conftest import House, until
from tests.simulator.gate import gated
from tests.simulator.test_batches import created, line, uploaded

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOOK = "https://worker.example/arrive"


@dataclass
class Parcel:
    uri: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def signed_at(self) -> int:
        return int(self.headers["webhook-timestamp"])


@dataclass
class Listener:
    """Takes what is sent, or answers as scripted."""

    answers: list[int | None] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)

    async def post(self, uri: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        self.parcels.append(Parcel(uri, body, headers))
        return self.answers.pop(0) if self.answers else 204


@pytest.fixture
def listener(house: House) -> Iterator[Listener]:
    listener = Listener()
    before, house.simulation.webhooks.post = house.simulation.webhooks.post, listener.post
    yield listener
    house.simulation.webhooks.post = before


async def begin(house: House, **config: Any) -> Any:
    return await house.ask(
        store=True,
        background=True,
        automatic_continuation=None,
        webhook_config=config or None,
        labels={"request_id": "r-1"},
    )


async def registered(house: House, *events: str) -> Any:
    wanted: Any = list(events or ["interaction.completed"])
    return await house.client.aio.webhooks.create(uri=HOOK, subscribed_events=wanted, name="ours")


async def arrived(house: House, listener: Listener, count: int) -> list[Parcel]:
    await until(lambda: len(listener.parcels) >= count)
    await house.simulation.webhooks.settled()
    assert len(listener.parcels) == count
    return listener.parcels


async def read_token(house: House, parcel: Parcel, audience: str = HOOK) -> dict[str, Any]:
    """As a listener does: the key by its id, from the key set."""
    token = parcel.headers["webhook-signature"]
    keys = jwt.PyJWKSet.from_dict((await house.http.get("/.well-known/jwks.json")).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False}  # the house's clock stands in 2026
    return jwt.decode(token, key, algorithms=["RS256"], audience=audience, options=options)


async def test_a_dynamic_webhook_is_signed_by_a_token_of_the_key_set(house: House, listener: Listener) -> None:
    begun = await begin(house, uris=[HOOK], user_metadata={"request_id": "r-1", "attempt": 1})
    [parcel] = await arrived(house, listener, 1)
    assert parcel.uri == HOOK
    assert parcel.event == {
        "type": "interaction.completed",
        "version": "v1",
        "timestamp": "2026-11-22T12:00:00Z",
        "data": {"id": begun.id},
        "user_metadata": {"request_id": "r-1", "attempt": 1},
    }
    claims = await read_token(house, parcel)
    assert claims["iss"] == "https://generativelanguage.googleapis.com"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["data"] == {"id": begun.id}
    assert parcel.headers["webhook-id"].startswith("msg_")
    assert parcel.signed_at == int(house.clock.at.timestamp())


async def test_a_static_webhook_shows_its_secret_once_and_signs_with_it(house: House, listener: Listener) -> None:
    webhook = await registered(house)
    assert webhook.new_signing_secret.startswith("whsec_")
    assert (await house.client.aio.webhooks.get(webhook.id)).new_signing_secret is None
    await begin(house)
    [parcel] = await arrived(house, listener, 1)
    assert signature_of(webhook.new_signing_secret, parcel) == parcel.headers["webhook-signature"]


def signature_of(secret: str | None, parcel: Parcel) -> str:
    """By the library, which takes a naive time for UTC."""
    assert secret is not None
    at = datetime.fromtimestamp(parcel.signed_at, UTC)
    return StandardWebhook(secret).sign(parcel.headers["webhook-id"], at, parcel.body.decode())


async def test_a_rotated_secret_signs_beside_the_new_one_for_a_day(house: House, listener: Listener) -> None:
    webhook = await registered(house)
    rotated = await house.client.aio.webhooks.rotate_signing_secret(
        webhook.id, revocation_behavior="revoke_previous_secrets_after_h24"
    )
    await begin(house)
    [parcel] = await arrived(house, listener, 1)
    both = {signature_of(rotated.secret, parcel), signature_of(webhook.new_signing_secret, parcel)}
    assert set(parcel.headers["webhook-signature"].split(" ")) == both
    assert len((await house.client.aio.webhooks.get(webhook.id)).signing_secrets or []) == 2
    house.clock.advance(24 * 3600 + 1)
    await begin(house)
    parcel = (await arrived(house, listener, 2))[1]
    assert parcel.headers["webhook-signature"] == signature_of(rotated.secret, parcel)


async def test_a_secret_can_be_revoked_at_once(house: House, listener: Listener) -> None:
    webhook = await registered(house)
    rotated = await house.client.aio.webhooks.rotate_signing_secret(
        webhook.id, revocation_behavior="revoke_previous_secrets_immediately"
    )
    await begin(house)
    [parcel] = await arrived(house, listener, 1)
    assert parcel.headers["webhook-signature"] == signature_of(rotated.secret, parcel)


async def test_webhooks_are_listed_changed_pinged_and_removed(house: House, listener: Listener) -> None:
    webhook = await registered(house)
    assert [row.id for row in (await house.client.aio.webhooks.list()).webhooks or []] == [webhook.id]
    changed = await house.client.aio.webhooks.update(
        webhook.id, subscribed_events=["batch.succeeded"], uri="https://other.example/hook"
    )
    assert (changed.uri, changed.subscribed_events) == ("https://other.example/hook", ["batch.succeeded"])
    await begin(house)
    await house.client.aio.webhooks.ping(webhook.id)
    [parcel] = await arrived(house, listener, 1)
    assert parcel.event["type"] == "webhook.ping", "and nothing of an event it is not subscribed to"
    await house.client.aio.webhooks.update(webhook.id, subscribed_events=["interaction.completed"], state="disabled")
    await begin(house)
    await house.client.aio.webhooks.delete(webhook.id)
    with pytest.raises(sdk.NotFoundError):
        await house.client.aio.webhooks.get(webhook.id)
    await begin(house)
    await asyncio.sleep(0)
    await arrived(house, listener, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"uri": "http://worker.example/", "subscribed_events": ["batch.failed"]},
        {"uri": HOOK, "subscribed_events": ["interaction.finished"]},
        {"uri": HOOK, "subscribed_events": []},
        {"subscribed_events": ["batch.failed"]},
    ],
)
async def test_what_is_no_webhook_is_a_400(house: House, body: dict[str, Any]) -> None:
    assert (await house.post(body, path="/v1/webhooks")).status_code == 400


async def test_a_request_s_own_addresses_are_called_instead_of_the_registered(house: House, listener: Listener) -> None:
    await registered(house)
    await begin(house, uris=["https://a.example/", "https://b.example/"])
    parcels = await arrived(house, listener, 2)
    assert {parcel.uri for parcel in parcels} == {"https://a.example/", "https://b.example/"}


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("failed", "interaction.failed"),
        ("cancelled", "interaction.cancelled"),
        ("requires_action", "interaction.requires_action"),
    ],
)
async def test_each_end_has_its_event(house: House, listener: Listener, status: Any, event: str) -> None:
    house.script(Fault(kind="ended", status=status, code="api_error", message="It broke."))
    await begin(house, uris=[HOOK])
    [parcel] = await arrived(house, listener, 1)
    assert parcel.event["type"] == event
    errors = {name: parcel.event["data"].get(name) for name in ("error_code", "error_message")}
    assert errors == ({"error_code": "api_error", "error_message": "It broke."} if status == "failed" else
                      {"error_code": None, "error_message": None})  # fmt: skip


async def test_an_end_without_a_documented_event_is_told_by_get_alone(house: House, listener: Listener) -> None:
    house.script(Fault(kind="ended", status="budget_exceeded"))
    begun = await begin(house, uris=[HOOK])
    await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    await arrived(house, listener, 0)
    assert (await house.client.aio.interactions.get(begun.id)).status == "budget_exceeded"


async def test_what_is_not_taken_is_sent_again_with_back_off_and_a_new_signature(
    house: House, listener: Listener
) -> None:
    await registered(house)
    listener.answers = [500, None, 302, 401]
    await begin(house)
    parcels = await arrived(house, listener, 5)
    assert len({parcel.headers["webhook-id"] for parcel in parcels}) == 1
    assert house.clock.slept == [1.0, 2.0, 4.0, 8.0]
    report = (await house.http.get("/control/webhooks")).json()["deliveries"]
    assert [row["status"] for row in report] == [500, None, 302, 401, 204]


async def test_the_state_says_of_how_many_interactions_a_webhook_is_under_way(house: House, listener: Listener) -> None:
    gate = asyncio.Event()

    async def hold(uri: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        await gate.wait()
        return await listener.post(uri, body, headers)

    async def counts() -> Any:
        return (await house.http.get("/control/state")).json()["interactions"]

    house.simulation.webhooks.post = hold
    before = await counts()
    await begin(house, uris=[HOOK])
    await until(lambda: bool(house.simulation.webhooks.under_way))
    assert await counts() == {**before, "ended": before["ended"] + 1, "announcing": 1}
    gate.set()
    await arrived(house, listener, 1)
    assert (await counts())["announcing"] == 0


async def test_after_a_day_it_gives_up_and_the_webhook_is_disabled(house: House, listener: Listener) -> None:
    webhook = await registered(house)
    listener.answers = [503] * 1000
    await begin(house)
    await until(lambda: house.simulation.webhooks.by_id[webhook.id].state != "enabled")
    assert timedelta(seconds=sum(house.clock.slept)) >= GIVE_UP_AFTER
    assert len(listener.parcels) < 50
    assert (await house.client.aio.webhooks.get(webhook.id)).state == "disabled_due_to_failed_deliveries"


async def test_a_webhook_may_be_lost_or_late(house: House, listener: Listener) -> None:
    house.script(Fault(kind="webhook_lost", times=1), Fault(kind="webhook_late", seconds=77))
    await begin(house, uris=[HOOK])
    await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    await arrived(house, listener, 0)
    with gated(house.simulation) as gate:
        await begin(house, uris=[HOOK])
        await gate.wake(77.0)
        await arrived(house, listener, 1)


async def test_a_webhook_may_be_repeated_under_its_one_id(house: House, listener: Listener) -> None:
    house.script(Fault(kind="webhook_repeated", copies=3))
    await begin(house, uris=[HOOK])
    parcels = await arrived(house, listener, 3)
    assert len({parcel.headers["webhook-id"] for parcel in parcels}) == 1


@pytest.mark.parametrize("kind", ["dynamic", "static"])
async def test_a_forged_webhook_comes_before_the_true_one(house: House, listener: Listener, kind: str) -> None:
    house.script(Fault(kind="webhook_forged"))
    listener.answers = [401]
    webhook = await registered(house)
    begun = await begin(house, **({"uris": [HOOK]} if kind == "dynamic" else {}))
    forged, true = await arrived(house, listener, 2)
    assert forged.event["data"]["id"] != begun.id == true.event["data"]["id"]
    if kind == "dynamic":
        with pytest.raises(jwt.InvalidSignatureError):
            await read_token(house, forged)
        await read_token(house, true)
    else:
        assert signature_of(webhook.new_signing_secret, forged) != forged.headers["webhook-signature"]
        assert signature_of(webhook.new_signing_secret, true) == true.headers["webhook-signature"]


async def test_a_stale_copy_is_signed_ten_minutes_ago(house: House, listener: Listener) -> None:
    house.script(Fault(kind="webhook_stale"))
    await begin(house, uris=[HOOK])
    stale, fresh = await arrived(house, listener, 2)
    assert fresh.signed_at - stale.signed_at == 600
    claims = await read_token(house, stale)
    assert claims["exp"] < fresh.signed_at


async def test_a_webhook_may_come_before_the_create_is_answered(house: House, listener: Listener) -> None:
    house.script(Fault(kind="answer_late"))
    gate = asyncio.Event()

    async def hold(uri: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        await gate.wait()
        return await listener.post(uri, body, headers)

    house.simulation.webhooks.post = hold
    task = asyncio.create_task(begin(house, uris=[HOOK]))
    await until(lambda: house.simulation.ledger.since() != [] and house.simulation.ledger.since()[-1].charged)
    assert not task.done()
    gate.set()
    begun = await task
    assert begun.status == "in_progress"
    assert listener.parcels[0].event["data"]["id"] == begun.id


@pytest.mark.parametrize(
    ("fault", "event"),
    [(None, "batch.succeeded"), ("batch_failed", "batch.failed"), ("batch_expired", "batch.expired")],
)
async def test_the_end_of_a_batch_has_its_event(house: House, listener: Listener, fault: Any, event: str) -> None:
    house.script(*([Fault(kind=fault)] if fault else []))
    await registered(house, "batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled")
    with gated(house.simulation) as gate:
        name = (await created(house, await uploaded(house, line("a")))).json()["name"]
        seconds = 48 * 3600.0 if fault == "batch_expired" else 30.0
        house.clock.advance(seconds)
        await gate.wake(seconds)
        [parcel] = await arrived(house, listener, 1)
    assert (parcel.event["type"], parcel.event["data"]["id"]) == (event, name)
    assert ("output_file_uri" in parcel.event["data"]) == (fault is None)


async def test_a_cancelled_batch_has_its_event_once(house: House, listener: Listener) -> None:
    await registered(house, "batch.succeeded", "batch.cancelled")
    with gated(house.simulation) as gate:
        name = (await created(house, await uploaded(house, line("a")))).json()["name"]
        for _ in range(2):
            await house.http.post(f"/v1beta/{name}:cancel", headers={"x-goog-api-key": "AQ.test"})
        house.clock.advance(30)
        await gate.wake(30.0)
        [parcel] = await arrived(house, listener, 1)
    assert parcel.event["type"] == "batch.cancelled"


async def test_events_go_over_http_to_a_real_listener(house: House) -> None:
    heads: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await begin(house, uris=[f"http://127.0.0.1:{port}/webhooks/gemini"])
    await until(lambda: bool(heads))
    await house.simulation.webhooks.settled()
    assert heads[0].startswith(b"POST /webhooks/gemini HTTP/1.1")
    assert b"webhook-signature: ey" in heads[0].lower()
    assert [row.status for row in house.simulation.webhooks.deliveries] == [204]
    server.close()
    await server.wait_closed()


async def test_a_listener_that_is_not_there_is_tried_again(house: House) -> None:
    webhooks = SimulatedWebhooks(house.simulation)
    assert await webhooks.post("http://127.0.0.1:9/", b"{}", {}) is None
    await webhooks.close()
