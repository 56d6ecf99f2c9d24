"""Gathering the references of released requests: bounded in memory, counted, and never a reason to slow the fleet.

A release comes with its slot, and references may take longer than that. So, for a request that has references:

1. One delivery in this process gathers them; another delivery of the same request is acknowledged: the first continues
   with the release that is the newest when it is done.
2. The sizes are checked first. Their sum must be within the bounds of the API and of this process, and room is reserved
   for everything that the call will hold. A request waits for room before its claim.
3. It is recorded that fetching begins (`fetch_count`, reset by the claim). That counts references that are too slow for
   their slots as well as those that kill their process; after MOST_FETCHES the request ends as `reference`.
4. If the slot has passed meanwhile, the release is given back with that reason and without a sign of lateness: the
   fleet is not slow, the reference is. The bytes stay here, parked, and the next release finds them. Its slot comes
   with a longer lead time, as after any late start.

Parked bytes keep their room until the release takes them: at least 15 seconds, and up to two minutes if nothing waits
for room.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.messages.render_request import RenderRequest
from shared.core.provider.call import Reference
from shared.core.records.versioned import Request, request_in, update
from shared.core.references import reference_set
from shared.core.references.reference_set import MOST_FETCHES
from shared.core.values.documents import Committed, Document
from shared.flows.requests import provider_call
from shared.flows.requests.provider_call import Bounds
from shared.ports import Ports
from shared.ports.images import ReferenceUnusable

PARKED_FOR = timedelta(minutes=2)
SURE_FOR = timedelta(seconds=15)
"""How long a load stays parked even if others wait: its next release is under way, and fetching it again costs more."""


class Load(Struct, frozen=True):
    """What a call holds: its references, and the room reserved for all of it."""

    references: tuple[Reference, ...]
    room: int
    parked_at: float | None = None
    """By the monotonic clock; None: fetched just now."""


class Gathering:
    """One per process."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._parked: OrderedDict[str, Load] = OrderedDict()

    async def gather(self, ports: Ports, request: Request, content: RenderRequest) -> Load | None:
        """The load of a released request; None if another delivery works on it, or it is no longer released.

        Raises ReferenceUnusable, and StoreUnavailable. The caller has to give the room of the load back.
        """
        route = request.record.route
        if not content.references:
            room = reference_set.weight(0, route.image_size, content.output_format)
            await self._take_room(ports, room)
            return Load((), room)
        if reference_set.goes_by_uri(
            content.references, route, ports.catalogue, as_bytes=request.record.references_as_bytes
        ):
            return await self._addresses(ports, request)
        bounds = Bounds.on(ports, content, route, request.record.gateway or "")
        parked = self._parked.pop(request.id, None)
        if parked is not None and any(reference.uri for reference in parked.references):
            self.let_go(ports, parked)  # addresses that were refused
            parked = None
        if parked is not None:
            try:
                provider_call.check(bounds, parked.references, ports.catalogue)
            except ReferenceUnusable:  # another route, which takes less
                self.let_go(ports, parked)
                raise
            return parked
        if request.id in self._busy:
            return None
        self._busy.add(request.id)
        try:
            return await self._gather(ports, request, bounds)
        finally:
            self._busy.discard(request.id)

    def park(self, ports: Ports, request_id: str, load: Load) -> None:
        """Keep a load for the request's next release."""
        if not load.references:
            self.let_go(ports, load)
            return
        before = self._parked.pop(request_id, None)
        if before is not None:
            self.let_go(ports, before)
        self._parked[request_id] = Load(load.references, load.room, ports.clock.monotonic())
        self._make_room(ports)

    def let_go(self, ports: Ports, load: Load) -> None:
        ports.room.give_back(load.room)

    async def _addresses(self, ports: Ports, request: Request) -> Load:
        """Nothing is fetched here: the provider fetches. The same addresses are allowed as for bytes."""
        parked = self._parked.pop(request.id, None)
        if parked is not None:
            self.let_go(ports, parked)
        content = request.record.content
        references = provider_call.addresses(ports.references, content)
        room = reference_set.weight(0, request.record.route.image_size, content.output_format)
        await self._take_room(ports, room)
        return Load(references, room)

    async def _gather(self, ports: Ports, request: Request, bounds: Bounds) -> Load | None:
        sizes = await provider_call.sizes(ports.references, bounds)
        unknown = bounds.limit - sum(size or 0 for size in sizes) if None in sizes else 0
        size_asked, to_format = bounds.route.image_size, bounds.content.output_format
        room = reference_set.weight(sum(size or 0 for size in sizes) + unknown, size_asked, to_format)
        await self._take_room(ports, room)
        load = Load((), room)
        try:
            if not await _count(ports, request):
                self.let_go(ports, load)
                return None
            references = await provider_call.fetched(ports.references, bounds, sizes)
            provider_call.check(bounds, references, ports.catalogue)
        except BaseException:
            self.let_go(ports, load)
            raise
        needed = reference_set.weight(sum(len(reference.data) for reference in references), size_asked, to_format)
        if needed < room:
            ports.room.give_back(room - needed)
        return Load(references, min(needed, room))

    async def _take_room(self, ports: Ports, size: int) -> None:
        self._make_room(ports, size)
        if not ports.room.is_full_for(size):
            await ports.room.take(size)
            return
        taking = asyncio.ensure_future(ports.room.take(size))
        try:
            while not taking.done():
                pause = asyncio.ensure_future(ports.clock.sleep(SURE_FOR.total_seconds()))
                await asyncio.wait({taking, pause}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
                self._make_room(ports, size)
        except BaseException:
            if not taking.cancel() and taking.done():
                ports.room.give_back(size)
            raise
        await taking

    def _make_room(self, ports: Ports, size: int = 0) -> None:
        """Parked loads are dropped when they are old, and sooner if others wait for room; the oldest first."""
        now = ports.clock.monotonic()
        while self._parked:
            load = next(iter(self._parked.values()))
            age = now - (load.parked_at or 0.0)
            is_wanted = age >= SURE_FOR.total_seconds() and ports.room.is_full_for(size)
            if age < PARKED_FOR.total_seconds() and not is_wanted:
                return
            self._parked.popitem(last=False)
            self.let_go(ports, load)


async def _count(ports: Ports, request: Request) -> bool:
    """Record that fetching begins. False if the request is no longer released. Raises ReferenceUnusable."""
    while True:
        document = await ports.store.get(request.path)
        current = request_in(document) if isinstance(document, Document) else None
        if current is None or current.record.status != "released":
            return False
        count = current.record.fetch_count + 1
        if count > MOST_FETCHES:
            raise ReferenceUnusable(
                f"fetching the references was begun {MOST_FETCHES} times and never led to a call: they took too long "
                "for their slot, or the worker stopped meanwhile; put them where they are fetched in a few seconds, or "
                "send smaller ones"
            )
        after = replace(
            current.record, fetch_count=count, updated_at=max(ports.clock.now(), current.read_at)
        )  # fmt: skip
        if isinstance(await ports.store.commit(update(current, after)), Committed):
            return True
