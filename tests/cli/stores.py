"""Homes whose store is written by hand: a SQLite file with what a test puts into it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.cli.data import worker_home
from shared.core.admission.route_memory import Routing
from shared.core.conclusions.claims import Claim
from shared.core.conclusions.conclusion import Case, Conclusion, Conclusions
from shared.core.conclusions.evidence import Voice
from shared.core.lifecycle import request_record
from shared.core.routing import flag_board
from shared.core.routing.breaker import Circuit
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.routing.flag_board import Board
from shared.core.routing.flag_kinds import FlagName
from shared.core.values.documents import Create, Document, Query, Write
from shared.flows.pump_status import PUMP
from tests.builders import a_record, a_request

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
TRIPPED_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
UNTIL = datetime(2096, 11, 23, 8, tzinfo=UTC)


def a_flag(name: FlagName, flag_id: str | None = None, **more: Any) -> Flag:
    """Tripped for a long time to come."""
    scope = {field: more.pop(field) for field in ("tenant", "purpose", "model", "lane", "share") if field in more}
    given: dict[str, Any] = {"actor": "ann", "reason": "quota is short"} | more
    flag_id = flag_id or f"{name}-1a2b"
    return Flag(id=flag_id, name=name, tripped_at=TRIPPED_AT, expires_at=UNTIL, scope=Scope(**scope), **given)


def a_breaker(model: str = PRO, lane: str = "standard") -> Flag:
    reason = f"{lane}/{model}: overload, 9 of 9 calls in 10 s"
    return a_flag("use-nano-banana-2", f"breaker-{lane}-{model}", actor=BREAKER, reason=reason, model=model, lane=lane)


def flags(*tripped: Flag, **more: Any) -> Create:
    return Create(flag_board.PATH, Board({flag.id: flag for flag in tripped}, **more).to_json())


def pump(routing: Routing | None = None, **more: Any) -> Create:
    return Create(PUMP, {"routing": (routing or Routing()).to_json(), "held": {}} | more)


def probed(at: datetime = TRIPPED_AT, trips: int = 2) -> Circuit:
    return Circuit(tripped_at=at, trips=trips, probed_at=at)


def concluded(*conclusions: Conclusion) -> Conclusions:
    """As the pump has reached them, each from one request."""
    voice = Voice(int(TRIPPED_AT.timestamp()), "0123456789", explicit=True)
    return Conclusions(
        {conclusion.id: Case({"abcdef0123": voice}, conclusion=conclusion) for conclusion in conclusions}
    )


def a_conclusion(claim: Claim, subject: str) -> Conclusion:
    return Conclusion(claim, subject, TRIPPED_AT, 1, timedelta(seconds=5), UNTIL)


GONE = a_conclusion(Claim.MODEL_GONE, "*/gemini-2.5-flash-image")


def queued(request_id: str, *, changes: dict[str, Any] | None = None, **fields: Any) -> Create:
    """A request that waits; `fields` as it was asked for, `changes` of its document since."""
    request = a_request(request_id=request_id, **fields)
    written = a_record(request, now=TRIPPED_AT + timedelta(seconds=1), **(changes or {}))
    return Create(request_record.path(request_id), written)


def write(home: Path, *writes: Write) -> None:
    home.mkdir(exist_ok=True)
    (home / "state.db").touch()

    async def commit() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            if writes:
                await store.commit(*writes)

    asyncio.run(commit())


def read(collection: str) -> list[Document]:
    async def query() -> list[Document]:
        async with worker_home.reading(worker_home.read_settings()) as store:
            return await store.query(Query(collection, limit=100))

    return asyncio.run(query())


def tripped() -> Board:
    """The flags as the store has them."""
    documents: Iterable[Document] = read("flags")
    return next((Board.from_json(document.data) for document in documents), Board())
