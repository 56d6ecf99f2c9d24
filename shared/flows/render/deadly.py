"""Finds requests that kill their worker before the claim: no attempt counts them, and no message is delivered five
times.

The pump takes an unclaimed release back after some seconds and grants another, whose message counts from one. So the
request itself counts. One unclaimed release proves nothing: the fleet may be down, or full. After several in a row, the
worker records that it begins; the claim, or giving the release back, resets the counts. A request that is ready for its
call costs no write.

Requests that may wait long before their claim are not counted: those with references (`gathering` counts those), and
all requests while the worker's memory is full.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Request, committed, update
from shared.core.references import reference_set
from shared.core.values.documents import Committed, Conflict
from shared.ports import Ports

SUSPECT_AFTER = 3
"""Releases in a row that no worker claimed."""
MOST_STARTS = 5
"""How often a suspect may begin."""
NOT_DEADLY: Final = {"unclaimed_count": 0, "start_count": 0}


async def count_start(ports: Ports, request: Request) -> Request | Conflict | None:
    """The released request to continue with; None if it has to end; a Conflict if another process has it."""
    if request.record.unclaimed_count < SUSPECT_AFTER or _may_wait(ports, request.record):
        return request
    count = request.record.start_count + 1
    if count > MOST_STARTS:
        return None
    after = replace(request.record, start_count=count)
    write = update(request, after)
    answer = await ports.store.commit(write)
    match answer:
        case Conflict():
            return answer
        case Committed():
            return replace(committed(request, after, write, answer), read_at=request.read_at)


def _may_wait(ports: Ports, request: RequestRecord) -> bool:
    has_references = bool(request.content.references)
    return has_references or ports.room.is_full_for(reference_set.weight(0, request.route.image_size))
