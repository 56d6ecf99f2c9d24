"""The ports in memory, for virtual time: the rules of the real adapters as far as the flows lean on them."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.adapters.port_limits.store_limits import check_query, check_writes
from shared.adapters.sqlite.store import DOCUMENT_LIMIT_BYTES
from shared.core.messages.topics import DEAD_LETTER_SOURCE, RENDER_DEAD_LETTERS, SUBSCRIPTIONS, Subscription
from shared.core.observability import metrics, spans
from shared.core.observability.events import Signal
from shared.core.observability.metrics import Measure
from shared.core.observability.spans import Span, Stage
from shared.core.provider.call import Picture, Reference
from shared.core.provider.kept_image import KeptImage
from shared.core.values.documents import (
    Absent,
    Committed,
    Conflict,
    Create,
    Delete,
    Document,
    Increment,
    InvalidDocument,
    Query,
    Range,
    Update,
    Value,
    Write,
)
from shared.core.values.trace_context import Place
from shared.ports.clock import Clock
from shared.ports.images import ReferenceUnusable, StoredImage
from shared.ports.messaging import Delivery


class MemoryStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, tuple[dict[str, Value], int]] = {}
        self._collections: dict[str, dict[str, dict[str, Value]]] = defaultdict(dict)
        """The data of the rows, by collection and path: a query over a long queue looks at nothing else."""
        self._versions = itertools.count(1)
        self.commits: dict[str, int] = defaultdict(int)
        """Writes by path, for counting."""

    async def get(self, path: str) -> Document | Absent:
        await asyncio.sleep(0)
        return self._read(path)

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        await asyncio.sleep(0)
        return [self._read(path) for path in paths]

    async def query(self, query: Query) -> list[Document]:
        await asyncio.sleep(0)
        return self._find(query)

    async def count(self, query: Query) -> int:
        await asyncio.sleep(0)
        return len(self._find(query))

    async def commit(self, *writes: Write) -> Committed | Conflict:
        await asyncio.sleep(0)
        check_writes(writes)
        for write in writes:
            if isinstance(write, Create | Update):
                _check_size(write)
        if not all(self._holds(write) for write in writes):
            return Conflict()
        versions = []
        for write in writes:
            self.commits[write.path] += 1
            version = next(self._versions)
            before = self._rows.get(write.path, ({}, 0))[0]
            match write:
                case Create(path, data):
                    self._rows[path] = (_kept(data), version)
                case Update(path, changes):
                    self._rows[path] = ({**before, **_kept(changes)}, version)
                case Increment(path, amounts, also):
                    summed = {name: _number(before.get(name)) + amount for name, amount in amounts.items()}
                    self._rows[path] = ({**before, **_kept(also), **summed}, version)
                case Delete(path):
                    del self._rows[path]
            collection = self._collections[write.path.rpartition("/")[0]]
            if isinstance(write, Delete):
                del collection[write.path]
            else:
                collection[write.path] = self._rows[write.path][0]
            versions.append("" if isinstance(write, Delete) else str(version))
        return Committed(tuple(versions), self._clock.now())

    async def close(self) -> None:
        pass

    def all(self, collection: str) -> list[Document]:
        """Every document of a collection, by id."""
        return [self._document(path) for path in sorted(self._collections[collection])]

    def _read(self, path: str) -> Document | Absent:
        return self._document(path) if path in self._rows else Absent(path, self._clock.now())

    def _document(self, path: str) -> Document:
        data, version = self._rows[path]
        return Document(path, data, str(version), self._clock.now())  # copied when written; nobody may change it

    def _holds(self, write: Write) -> bool:
        match write:
            case Create(path):
                return path not in self._rows
            case Update(path=path, version=version) | Delete(path=path, version=version):
                return path in self._rows and str(self._rows[path][1]) == version
            case Increment():
                return True

    def _find(self, query: Query) -> list[Document]:
        check_query(query)
        names = [name.removeprefix("-") for name in query.order_by]
        paths = [
            path
            for path, data in self._collections[query.collection].items()
            if all(name in data and _same(data[name], value) for name, value in query.equal)
            and all(_within(data.get(bound.field), bound) for bound in query.bounds)
            and all(name in data for name in names)
        ]
        last_descends = bool(query.order_by) and query.order_by[-1].startswith("-")
        documents = [self._document(path) for path in sorted(paths, reverse=last_descends)]
        for name in reversed(query.order_by):
            plain = name.removeprefix("-")
            documents.sort(key=lambda document, by=plain: _rank(document.data[by]), reverse=name.startswith("-"))  # type: ignore[misc]
        if query.after:
            documents = [document for document in documents if _is_behind(document, query)]
        if query.fields:
            documents = [
                Document(
                    document.path,
                    {name: document.data[name] for name in query.fields if name in document.data},
                    document.version,
                    document.read_at,
                )
                for document in documents
            ]
        return documents[: query.limit]


def _check_size(write: Create | Update) -> None:
    size = _size(write.data if isinstance(write, Create) else write.changes)
    if size > DOCUMENT_LIMIT_BYTES:
        raise InvalidDocument(f"{write.path} has {size:,} bytes: a document may have {DOCUMENT_LIMIT_BYTES:,}")


def _size(value: Value) -> int:
    """Bytes of all text in it. A lone surrogate is a ValueError too (no UTF-8)."""
    match value:
        case str():
            return len(value.encode())
        case Mapping():
            return sum(_size(item) for item in value.values())
        case list() | tuple():
            return sum(_size(item) for item in value)
        case _:
            return 0


def _same(one: Value, other: Value) -> bool:
    """A value equals its own type only; whole numbers and floats are one."""
    return _kind(one) == _kind(other) and one == other


def _within(value: Value, bound: Range) -> bool:
    if value is None or _kind(value) != _kind(bound.value):
        return False
    match bound.operator:
        case "<":
            return bool(value < bound.value)
        case "<=":
            return bool(value <= bound.value)
        case ">":
            return bool(value > bound.value)
        case ">=":
            return bool(value >= bound.value)


def _is_behind(document: Document, query: Query) -> bool:
    """Whether it comes after the last document already seen."""
    for name, value in zip(query.order_by, query.after, strict=True):
        mine, last = _rank(document.data[name.removeprefix("-")]), _rank(value)
        if mine != last:
            return mine < last if name.startswith("-") else mine > last
    return False


def _number(value: Value) -> Any:
    return value if _kind(value) == "number" else 0


def _kind(value: Value) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _rank(value: Value) -> tuple[bool, str, Any]:
    """Nulls first; no order between values of several types is promised."""
    return (value is not None, _kind(value), value if value is not None else 0)


def _kept(value: Value) -> Value:
    """A copy; times in UTC."""
    match value:
        case datetime():
            return value.astimezone(UTC)
        case Mapping():
            return {name: _kept(item) for name, item in value.items()}
        case list() | tuple():
            return [_kept(item) for item in value]
        case _:
            return value


@dataclass
class Published:
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    message_id: str = ""


class MemoryTopics:
    """At-least-once queues of the subscriptions in the topology; what was published is kept for looking at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._queues: dict[str, list[Delivery]] = {subscription.name: [] for subscription in SUBSCRIPTIONS}
        self.published: list[Published] = []
        self.news = asyncio.Event()

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        await asyncio.sleep(0)
        message_id = str(next(self._ids))
        self.published.append(Published(topic, data, dict(attributes or {}), message_id))
        for subscription in SUBSCRIPTIONS:
            if subscription.topic == topic:
                self.put(subscription.name, message_id, data, dict(attributes or {}), 1)
        return message_id

    def put(self, subscription: str, message_id: str, data: bytes, attributes: dict[str, str], number: int) -> None:
        delivery = Delivery(f"{message_id}/{number}", message_id, data, attributes, self._clock.now(), number)
        self._queues[subscription].append(delivery)
        self.news.set()

    def again(self, subscription: Subscription, delivery: Delivery) -> None:
        """Deliver once more, or bury it when its deliveries are used up."""
        attributes = dict(delivery.attributes)
        if 0 < subscription.max_deliveries <= delivery.number:
            attributes[DEAD_LETTER_SOURCE] = subscription.name
            for item in SUBSCRIPTIONS:
                if item.topic == RENDER_DEAD_LETTERS:
                    self.put(item.name, delivery.message_id, delivery.data, attributes, 1)
            return
        self.put(subscription.name, delivery.message_id, delivery.data, attributes, delivery.number + 1)

    def take(self, subscription: str) -> list[Delivery]:
        taken, self._queues[subscription] = self._queues[subscription], []
        return taken

    def take_one(self, subscription: str, at: int) -> Delivery:
        return self._queues[subscription].pop(at)

    def waiting(self, subscription: str) -> int:
        return len(self._queues[subscription])

    def ids_waiting(self, subscription: str) -> set[str]:
        return {delivery.message_id for delivery in self._queues[subscription]}

    def on(self, topic: str) -> list[Published]:
        return [item for item in self.published if item.topic == topic]

    async def close(self) -> None:
        pass


class MemoryImages:
    def __init__(self) -> None:
        self.stored: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.links = False
        """Whether it gives addresses, as a bucket does."""

    async def put(self, key: str, picture: Picture, facts: Mapping[str, str]) -> StoredImage:
        await asyncio.sleep(0)
        self.stored.setdefault(key, (picture.data, dict(facts)))
        return self._image(key)

    async def find(self, prefix: str) -> StoredImage | None:
        await asyncio.sleep(0)
        return next((self._image(key) for key in self.stored if key.startswith(prefix)), None)

    async def link(self, uri: str, lasts: timedelta) -> str | None:
        if not self.links:
            return None
        return f"https://images.example/{uri.removeprefix('memory://')}?lasts={lasts.total_seconds():.0f}"

    async def read(self, uri: str) -> bytes:
        return self.stored[uri.removeprefix("memory://")][0]

    def _image(self, key: str) -> StoredImage:
        data, facts = self.stored[key]
        return StoredImage(f"memory://{key}", key, len(data), facts)


class MemorySpool:
    """Outlives the processes of a world, as a disk does."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Picture, dict[str, str]]] = {}

    async def keep(self, key: str, picture: Picture, facts: Mapping[str, str]) -> KeptImage:
        await asyncio.sleep(0)
        self.kept[key] = (picture, dict(facts))
        return self._image(key)

    async def find(self, prefix: str) -> KeptImage | None:
        await asyncio.sleep(0)
        return next((self._image(key) for key in self.kept if key.startswith(prefix)), None)

    async def read(self, kept: KeptImage) -> Picture:
        await asyncio.sleep(0)
        return self.kept[kept.key][0]

    async def drop(self, kept: KeptImage) -> None:
        await asyncio.sleep(0)
        self.kept.pop(kept.key, None)

    def close(self) -> None:
        pass

    def _image(self, key: str) -> KeptImage:
        return KeptImage(key, f"spool://{key}", self.kept[key][1])


@dataclass
class MemoryReferences:
    images: dict[str, bytes] = field(default_factory=dict)
    allowed: tuple[str, ...] = ("gs://allowed/",)
    fetched: list[str] = field(default_factory=list)

    def check(self, uri: str, tenant: str) -> None:
        if not uri.startswith(self.allowed):
            raise ReferenceUnusable(f"{uri} lies in no allowed place")

    async def size(self, uri: str, tenant: str) -> int | None:
        await asyncio.sleep(0)
        return len(self.images[uri]) if uri in self.images else None

    async def fetch(self, uri: str, tenant: str, mime_type: str | None, most: int | None = None) -> Reference:
        await asyncio.sleep(0)
        self.fetched.append(uri)
        if uri not in self.images:
            raise ReferenceUnusable(f"{uri} does not exist")
        return Reference(mime_type or "image/png", self.images[uri])


class RecordedSignals:
    def __init__(self) -> None:
        self.emitted: list[tuple[Signal, dict[str, object]]] = []
        self.spans: list[Span] = []
        self.observed: list[Measure] = []
        self.measures = False
        """Observing reads the store, and some tests count its reads."""

    def emit(self, signal: Signal, **fields: object) -> None:
        assert signal.declares(fields), (signal.name, set(fields) ^ set(signal.fields))
        self.emitted.append((signal, fields))

    def samples(self, _trace_id: str, _caller: Place | None) -> bool:
        return True

    def span(self, span: Span) -> None:
        spans.check(span)
        for measure in metrics.of_span(span):
            metrics.check(measure)
        self.spans.append(span)

    def observe(self, measures: Sequence[Measure]) -> None:
        for measure in measures:
            metrics.check(measure)
        self.observed = list(measures)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def of(self, signal: Signal) -> list[dict[str, object]]:
        return [fields for item, fields in self.emitted if item is signal]

    def stages(self, stage: Stage) -> list[Span]:
        return [span for span in self.spans if span.stage is stage]


PATIENCE = timedelta(seconds=10)
"""After which a delivery whose process died comes again."""
