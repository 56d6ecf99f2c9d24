"""A request as the store holds it, with its attempts: looked up, read for people, written as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from msgspec import Struct, to_builtins

from shared.core.lifecycle import queries, request_record
from shared.core.lifecycle.request_view import rejected_view
from shared.core.messages.request_key import KEY_WORDS, SEPARATOR, id_of, is_key, tenant_of
from shared.core.values.documents import Absent, Document, Fields, Query
from shared.flows.requests.lookup import find_request
from shared.ports.store import Store

MOST_TENANTS = 20
"""That are named where they use the same id."""


class Found(Struct, frozen=True):
    """One request."""

    key: str
    """Its place in the store, and an unambiguous name for every verb: `TENANT~ID` of other tenants than `default`."""
    data: Fields
    attempts: tuple[Fields, ...] = ()

    @property
    def request_id(self) -> str:
        return id_of(self.key)

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def wait(self) -> timedelta | None:
        """From its acceptance to its first attempt."""
        if not self.attempts:
            return None
        waited: timedelta = self.attempts[0]["started_at"] - self.data["created_at"]
        return waited

    @property
    def model_time(self) -> timedelta | None:
        """All attempts that have ended."""
        ended = [attempt["latency_ms"] for attempt in self.attempts if attempt["latency_ms"] is not None]
        return timedelta(milliseconds=sum(ended)) if ended else None

    @property
    def asked_size(self) -> str:
        return str(self.data["ask"]["image_size"])

    @property
    def delivered_size(self) -> str | None:
        receipt = self.data["receipt"]
        return str(receipt["delivered"]["image_size"]) if receipt else None

    @property
    def image(self) -> str | None:
        """A path where the image lies in a folder, else its URI."""
        uri = self.data["image_uri"]
        if uri is None:
            return None
        parts = urlsplit(uri)
        return unquote(parts.path) if parts.scheme == "file" else str(uri)

    def document(self, *, with_prompt: bool = False) -> dict[str, Any]:
        """The status document with its attempts; the prompt only for those who ask for it."""
        request = dict(self.data["request"])
        if not with_prompt:
            request.pop("prompt", None)
        return {
            **self.data,
            "request": request,
            "request_id": self.request_id,
            "attempts": [dict(attempt) for attempt in self.attempts],
        }


class Rejected(Struct, frozen=True):
    """One message that could not be taken."""

    request_id: str | None
    """The id it named, where it named a valid one."""
    data: Fields

    @property
    def status(self) -> str:
        return "rejected"

    def document(self, *, raw: bool = False, with_prompt: bool = False) -> dict[str, Any]:
        """The public view with the message's id and problems; `raw`: as it is stored.

        The excerpt of the message holds its prompt.
        """
        excerpt = {"excerpt": self.data["excerpt"]} if with_prompt else {}
        if raw:
            stored = {name: value for name, value in self.data.items() if name not in ("excerpt", "expire_at")}
            return {**stored, **excerpt, "request_id": self.request_id, "status": "rejected"}
        view: dict[str, Any] = to_builtins(rejected_view(self.data))
        own = {"tenant": self.data.get("tenant"), "request_id": self.request_id}
        if self.request_id is None:
            own["links"] = None
        return view | own | {name: self.data.get(name) for name in ("message_id", "problems")} | excerpt


def check_name(name: str) -> None:
    """Of a request: its id, or TENANT~ID. Raises click.UsageError."""
    if not is_key(name):
        raise click.UsageError(f"{name!r} is no request id; allowed: {KEY_WORDS}")


async def resolve(store: Store, name: str) -> Document | Absent:
    """The request that a person means by its id, or by TENANT~ID. Raises click.UsageError where several have the id."""
    tenant, request_id = tenant_of(name), id_of(name)
    if tenant is not None:
        return await find_request(store, tenant, request_id)
    first, others = await asyncio.gather(
        store.get(request_record.path(request_id)), store.query(queries.with_id(request_id, MOST_TENANTS))
    )
    documents = {document.path: document for document in (first, *others) if isinstance(document, Document)}
    if len(documents) > 1:
        names = sorted(f"{document.data['tenant']}{SEPARATOR}{request_id}" for document in documents.values())
        raise click.UsageError(
            f"{request_id}: found requests of several tenants: {', '.join(names)}. Use one of these names."
        )
    return next(iter(documents.values()), first)


async def find(store: Store, names: Sequence[str]) -> list[Found | Absent]:
    """With their attempts, in the order of `names`. Raises click.UsageError for an id that several tenants use."""
    documents = await asyncio.gather(*(resolve(store, name) for name in names))
    return list(await asyncio.gather(*(_with_attempts(store, document) for document in documents)))


async def find_again(store: Store, requests: Sequence[Found | Absent]) -> list[Found | Absent]:
    """As they are now, in the same order; what was absent is not looked for."""
    keys = [request.key for request in requests if isinstance(request, Found)]
    documents = iter(await store.get_all([request_record.path(key) for key in keys]))
    now = [next(documents) if isinstance(request, Found) else request for request in requests]
    return list(await asyncio.gather(*(_with_attempts(store, document) for document in now)))


async def find_or_say(store: Store, name: str) -> Found | None:
    """None where there is no such request, and that is said."""
    (found,) = await find(store, [name])
    if isinstance(found, Found):
        return found
    click.echo(f"{name}: no such request. See `renderlane list`; ids are kept for 30 days.", err=True)
    return None


async def with_attempts(store: Store, documents: Sequence[Document]) -> list[Found]:
    found = await asyncio.gather(*(_with_attempts(store, each) for each in documents))
    return [each for each in found if isinstance(each, Found)]


async def rejections_of(store: Store, name: str) -> list[Rejected]:
    request_id = id_of(name)
    documents = await store.query(Query("rejected", equal=(("request_id", request_id),), limit=5))
    return [Rejected(request_id, document.data) for document in documents]


MOST_REJECTED = 10_000
"""That are counted."""


async def rejected(
    store: Store, tenant: str | None, since: datetime | None, until: datetime | None, limit: int
) -> tuple[list[Rejected], int]:
    """The newest of them, and how many there are."""
    documents = await store.query(queries.newest_rejected(since, until, MOST_REJECTED))
    chosen = [
        document
        for document in documents
        if document.is_readable and tenant in (None, document.data.get("tenant"))
    ]  # fmt: skip
    return [Rejected(document.data["request_id"], document.data) for document in chosen[:limit]], len(chosen)


async def _with_attempts(store: Store, document: Document | Absent) -> Found | Absent:
    if isinstance(document, Absent):
        return document
    attempts = await store.query(queries.attempts_of(document.id)) if document.data["attempt_count"] else []
    return Found(document.id, document.data, tuple(attempt.data for attempt in attempts))
