"""Batches, budgets and a gateway on the real emulators, from a published message to the last cent."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.drills import fake_gateway
from scripts.local import upstream
from scripts.local.door import SECRET
from scripts.local.home import Home, Simulated, running
from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.tariff import Tariff
from shared.config import Settings
from shared.core.accounting import budget
from shared.core.accounting.budget import OVER_BUDGET, BudgetAccount, WorkerTotals
from shared.core.lifecycle import queries, request_record
from shared.core.messages.topics import PUMP_KICKS
from shared.core.values.documents import Document, Query
from shared.core.values.status import FINAL
from shared.flows.operations.tenants import set_budget
from shared.ports import Ports

pytestmark = [pytest.mark.emulator, pytest.mark.slow]

PRO = "gemini-3-pro-image"
BATCH: dict[str, Any] = {
    "model": PRO, "lane": "batch", "allow": {"batch": True}, "floor": {"model": PRO}, "tenant": "press",
}  # fmt: skip
PATIENCE = 90.0


@dataclass
class House:
    """A home on both emulators, with a simulator for Google and one for a gateway."""

    home: Home
    google: Simulation
    gateway: Simulation

    @property
    def ports(self) -> Ports:
        return self.home.worker.ports

    async def publish(self, **request: Any) -> None:
        message = {"prompt": f"picture {request['request_id']}"} | request
        await upstream.publish(self.ports.topics, [upstream.message(message)])

    async def requests(self) -> list[Document]:
        return await self.ports.store.query(queries.newest(None, 200))

    async def until(self, true_of: Callable[[list[Document]], bool], *, watched: bool = False) -> list[Document]:
        """The requests, as soon as something is true of them. `watched`: the watch runs each second, not each 15."""
        documents: list[Document] = []
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:

            async def is_so() -> bool:
                nonlocal documents
                documents = await self.requests()
                if true_of(documents):
                    return True
                if watched:
                    await client.post(f"{self.home.url}/functions/watch", headers={SECRET: self.home.secret})
                return False

            assert await upstream.until(is_so, PATIENCE, pause=1.0), statuses(documents)
        return documents

    async def ledger(self) -> list[Document]:
        return await self.ports.store.query(Query("ledger", limit=1_000))

    async def settled(self) -> tuple[WorkerTotals, BudgetAccount]:
        (document,) = await self.ports.store.query(Query("budgets", limit=5))
        account = BudgetAccount.from_json(document.data)
        shards = await self.ports.store.get_all(budget.shard_paths(account.tenant, account.period))
        return WorkerTotals.sum_of(shard.data for shard in shards if isinstance(shard, Document)), account


@contextlib.asynccontextmanager
async def house(
    folder: Path, hosts: tuple[str, str], monkeypatch: pytest.MonkeyPatch, catalogue: Callable[[str], str] = str
) -> AsyncIterator[House]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", hosts[0])
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", hosts[1])
    google = Simulation(latency="fixed:0.3", batch_latency="fixed:0", pictures="cached")
    gateway = Simulation(latency="fixed:0.1", pictures="cached", tariff=Tariff())
    servers = [await serve(google), await serve(gateway)]
    project = f"money-{folder.name}".replace("_", "-").lower()
    (folder / "catalogue.toml").write_text(catalogue(fake_gateway.catalogue_with(servers[1].url)), "utf-8")
    environment = {
        "RENDERLANE_HOME": str(folder),
        "RENDERLANE_STORE": f"firestore://{project}",
        "RENDERLANE_TOPICS": f"pubsub://{project}",
        "RENDERLANE_IMAGES": f"file://{folder}/images",
        "RENDERLANE_CATALOGUE": str(folder / "catalogue.toml"),
        f"RENDERLANE_GATEWAY_KEY_{fake_gateway.NAME.upper()}": fake_gateway.KEY,
        "FIRESTORE_EMULATOR_HOST": hosts[0],
        "PUBSUB_EMULATOR_HOST": hosts[1],
        "GEMINI_API_KEY": "AQ.test",
        "GOOGLE_GEMINI_BASE_URL": servers[0].url,
    }
    try:
        async with running(Settings.read(environment, folder), 0, Simulated(), io.StringIO()) as home:
            yield House(home, google, gateway)
    finally:
        for server, simulation in zip(servers, (google, gateway), strict=True):
            await server.stop()
            simulation.close()


def statuses(documents: list[Document]) -> dict[str, str]:
    return {document.id: document.data["status"] for document in documents}


def all_over(count: int) -> Callable[[list[Document]], bool]:
    return lambda documents: len(documents) == count and all(document.data["status"] in FINAL for document in documents)


async def test_a_batch_is_collected_submitted_once_and_settled_to_the_micro_dollar(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three_a_file(text: str) -> str:
        return text.replace("most_requests = 100", "most_requests = 3")

    async with house(tmp_path, (firestore_host, pubsub_host), monkeypatch, three_a_file) as house_:
        await set_budget(house_.ports.store, "press", limit_micros=10_000_000)
        house_.google.set_faults([Fault(kind="duplicate_key", nth=(1,)), Fault(kind="refusal", api="batch", nth=(2,))])
        for number in range(3):
            await house_.publish(request_id=f"b-{number}", **BATCH)
        ended = await house_.until(all_over(3), watched=True)
        booked = sum(document.data["cost_micros"] for document in await house_.ledger())
        settled, account = await house_.settled()
        batches = await house_.ports.store.query(Query("batches", limit=10))
    calls = house_.google.ledger.since()
    assert sorted(statuses(ended).values()) == ["refused", "succeeded", "succeeded"]
    assert [len(batch.data["items"]) for batch in batches] == [3]
    assert {call.api for call in calls} == {"batch"}
    assert len(calls) == 4, "three lines, and one of them twice"
    assert booked == sum(call.cost_micros for call in calls) == settled.cost_micros > 0
    assert account.reserved_micros == settled.returned_micros > 0


async def test_concurrent_requests_never_overspend_a_budget_and_a_raise_lets_the_rest_go_on(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, limit = 24, 300_000
    async with house(tmp_path, (firestore_host, pubsub_host), monkeypatch) as house_:
        await set_budget(house_.ports.store, "lab", limit_micros=limit)
        await asyncio.gather(
            *(
                house_.publish(request_id=f"d-{number}", purpose="draft", tenant="lab", floor="exact")
                for number in range(count)
            )
        )

        def stands(requests: list[Document]) -> bool:
            waiting = [request for request in requests if request.data["reason"] == OVER_BUDGET]
            done = [request for request in requests if request.data["status"] in FINAL]
            return len(waiting) + len(done) == count and len(done) > 0

        await house_.until(stands)
        settled, account = await house_.settled()
        charged = sum(call.cost_micros for call in house_.google.ledger.since())
        images = sum(call.charged for call in house_.google.ledger.since())
        assert settled.cost_micros == charged <= limit
        assert account.reserved_micros == settled.returned_micros
        assert limit // 34_400 <= images < count, "what the estimate allows for at least, and not all"
        await set_budget(house_.ports.store, "lab", limit_micros=5_000_000)
        await house_.ports.topics.publish(PUMP_KICKS, b"{}")
        ended = await house_.until(all_over(count))
        settled, account = await house_.settled()
        booked = sum(document.data["cost_micros"] for document in await house_.ledger())
    assert set(statuses(ended).values()) == {"succeeded"}
    charged = sum(call.cost_micros for call in house_.google.ledger.since())
    assert booked == settled.cost_micros == charged
    assert account.reserved_micros == settled.returned_micros
    assert len(house_.google.ledger.since()) == count


async def test_a_gateway_serves_once_it_is_proven_and_not_before(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consents = {"model": PRO, "allow": {"gateway": True}}
    async with house(tmp_path, (firestore_host, pubsub_host), monkeypatch) as house_:
        await fake_gateway.send_there(house_.ports)
        await house_.publish(request_id="unproven", **consents)
        (before,) = await house_.until(all_over(1))
        assert before.data["receipt"]["delivered"]["lane"] == "standard"
        assert house_.gateway.ledger.since() == []
        await fake_gateway.prove(house_.ports)
        for number in itertools.count(1):  # the pump looks at proofs every few seconds while it runs
            proven = f"proven-{number}"
            await house_.publish(request_id=proven, **consents)
            ended = {document.id: document.data for document in await house_.until(all_over(1 + number))}
            if ended[proven]["receipt"]["delivered"]["lane"] == "gateway" or number == 60:
                break
        await house_.publish(request_id="no-consent", model=PRO)
        ended = {document.id: document.data for document in await house_.until(all_over(2 + number))}
        attempt = await house_.ports.store.get(request_record.attempt_path(proven, 1))
        rows = await house_.ledger()
    assert ended[proven]["receipt"]["delivered"]["lane"] == "gateway"
    assert ended["no-consent"]["receipt"]["delivered"]["lane"] == "standard"
    assert isinstance(attempt, Document)
    assert (attempt.data["contract"], attempt.data["key_kind"]) == (f"gateway:{fake_gateway.NAME}", "gateway")
    at_gateway = house_.gateway.ledger.since()
    assert len(at_gateway) == 2, "the logged test and one request"
    assert at_gateway[0].prompt_sha256 != at_gateway[1].prompt_sha256
    booked = {"gateway": 0, "google": 0}
    for row in rows:
        booked["gateway" if row.data["lane"] == "gateway" else "google"] += row.data["cost_micros"]
    assert booked["gateway"] == at_gateway[1].cost_micros == 90_000
    assert booked["google"] == sum(call.cost_micros for call in house_.google.ledger.since())
