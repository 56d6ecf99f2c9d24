"""Requests in the store as intake leaves them, without the time that intake takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from shared.core.catalogue.reader import read_catalogue
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import RenderRequest
from shared.core.routing import ladder
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import Create
from shared.core.values.lanes import BUILT
from shared.ports.store import Store

PAGE = 400
PRIORITIES = ("normal", "bulk")
PROMPT = "a black mechanical keyboard on a desk of oak, morning light, " * 4


async def write(store: Store, count: int, now: datetime) -> None:
    """`q-0`, `q-1` and so on, `normal` and `bulk` in turn, the first one accepted `count` milliseconds ago."""
    catalogue = read_catalogue(Path("shared/catalogue.toml").read_text("utf-8"))
    for first in range(0, count, PAGE):
        writes = []
        for number in range(first, min(first + PAGE, count)):
            request = RenderRequest.parse({
                "request_id": f"q-{number}", "prompt": f"{PROMPT}{number}", "priority": PRIORITIES[number % 2],
            })  # fmt: skip
            planned = ladder.first_plan(Requirements.of(request), catalogue, BUILT)
            assert isinstance(planned, Planned)
            at = now - timedelta(milliseconds=count - number)
            record = request_record.new_record(
                request, planned, fair_tag=at.timestamp(), message_id=f"m-{number}", trace_id=f"{number + 1:032x}",
                traceparent=f"00-{number + 1:032x}-{number + 1:016x}-01", now=at,
            )  # fmt: skip
            writes.append(Create(request_record.path(f"q-{number}"), record.to_json()))
        await store.commit(*writes)
