"""What the flows need from the world, in our words. Each port has at least two adapters and one contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct, field

from shared.core.kept import KeepRules

if TYPE_CHECKING:  # names of types alone: who speaks through a port loads what it uses itself
    from shared.core.answer import Answer, Order, Picture, Reference
    from shared.core.batch import Progress, Result
    from shared.core.board import Board
    from shared.core.catalogue import Catalogue
    from shared.core.documents import Absent, Committed, Conflict, Document, Query, Write
    from shared.core.failure import Failure
    from shared.core.kept import KeptImage
    from shared.core.live_quota import LiveLimits, UsageByModel
    from shared.core.metrics import Measure
    from shared.core.quota import Quota
    from shared.core.signals import Signal
    from shared.core.spans import Span
    from shared.core.topology import Subscription
    from shared.core.trace import Place


class StoreUnavailable(Exception):
    """The store could not be reached or did not answer in time; nothing is known about the write."""


class TopicsUnavailable(Exception):
    """The topics could not be reached; the message may or may not have been published."""


class ImagesUnavailable(Exception):
    """The image store could not be read or written."""


class ResultsUnavailable(Exception):
    """The answers of a batch could not be read, or not to their end. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ReferenceUnusable(Exception):
    """A reference image may not, or could not, be fetched. Names the URI's scheme and host, and the remedy."""


class QuotaUnreadable(Exception):
    """The provider did not say its limits or its usage. `code` as in `live_quota.Problem`, `remedy` for a person."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class Store(Protocol):
    """A table of versioned documents. Every method raises StoreUnavailable and nothing else of the technology's own.

    An update that changes nothing still changes the version: each write carries a fresh `write_id` of the adapter.
    """

    async def get(self, path: str) -> Document | Absent: ...

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        """The documents in the order of `paths`."""
        ...

    async def query(self, query: Query) -> list[Document]: ...

    async def count(self, query: Query) -> int:
        """How many documents match, up to `query.limit`."""
        ...

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """All writes or none. At most one write per path; at most 500 writes."""
        ...

    async def close(self) -> None: ...


class Topics(Protocol):
    """Publishing. At least once: a publisher that gets an error publishes again."""

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """The message id. Raises TopicsUnavailable."""
        ...

    async def close(self) -> None: ...


class Delivery(Struct, frozen=True):
    """One pulled delivery of one message. `handle` is the adapter's own name for it."""

    handle: str
    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime
    number: int
    """1 for the first delivery of this message on this subscription; 0 where the provider does not say."""


class Subscriptions(Protocol):
    """Pulling, for the courier that stands in for Pub/Sub's push on one machine and on the emulators."""

    async def ensure(self, subscriptions: Sequence[Subscription]) -> None:
        """Create missing topics and subscriptions; leave existing ones alone."""
        ...

    async def pull(self, subscription: str, limit: int, wait: timedelta) -> list[Delivery]:
        """Up to `limit` deliveries; waits up to `wait` for the first one."""
        ...

    async def acknowledge(self, subscription: str, handles: Sequence[str]) -> None: ...

    async def reject(self, subscription: str, handles: Sequence[str]) -> None:
        """Deliver again after the subscription's back-off, or move to the dead letters when deliveries are used up."""
        ...

    async def extend(self, subscription: str, handles: Sequence[str], by: timedelta) -> None:
        """Push the acknowledgement deadline to now + `by`."""
        ...

    async def close(self) -> None: ...


class StoredImage(Struct, frozen=True):
    """An image that lies in the image store, with what is known about the attempt that made it."""

    uri: str
    key: str
    size_bytes: int
    facts: Mapping[str, str]


class Images(Protocol):
    """Where images lie. A key is written once: another attempt has another key."""

    async def put(self, key: str, picture: Picture, facts: Mapping[str, str]) -> StoredImage:
        """Store the picture and its facts together. A key that exists keeps its bytes and facts, and is returned."""
        ...

    async def find(self, prefix: str) -> StoredImage | None:
        """The image whose key begins with `prefix` (an attempt's key without its extension), facts included."""
        ...

    async def read(self, uri: str) -> bytes: ...


class Spool(Protocol):
    """Where a paid image is kept that could not be stored. Every method raises ImagesUnavailable."""

    async def keep(self, key: str, picture: Picture, facts: Mapping[str, str]) -> KeptImage:
        """Returns when the image will outlive this process. The same key again is the same image."""
        ...

    async def find(self, prefix: str) -> KeptImage | None:
        """The image whose key begins with `prefix`, whole; a torn one is none."""
        ...

    async def read(self, kept: KeptImage) -> Picture: ...

    async def drop(self, kept: KeptImage) -> None:
        """It is stored. One that is not there is no error."""
        ...

    def close(self) -> None: ...


class References(Protocol):
    def check(self, uri: str) -> None:
        """Raises ReferenceUnusable for a place that may not be read; fetches nothing."""
        ...

    async def size(self, uri: str) -> int | None:
        """Bytes, by a look without reading; None where its place does not say. Raises ReferenceUnusable."""
        ...

    async def fetch(self, uri: str, mime_type: str | None, most: int | None = None) -> Reference:
        """The bytes of a whole reference image from an allowed place, `most` at most. Raises ReferenceUnusable."""
        ...


class Room(Protocol):
    """The memory that this process has for what its calls hold: references, bodies, answers. First come, first served.

    One that wants more than there is gets in alone.
    """

    @property
    def limit(self) -> int:
        """Bytes."""
        ...

    def is_full_for(self, size: int) -> bool:
        """Who wants so many bytes has to wait; so does who comes after somebody that waits."""
        ...

    async def take(self, size: int) -> None:
        """Returns when there is room for so many bytes, which are then taken."""
        ...

    def give_back(self, size: int) -> None: ...


class EndlessRoom:
    """For who calls nobody."""

    limit = 1 << 50

    def is_full_for(self, _size: int) -> bool:
        return False

    async def take(self, size: int) -> None:
        pass

    def give_back(self, size: int) -> None:
        pass


AtSlot: TypeAlias = Callable[[], Awaitable[timedelta]]
"""Awaited once a call is written: returns at its slot, with the time that is left for its first byte to leave."""


class Lane(Protocol):
    """One contract with one provider. Never raises for what the provider does: that is an Answer."""

    async def prepare(self) -> None:
        """Load what the first call needs, so that no call leaves later than its slot for it."""
        ...

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One call, written ahead of its slot; `timeout` counts from there. One that could not begin to leave in time
        is not made: a failure of kind LATE.
        """
        ...

    async def close(self) -> None: ...


class Batches(Protocol):
    """The batch lane of one provider. What the provider does is a value; only reading answers may break off."""

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        """Keys and orders as one file; its name. They are taken one by one and not kept. None at all is no file, and a
        failure.
        """
        ...

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        """The provider's name of the new batch. NOT idempotent. One that could not leave in time is not made: LATE."""
        ...

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        """The name of the batch with that display name, created after `since`; None where there is none."""
        ...

    async def look(self, name: str) -> Progress | Failure:
        """How far a batch has come."""
        ...

    async def results(self, file: str, model: str, prompts: Mapping[str, str]) -> AsyncIterator[Result]:
        """The answers in `file`, one at a time: keys may be missing, repeated or strange. `prompts` by key are taken
        out of what the provider says. The iterator raises ResultsUnavailable.
        """
        ...

    async def cancel(self, name: str) -> None:
        """Ask the provider to stop; whether it does shows when it is looked at."""
        ...

    async def close(self) -> None: ...


class NotAsked(Struct, frozen=True):
    """By configuration nobody asks the provider for this."""


class LiveQuotaSource(Protocol):
    """What the provider says of its limits now. Both calls raise QuotaUnreadable and nothing of the technology's."""

    async def limits(self) -> Mapping[str, LiveLimits] | NotAsked:
        """By model id of the catalogue; never empty."""
        ...

    async def usage(self) -> UsageByModel | NotAsked:
        """What the whole project used, by the limits that were read before."""
        ...


class FlagSource(Protocol):
    """Flags that somebody else keeps."""

    async def beside(self, own: Board, now: datetime) -> Board:
        """Our own flags with theirs beside them, soon.

        Never raises: a source that is away adds what it said last.
        """
        ...


class Asked(Struct, frozen=True):
    """What a call to the console says of who makes it."""

    peer: str
    """The address at the other end of the connection."""
    host: str
    """The header `Host`."""
    proxied: bool
    """A proxy names itself in the headers."""
    assertion: str | None
    """The header `X-Goog-IAP-JWT-Assertion`."""


class NotIdentified(Exception):
    """Nobody who may use the console. Says what was found, what is allowed and what to do."""


class Identities(Protocol):
    """Who uses the console."""

    async def actor(self, asked: Asked) -> str:
        """The name under which changes are made. Raises NotIdentified."""
        ...


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Events(Protocol):
    def emit(self, signal: Signal, **fields: object) -> None:
        """Report an event with exactly the fields it declares. Raises ValueError for others."""
        ...


class Signals(Events, Protocol):
    """Events, spans and metrics."""

    def samples(self, trace_id: str, caller: Place | None) -> bool:
        """Whether a trace that begins here is kept; `caller` is the place it goes on from, where there is one."""
        ...

    def span(self, span: Span) -> None:
        """Report a stage that is over, with exactly the fields it declares. Raises ValueError for others."""
        ...

    @property
    def measures(self) -> bool:
        """Whether anybody is told what is observed."""
        ...

    def observe(self, measures: Sequence[Measure]) -> None:
        """Report all that stands at this moment; what was observed before and is not here is over."""
        ...

    async def flush(self) -> None:
        """Send what waits to be sent, for a few seconds at most. Never raises: nothing hangs on telemetry."""
        ...

    async def close(self) -> None:
        """Flush, and let go."""
        ...


class Ports(Struct, frozen=True, eq=False):
    """Everything a flow may touch, built once per process by `shared.wiring`."""

    store: Store
    topics: Topics
    images: Images
    spool: Spool
    references: References
    lanes: Mapping[str, Lane]
    """By lane name: those that answer at once."""
    batches: Batches
    live_quota: LiveQuotaSource
    flag_source: FlagSource
    signals: Signals
    clock: Clock
    chance: Callable[[], float]
    """Uniform in [0, 1)."""
    fresh: Callable[[int], str]
    """So many hexadecimal digits of chance."""
    catalogue: Catalogue
    quota: Quota
    capacity: int
    """Attempts that the whole fleet can carry at once."""
    boot: str
    """Names this process; never used again by another."""
    project: str
    key_kind: str
    room: Room = field(default_factory=EndlessRoom)
    keep_rules: KeepRules = KeepRules()
    """For a paid image that cannot be stored."""
    gateways: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By model id, the names of the gateways in use that could serve it, in the catalogue's order."""

    @property
    def gateways_in_use(self) -> frozenset[str]:
        return frozenset(name for names in self.gateways.values() for name in names)

    @property
    def open_lanes(self) -> tuple[str, ...]:
        """The names of all lanes that a route may take."""
        return (*self.lanes, "batch")
