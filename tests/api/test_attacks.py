"""One tenant against another through the API, on SQLite and on Google's emulators: everything else is answered alike.

Each attack knows the victim's id and, where it helps, its image. Intake runs between the calls.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.lifecycle import head_changes, queries, request_record
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.provider.call import Picture
from shared.core.provider.outcome import SUCCEEDED
from shared.core.values.documents import Document, Update
from shared.flows.intake.intake import accept_message
from shared.flows.requests.message import Message
from shared.wiring import Messaging, Worker
from tests.api.callers import client
from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "pubsub_host"]

INTAKE = "render-requests-intake"
HERO = {"request_id": "hero", "prompt": "a lighthouse"}


class Place:
    """A store, topics, and intake; two callers of two tenants."""

    def __init__(self, worker: Worker, messaging: Messaging) -> None:
        self.worker = worker
        self.messaging = messaging
        self.web = client(worker, "web@p.iam.gserviceaccount.com")
        self.evil = client(worker, "evil@p.iam.gserviceaccount.com")
        self.two = client(worker, "two@p.iam.gserviceaccount.com")

    async def intake(self, count: int) -> None:
        """Take in so many messages."""
        taken = 0
        while taken < count:
            for delivery in await self.messaging.pull(INTAKE, 10, timedelta(seconds=5)):
                message = Message(
                    delivery.message_id, delivery.data, delivery.attributes, INTAKE, delivery.published_at
                )
                await accept_message(self.worker.ports, self.worker.kicks, self.worker.tags, message)
                await self.messaging.acknowledge(INTAKE, [delivery.handle])
                taken += 1

    async def request(self, key: str) -> Document:
        document = await self.worker.ports.store.get(request_record.path(key))
        assert isinstance(document, Document)
        return document

    async def succeed(self, key: str) -> str:
        """End a request with an image of its own. Its URI."""
        document = await self.request(key)
        tenant = document.data["tenant"]
        place = request_record.image_key(key, tenant, document.data["created_at"], 1) + "png"
        picture = Picture(Path("scripts/samples/rocket.png").read_bytes(), "image/png", 8, 8)
        stored = await self.worker.ports.images.put(place, picture, {})
        ended = head_changes.ended("succeeded", SUCCEEDED, document.read_at)
        changes = ended | {"image_uri": stored.uri, "announce": None}
        await self.worker.ports.store.commit(Update(document.path, changes, document.version))
        return stored.uri


@pytest.fixture(
    params=["sqlite", pytest.param("emulators", marks=[pytest.mark.emulator])],
)
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    environment = {"RENDERLANE_HOME": str(tmp_path)}
    if request.param == "emulators":
        name = f"attack-{tmp_path.name}".replace("_", "-").lower()[:30]
        hosts = {
            "FIRESTORE_EMULATOR_HOST": request.getfixturevalue("firestore_host"),
            "PUBSUB_EMULATOR_HOST": request.getfixturevalue("pubsub_host"),
        }
        environment |= {"RENDERLANE_STORE": f"firestore://{name}", "RENDERLANE_TOPICS": f"pubsub://{name}", **hosts}
        for variable, host in hosts.items():
            monkeypatch.setenv(variable, host)
    settings = Settings.read(environment, tmp_path)
    messaging = wiring.topics(settings, SystemClock())
    worker = Worker.of(wiring.build(settings, io.StringIO(), messaging))
    await messaging.ensure(SUBSCRIPTIONS)
    yield Place(worker, messaging)
    await worker.close()


async def post(client: httpx2.AsyncClient, path: str, body: Any = None) -> httpx2.Response:
    answer: httpx2.Response = await client.post(path, json=body) if body is not None else await client.post(path)
    return answer


async def test_no_attack_of_one_tenant_reaches_another(place: Place) -> None:
    # It cannot take the id before its owner does, by its own name or by the victim's.
    assert (await post(place.evil, "/v1/requests", HERO | {"prompt": "mine"})).status_code == 202
    for body in (HERO | {"tenant": "web"}, HERO | {"tenant": "default"}, HERO | {"tenant": "*"}):
        refused = await post(place.evil, "/v1/requests", body)
        assert refused.status_code in (403, 422), refused.text
        assert refused.json()["errors"][0]["field"] == "tenant"
    assert (await post(place.web, "/v1/requests", HERO)).status_code == 202
    await place.intake(2)
    assert (await place.request("web~hero")).data["request"]["prompt"] == "a lighthouse"

    # It cannot cancel, neither with its own tenant (that is its own request) nor with the victim's.
    assert (await post(place.evil, "/v1/requests/hero/cancel?tenant=web")).status_code == 403
    assert (await place.evil.get("/v1/requests/hero")).json()["tenant"] == "evil"
    assert (await place.request("web~hero")).data["cancel_requested_at"] is None

    # It cannot read status, image, events or lists.
    uri = await place.succeed("web~hero")
    for path in ("", "/image", "/events"):
        assert (await place.evil.get(f"/v1/requests/hero{path}?tenant=web")).status_code == 403
    assert (await place.evil.get("/v1/requests/hero/image")).status_code == 409  # of its own, which has none
    for path in ("/v1/requests/web~hero", "/v1/requests/web%7Ehero", "/v1/requests/..%2Fweb~hero"):
        assert (await place.evil.get(path)).status_code in (404, 422)
    assert (await place.evil.get("/v1/requests?tenant=web")).status_code == 403
    own = (await place.evil.get("/v1/requests")).json()["requests"]
    assert [(view["tenant"], view["request_id"]) for view in own] == [("evil", "hero")]
    cursor = (await place.two.get("/v1/requests?tenant=web&limit=1")).json()["cursor"]
    stolen = (await place.evil.get(f"/v1/requests?cursor={cursor or 'WyIyMDk2LTAxLTAxVDAwOjAwOjAwWiIsW11d'}")).json()
    assert all(view["tenant"] == "evil" for view in stolen["requests"])

    # It cannot have the victim's image rendered into its own, nor learn its price and route.
    for path in ("/v1/requests", "/v1/estimate"):
        stealing = {"request_id": "thief", "prompt": "copy it", "references": [{"uri": uri}]}
        refused = await post(place.evil, path, stealing)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "references[0].uri")
    own_edit = {"request_id": "edit", "prompt": "brighter", "references": [{"uri": uri}]}
    assert (await post(place.web, "/v1/requests", own_edit)).status_code == 202
    await place.intake(1)

    # It cannot escalate the victim's request to learn its model.
    assert (await post(place.evil, "/v1/requests", {"request_id": "up", "prompt": "a", "escalates": "edit"})).is_success
    await place.intake(1)
    assert (await place.request("evil~up")).data["ask"].get("above") is None

    # The owner's view is what it was, and belongs to it alone.
    view = (await place.web.get("/v1/requests/hero")).json()
    assert (view["tenant"], view["status"]) == ("web", "succeeded")
    assert (await place.web.get("/v1/requests/hero/image")).content == Path("scripts/samples/rocket.png").read_bytes()


NAMES = (
    "WEB", "Web", "wеb", "ｗeb", "we\u0301b", "web ", " web", "web\u200b", "web\u202e", "web\n", "web\0", "web~hero",
    "web~", "~web", "evil~web", "evil,web", "web/../web", "..", "*", "", "w" * 65, "w" * 5000, "evil\r\nx-tenant: web",
)  # fmt: skip
"""What is not the tenant `web`, however much it looks like it (the third has a Cyrillic letter)."""
IDS = (
    "web~hero", "web%7Ehero", "WEB~hero", "evil~../web~hero", "hero%00", "hero%0a", "hero ", "ｈero", "h%C3%A9ro",
    "hero%3Fx=",
)  # fmt: skip


async def test_no_spelling_of_another_tenant_or_of_its_id_is_let_in(place: Place) -> None:
    await post(place.web, "/v1/requests", HERO)
    await place.intake(1)
    await place.succeed("web~hero")
    for name in NAMES:
        query = {"tenant": name}
        answers = [
            *[await place.evil.get(f"/v1/requests{path}", params=query) for path in ("", *READS)],
            await place.evil.get("/v1/requests", params=query | {"status": "rejected"}),
            await place.evil.post("/v1/requests/hero/cancel", params=query),
            await post(place.evil, "/v1/requests", HERO | query),
            await post(place.evil, "/v1/estimate", HERO | query),
        ]
        assert {answer.status_code for answer in answers} <= {403, 422}, name
        assert {answer.json()["errors"][0]["field"] for answer in answers} == {"tenant"}, name
    for name in IDS:
        for path in READS:
            answer = await place.evil.get(f"/v1/requests{path}".replace("hero", name))
            assert answer.status_code in (404, 422), name
        assert (await post(place.evil, f"/v1/requests/{name}/cancel")).status_code in (404, 422), name
        for key in ({"request_id": name}, {"escalates": name}):
            assert (await post(place.evil, "/v1/requests", {"prompt": "a"} | key)).status_code == 422, name
    documents = await place.worker.ports.store.query(queries.newest(None, 100))
    assert {document.id for document in documents} == {"web~hero"}


READS = ("/hero", "/hero/image", "/hero/events")


async def test_lists_of_a_tenant_hold_nothing_of_another(place: Place) -> None:
    for name in ("web", "evil"):
        await place.messaging.publish(
            "render-requests", json.dumps(HERO | {"tenant": name, "model": "gone"}).encode(), {}
        )
    spring = {"prompt": "a", "group": "spring"}
    for number in range(3):
        await post(place.web, "/v1/requests", spring | {"request_id": f"w-{number}"})
    await post(place.evil, "/v1/requests", spring | {"request_id": "e-0"})
    await place.intake(6)
    for query in ("", "group=spring&", "status=rejected&", "status=queued&", "since=2000-01-01T00:00:00Z&"):
        whole = (await place.web.get(f"/v1/requests?{query}limit=1")).json()
        for cursor in {whole["cursor"], None}:
            more = f"cursor={cursor}" if cursor else ""
            answer = (await place.evil.get(f"/v1/requests?{query}{more}")).json()
            assert {view["tenant"] for view in answer["requests"]} <= {"evil"}, query
            assert "w-" not in json.dumps(answer["requests"])


async def test_a_caller_of_two_tenants_uses_its_first_unless_it_names_the_other(place: Place) -> None:
    assert (await post(place.two, "/v1/requests", HERO)).json()["tenant"] == "shop"
    assert (await post(place.two, "/v1/requests", HERO | {"tenant": "web"})).json()["tenant"] == "web"
    await place.intake(2)
    assert (await place.two.get("/v1/requests/hero")).json()["tenant"] == "shop"
    assert (await place.two.get("/v1/requests/hero?tenant=web")).json()["tenant"] == "web"
    assert (await place.two.get("/v1/requests/hero?tenant=evil")).status_code == 403


async def test_the_answer_does_not_tell_whether_another_tenants_request_exists(place: Place) -> None:
    await post(place.web, "/v1/requests", HERO)
    await place.intake(1)
    answers = [await place.evil.get(f"/v1/requests/{name}") for name in ("hero", "nobody")]
    answered = [(answer.status_code, answer.text.replace("nobody", "hero")) for answer in answers]
    assert answered[0] == answered[1]
    forbidden = [await place.evil.get(f"/v1/requests/{name}?tenant=web") for name in ("hero", "nobody")]
    assert forbidden[0].json()["detail"] == forbidden[1].json()["detail"]
