"""Write the golden documents: `.venv/bin/python -m tests.golden.write`.

Worlds are driven through everything that writes a document. Of each collection the few documents are kept that together
show every field with every type of value. Run it only for a stored form that is meant to change.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.adapters.sqlite.store import encoded
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_kinds import FlagName
from shared.core.values.documents import Committed, Conflict, Document, Write
from shared.core.webhooks.signature import SECRET_BYTES, secret_of
from shared.flows.operations import flags
from shared.flows.operations.tenants import set_budget, set_weight
from shared.flows.status import summary
from shared.flows.webhooks import endpoints
from shared.ports.quota import QuotaUnreadable
from shared.ports.webhooks import Answer, NoAnswer
from tests.flows.operations.test_gateway_proofs import ONLY_THERE, PRO, GatewayWorld
from tests.world import World

HERE = Path(__file__).parent
HOOKS = ("https://shop.example/hook", "https://shop.example/other")
IN_BATCH = {"model": PRO, "lane": "batch", "allow": {"batch": True}, "floor": {"model": PRO}}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Written = dict[str, list[dict[str, Any]]]


def remember(world: World, written: Written) -> None:
    """Keep each document as each commit leaves it, by collection."""
    commit = world.store.commit

    async def commit_and_keep(*writes: Write) -> Committed | Conflict:
        answer = await commit(*writes)
        if isinstance(answer, Committed):
            for document in [await world.store.get(write.path) for write in writes]:
                if isinstance(document, Document):
                    written[document.path.split("/")[-2]].append(dict(document.data))
        return answer

    world.store.commit = commit_and_keep  # type: ignore[method-assign]


def a_flag(world: World, name: FlagName, **more: Any) -> Flag:
    now = world.clock.now()
    return Flag(f"{name}-ann", name, "ann", "quota is short", now, now + HOUR, **more)


async def busy(written: Written) -> None:
    """Budgets, flags, a gateway, batches, a cancellation, a rejection, live limits."""
    world = GatewayWorld(quota="*=rpm:12,tpm:100000,rpd:200,spend10m_usd:1")
    remember(world, written)
    await set_weight(world.store, "web", 2.5)
    await set_budget(world.store, "web", limit_micros=900_000, period="day", over="queue")
    await set_budget(world.store, "print", limit_micros=9_000, period="month", over="refuse")
    await world.run(world.prove())
    for number, url in enumerate(HOOKS):
        secret = secret_of(b"s" * SECRET_BYTES)
        await endpoints.add(
            world.store, world.webhooks, "web", url, ("succeeded",) * number, fresh_id=f"we_{number}", secret=secret
        )
    await endpoints.rotate(world.store, "web", "we_0", secret_of(b"t" * SECRET_BYTES))
    world.webhooks.replies[HOOKS[0]] = lambda number: Answer(500) if number < 9 else NoAnswer("no answer within 10 s")
    world.webhooks.replies[HOOKS[1]] = lambda number: Answer(204) if number < 3 else Answer(410)
    world.live_quota.answer = {PRO: {"rpm": 12, "rpd": None}}
    world.live_quota.used = {PRO: {"rpm": 3}}
    world.lane.then(
        FailureKind.OVERLOAD, FailureKind.TIMEOUT, Failure(FailureKind.QUOTA_MINUTE, "full", http_status=429),
        Failure(FailureKind.NO_IMAGE, "none"), FailureKind.CONNECTION_LOST, FailureKind.SERVER_ERROR,
    )  # fmt: skip
    for number in range(12):
        await world.submit(
            f"r-{number}", tenant="web", model=PRO, priority=("interactive", "normal", "bulk")[number % 3],
            aspect_ratio="16:9", image_size="2K", floor={"image_size": "1K"}, labels={"team": "ads"},
            allow={"gateway": True}, max_cost_usd="1.5", group="spring",
            deadline=(world.clock.now() + 20 * HOUR).isoformat(),
        )  # fmt: skip
    for number in range(4):
        await world.submit(f"b-{number}", tenant="web", **IN_BATCH)
    await world.submit("p-1", tenant="print")
    await world.submit("g-1", **ONLY_THERE)
    await world.submit("e-1", floor="exact", grounding=True)
    await world.submit(
        "q-1", grounding="image", thinking="low", safety={"image_hate": "off"}, system_instruction="flat colours",
        output_format="webp", output_quality=80, model="nano-banana-2.1",
    )  # fmt: skip
    await world.submit("bad", image_size="9K")

    async def operate() -> None:
        await world.clock.sleep(20)
        await world.use_gateway()
        for flag in (
            a_flag(world, "lower-resolution", to="1K", scope=Scope(tenant="web", share=50)),
            a_flag(world, "pause", scope=Scope(purpose="nothing"), shadow=True),
        ):
            await flags.trip(world.store, world.signals, flag)
        await world.publish({"cancel": "b-3", "tenant": "web"})
        await world.publish({"cancel": "unknown"})
        await world.clock.sleep(60)
        await flags.reset(world.store, world.signals, "lower-resolution-ann", "ann", "quota is back")
        world.live_quota.answer = QuotaUnreadable("denied", "no", "grant it")
        world.live_quota.used = QuotaUnreadable("denied", "no", "grant it")
        await summary.write(world.ports)

    await world.run_for(2 * HOUR, operate())
    await summary.write(world.ports)


async def ailing(written: Written) -> None:
    """Sick routes and conclusions: breakers, evidence, probes, learned limits."""
    kinds = (FailureKind.OVERLOAD, FailureKind.QUOTA_UNKNOWN, FailureKind.PERMISSION, FailureKind.QUOTA_MINUTE)
    for kind in kinds:
        world = World(quota="*=rpm:60")
        remember(world, written)
        begun = world.clock.now()

        def sick(_: object, now: datetime, kind: FailureKind = kind, begun: datetime = begun) -> Failure | None:
            named: dict[str, Any] = (
                {"quota_value": 20, "quota_id": "GenerateRequestsPerMinutePerProjectPerModel"}
                if kind is FailureKind.QUOTA_MINUTE
                else {}
            )
            return Failure(kind, "the provider said no", **named) if now < begun + 2 * MINUTE else None

        world.lane.sick = sick
        for number in range(40):
            await world.submit(f"r-{number}", model=PRO, tenant=f"t-{number % 3}")
        await world.run_for(10 * MINUTE)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each field with the type of its value; numbers and dates in keys are one."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = "*" if key[:1].isdigit() else key
            yield from leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, f"{path}[]")
    else:
        yield path, type(value).__name__


def chosen(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Few that show everything: always the one that shows most that is new, the smaller one of two."""
    forms = [(set(leaves(item)), len(repr(item)), item) for item in documents]
    shown: set[tuple[str, str]] = set()
    kept: list[dict[str, Any]] = []
    while True:
        form, _, document = max(forms, key=lambda one: (len(one[0] - shown), -one[1]))
        if form <= shown or len(kept) == 8:
            return kept
        kept.append(document)
        shown |= form


async def main() -> None:
    written: Written = defaultdict(list)
    await busy(written)
    await ailing(written)
    for collection, documents in written.items():
        text = json.dumps([encoded(item) for item in chosen(documents)], indent=1, sort_keys=True, ensure_ascii=False)
        (HERE / f"{collection}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
