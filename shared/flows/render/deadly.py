"""A request that kills or crashes its worker before the claim: no attempt counts it, and no message comes five times.

The pump takes an unclaimed release back after some seconds and grants another, whose message counts from one. So the
request itself counts. One release that nobody took up says nothing: the fleet may be away, or full. After some in a
row, the worker puts on record that it begins; the claim, or giving the release back, takes the counts back. A request
that is ready for its call costs no write. What may wait for long before its claim is not counted: a request with
references (`gathering` counts those), and any request while the worker's memory is full.
"""

from __future__ import annotations

from typing import Final

from shared.core.lifecycle import request_record
from shared.core.references import reference_set
from shared.core.values.documents import Committed, Conflict, Document, Update
from shared.core.values.route import Route
from shared.ports import Ports

SUSPECT_AFTER = 3
"""Releases in a row that nobody took up."""
MOST_STARTS = 5
"""Of a suspect."""
NOT_DEADLY: Final = {"unclaimed_count": 0, "start_count": 0}


async def count_start(ports: Ports, request: Document) -> Document | Conflict | None:
    """The released request to go on with; None where it has to end; a Conflict where somebody else has it."""
    if request.data.get("unclaimed_count", 0) < SUSPECT_AFTER or _may_wait(ports, request):
        return request
    count = request.data.get("start_count", 0) + 1
    if count > MOST_STARTS:
        return None
    changes = {"start_count": count}
    committed = await ports.store.commit(Update(request.path, changes, request.version))
    match committed:
        case Conflict():
            return committed
        case Committed():
            return Document(request.path, {**request.data, **changes}, committed.versions[0], request.read_at)


def _may_wait(ports: Ports, request: Document) -> bool:
    route = Route.from_json(request.data["route"])
    has_references = bool(request_record.request_of(request.data).references)
    return has_references or ports.room.is_full_for(reference_set.weight(0, route.image_size))
