"""What Firestore must index for the queries of the flows, and what it must not: terraform/firestore.json.

`./scripts/firestore-layout` writes it. The fields are those that the worker is seen to write in a rehearsal.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from shared.adapters.store_rules import HIDDEN_FIELD
from shared.core import ledger, queries
from shared.core.documents import Create, Increment, Query, Update, Write
from shared.core.failure import FailureKind
from shared.core.flag import Flag
from shared.flows import flags, operate
from tests.every_query import QUERIES
from tests.world import World

Index: TypeAlias = tuple[str, tuple[str, ...]]
"""Collection and fields in order; a leading `-` means descending."""

FILE = Path("terraform/firestore.json")
SMALL = ("batches",)
"""Collections of a few hundred documents: their automatic indexes cost nothing, and configurations are few."""
MOST_FIELDS = 200
"""Single-field configurations that one database may have (Firestore's quotas)."""

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


def needed(query: Query) -> Index:
    """Equalities first, then the field of the order. A collection below a document counts by its own name."""
    ordered = list(query.order_by) or [each.field for each in query.bounds]
    return query.collection.rpartition("/")[2], (*(name for name, _ in query.equal), *ordered)


def every_query() -> list[Query]:
    return [*QUERIES.values(), queries.attempts_of("r-1")]


def layout() -> dict[str, Any]:
    """What stands in the file: composite indexes, the one order of fields that are searched alone, and the rest."""
    indexes = {needed(query) for query in every_query()}
    alone: dict[str, dict[str, str]] = defaultdict(dict)
    for collection, fields in indexes:
        if len(fields) == 1:
            alone[collection][fields[0].removeprefix("-")] = _order(fields[0])
    written = written_fields()
    return {
        "composite": [
            {"collection": collection, "fields": [[each.removeprefix("-"), _order(each)] for each in fields]}
            for collection, fields in sorted(indexes)
            if len(fields) > 1
        ],
        "alone": {name: dict(sorted(alone[name].items())) for name in sorted(alone)},
        "never": {name: sorted(written[name] - set(alone.get(name, ()))) for name in sorted(written)},
        "expiring": sorted(queries.EXPIRING),
    }


@cache
def written_fields() -> dict[str, set[str]]:
    """Collection -> the top-level fields of its documents, from a rehearsal in virtual time."""
    watched = _Watched()
    world = World(quota="*=rpm:600,ipm:900,tpm:900000,rpd:5000,concurrency:20,spend10m_usd:500")
    world.guard = lambda port, name: watched.of(port) if name == "store" else port
    world.boot()
    asyncio.run(world.run(_rehearse(world)))
    for name in SMALL:
        watched.fields.pop(name, None)
    watched.fields["ledger"] |= {*ledger.COUNTS, *ledger.MONEY}  # written where they are not zero
    return {name: fields | {HIDDEN_FIELD} for name, fields in watched.fields.items()}


async def _rehearse(world: World) -> None:
    store = world.ports.store
    await operate.set_weight(store, "web", 2.0)
    now = world.clock.now()
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


def _order(field: str) -> str:
    return "DESCENDING" if field.startswith("-") else "ASCENDING"


def main() -> None:
    FILE.write_text(text(), "utf-8")


def text() -> str:
    written = json.dumps(layout(), indent=1)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", written) + "\n"


if __name__ == "__main__":
    main()
