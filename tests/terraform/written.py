"""Which fields the worker writes where, as seen in virtual time: a rehearsal that writes to every collection."""

from __future__ import annotations

import ast
import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from shared.adapters.port_limits.store_limits import HIDDEN_FIELD
from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.shared_secret import SharedSecret
from shared.core.accounting import ledger
from shared.core.catalogue.gateway_proof import ITEMS, TEST
from shared.core.provider.failure import FailureKind
from shared.core.routing.flag import Flag
from shared.core.values.documents import Create, Increment, Update, Write
from shared.core.webhooks.signature import SECRET_BYTES, secret_of
from shared.flows.arrive.arrive import arrive
from shared.flows.operations import flags, gateway_proofs, tenants
from shared.flows.operations.console_key import console_key
from shared.flows.operations.presence import Presence
from shared.flows.webhooks import endpoints
from tests.fakes.webhook_sender import SecretSender, event
from tests.world import World

ENDINGS = (
    FailureKind.QUOTA_MINUTE,
    FailureKind.OVERLOAD,
    FailureKind.TIMEOUT,
    FailureKind.REFUSED,
    FailureKind.NO_IMAGE,
    FailureKind.CRASHED,
    FailureKind.LANE_UNSUPPORTED,
    FailureKind.LATE,
)
PRO = "gemini-3-pro-image"
TOP = re.compile(r"([a-z_]+)/(?:[a-z]+|\{\})?")
"""`requests/` of an f-string, `tenants/{}`, `pump/pump`."""
BELOW = re.compile(r"/([a-z_]+)")
"""`/attempts` after a document's id."""
NO_COLLECTION = {"image", "models"}
"""First parts of media types and of the provider's names."""


@cache
def written_fields() -> Mapping[str, frozenset[str]]:
    """Collection -> the top-level fields of its documents."""
    watched = _Watched()
    world = World(quota="*=rpm:600,ipm:900,tpm:900000,rpd:5000,concurrency:20,spend10m_usd:500")
    world.guard = lambda port, name: watched.of(port) if name == "store" else port
    world.live_quota.answer = {PRO: {"rpm": 600, "rpd": None}}
    world.boot()
    asyncio.run(world.run(_rehearse(world)))
    watched.fields["ledger"] |= {*ledger.COUNTS, *ledger.MONEY}  # written where they are not zero
    return {name: frozenset(fields | {HIDDEN_FIELD}) for name, fields in watched.fields.items()}


def collections_of_the_code() -> set[str]:
    """Names that core and flows use as the first part of a document's path, or as a collection below a document."""
    return {name for path in _sources() for name in _named(ast.parse(path.read_text("utf-8")))} - NO_COLLECTION


def _sources() -> Iterator[Path]:
    for folder in ("shared/core", "shared/flows"):
        yield from sorted(Path(folder).rglob("*.py"))


def _named(tree: ast.AST) -> Iterator[str]:
    """A path is a constant, or a text whose first part is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [constant.value for constant in node.values if isinstance(constant, ast.Constant)]
            yield from (match[1] for part in parts if (match := BELOW.fullmatch(str(part))))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (top := TOP.fullmatch(node.value)):
            yield top[1]


async def _rehearse(world: World) -> None:
    store, now = world.ports.store, world.clock.now()
    await tenants.set_weight(store, "web", 2.0)
    await console_key(store, "0" * 64)
    await tenants.set_budget(store, "web", limit_micros=50_000_000, period="day", over="queue")
    await _record_a_proof(world)
    await _take_a_webhook(world)
    await Presence(world.ports).tell("render")
    url = "https://shop.example/hook"
    await endpoints.add(store, world.webhooks, "web", url, (), fresh_id="we_1", secret=secret_of(b"s" * SECRET_BYTES))
    flag = Flag(
        id="f-1", name="use-nano-banana-2", actor="ann", reason="a rehearsal", tripped_at=now,
        expires_at=now + timedelta(minutes=5),
    )  # fmt: skip
    await flags.trip(store, world.signals, flag)
    await world.publish(b'{"request_id": "wrong"}')
    await world.publish({"cancel": "never-came"})
    await world.submit("overdue", deadline=(now + timedelta(seconds=1)).isoformat(), priority="bulk")
    await world.submit("by-batch", lane="batch", allow={"batch": True}, tenant="other")
    world.lane.then(*ENDINGS)
    for number in range(len(ENDINGS)):
        await world.submit(f"r-{number}", tenant="web")
    await world._until_quiet(timedelta(minutes=7), only_for=True)
    for number in range(2):  # the second takes a slot that the pump leaves open after the first
        await world.submit(f"light-{number}", tenant="light")
        await world._until_quiet(timedelta(seconds=5), only_for=True)


async def _take_a_webhook(world: World) -> None:
    sender, body = SecretSender(), event()
    ports = replace(world.ports, signatures=GeminiSignatures(None, SharedSecret(sender.secret)))
    assert await arrive(ports, sender.headers(body, world.clock.now()), body) == "taken"


async def _record_a_proof(world: World) -> None:
    name = next(iter(world.catalogue.gateways))
    for item in set(ITEMS) - {TEST}:
        await gateway_proofs.record(world.ports.store, world.catalogue, name, item, "seen in its console", "ann")


class _Watched:
    """A store that notes which fields are written where."""

    def __init__(self) -> None:
        self.fields: dict[str, set[str]] = defaultdict(set)

    def of(self, store: Any) -> Any:
        watched = self

        class Noting:
            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            async def commit(self, *writes: Write) -> Any:
                for write in writes:
                    watched.note(write)
                return await store.commit(*writes)

        return Noting()

    def note(self, write: Write) -> None:
        collection = write.path.split("/")[-2]
        match write:
            case Create(_, data):
                self.fields[collection] |= set(data)
            case Update(_, changes):
                self.fields[collection] |= set(changes)
            case Increment(_, amounts, also):
                self.fields[collection] |= {*amounts, *also}
            case _:
                pass
