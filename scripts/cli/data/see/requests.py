"""A request as it is stored, with its attempts: looked up, formatted for people, written as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from msgspec import Struct, field, to_builtins

from shared.core.lifecycle import queries, request_record
from shared.core.lifecycle.request_view import rejected_view
from shared.core.messages.request_key import KEY_WORDS, SEPARATOR, id_of, is_key, tenant_of
from shared.core.records.attempt import AttemptRecord
from shared.core.records.note import RejectedRecord
from shared.core.records.request import RequestRecord, RequestRow
from shared.core.records.versioned import attempt_in, request_in
from shared.core.validation.addresses import without_secrets
from shared.core.values.documents import Absent, Document, Fields
from shared.core.values.status import Status
from shared.flows.requests.lookup import find_request
from shared.ports.store import Store

PROMPT_FIELDS = ("prompt", "system_instruction")
MOST_TENANTS = 20
"""How many are named if they use the same id."""


class ListedRequest(Struct, frozen=True):
    """One request, as a list shows it."""

    key: str
    """Its place in the store, and an unambiguous name for every verb: `TENANT~ID` of other tenants than `default`."""
    record: RequestRow
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def request_id(self) -> str:
        return id_of(self.key)

    @property
    def status(self) -> Status:
        return self.record.status

    @property
    def wait(self) -> timedelta | None:
        """From its acceptance to its first attempt."""
        return self.attempts[0].started_at - self.record.created_at if self.attempts else None

    @property
    def model_time(self) -> timedelta | None:
        """All attempts that have ended."""
        ended = [attempt.latency_ms for attempt in self.attempts if attempt.latency_ms is not None]
        return timedelta(milliseconds=sum(ended)) if ended else None

    @property
    def asked_size(self) -> str:
        return self.record.ask.image_size

    @property
    def delivered_size(self) -> str | None:
        receipt = self.record.receipt
        return receipt.delivered.image_size if receipt else None

    @property
    def image(self) -> str | None:
        """A path if the image is in a folder, else its URI."""
        uri = self.record.image_uri
        if uri is None:
            return None
        parts = urlsplit(uri)
        return unquote(parts.path) if parts.scheme == "file" else uri


class StoredRequest(ListedRequest, frozen=True):
    """One request, complete."""

    record: RequestRecord
    attempts: tuple[AttemptRecord, ...] = ()
    stored: Fields = field(default_factory=dict)
    """As the store has it, for the raw document."""
    stored_attempts: tuple[Fields, ...] = ()

    def document(self, *, with_prompt: bool = False) -> dict[str, Any]:
        """The status document with its attempts; the prompt only on request, the signature in a reference's address
        never."""
        request = dict(self.record.request)
        if not with_prompt:
            for name in PROMPT_FIELDS:
                request.pop(name, None)
        if references := request.get("references"):
            request["references"] = [{**item, "uri": without_secrets(item["uri"])} for item in references]
        return {
            **self.stored,
            "request": request,
            "request_id": self.request_id,
            "attempts": [dict(attempt) for attempt in self.stored_attempts],
        }


class RejectedMessage(Struct, frozen=True):
    """One message that was rejected."""

    request_id: str | None
    """The id it named, if it was valid."""
    record: RejectedRecord
    stored: Fields
    """As the store has it, for the raw document."""

    @classmethod
    def of(cls, document: Document, request_id: str | None = None) -> RejectedMessage:
        record = RejectedRecord.from_json(document.data)
        return cls(request_id or record.request_id, record, document.data)

    @property
    def status(self) -> str:
        return "rejected"

    def document(self, *, raw: bool = False, with_prompt: bool = False) -> dict[str, Any]:
        """The public view with the message's id and problems; `raw`: as it is stored.

        The excerpt of the message holds its prompt.
        """
        excerpt = {"excerpt": self.record.excerpt} if with_prompt else {}
        if raw:
            stored = {name: value for name, value in self.stored.items() if name not in ("excerpt", "expire_at")}
            return {**stored, **excerpt, "request_id": self.request_id, "status": "rejected"}
        view: dict[str, Any] = to_builtins(rejected_view(self.record))
        own = {"tenant": self.record.tenant, "request_id": self.request_id}
        if self.request_id is None:
            own["links"] = None
        message = {"message_id": self.record.message_id, "problems": to_builtins(self.record.problems)}
        return view | own | message | excerpt


def check_name(name: str) -> None:
    """Of a request: its id, or TENANT~ID. Raises click.UsageError."""
    if not is_key(name):
        raise click.UsageError(f"{name!r} is no request id; allowed: {KEY_WORDS}")


async def resolve(store: Store, name: str) -> Document | Absent:
    """The request that a person means by its id, or by TENANT~ID. Raises click.UsageError if several have the id."""
    tenant, request_id = tenant_of(name), id_of(name)
    if tenant is not None:
        return await find_request(store, tenant, request_id)
    first, others = await asyncio.gather(
        store.get(request_record.path(request_id)), store.query(queries.with_id(request_id, MOST_TENANTS))
    )
    documents = {document.path: document for document in (first, *others) if isinstance(document, Document)}
    if len(documents) > 1:
        names = sorted(
            f"{request_in(document).record.tenant}{SEPARATOR}{request_id}" for document in documents.values()
        )
        raise click.UsageError(
            f"{request_id}: found requests of several tenants: {', '.join(names)}. Use one of these names."
        )
    return next(iter(documents.values()), first)


async def find(store: Store, names: Sequence[str]) -> list[StoredRequest | Absent]:
    """With their attempts, in the order of `names`. Raises click.UsageError for an id that several tenants use."""
    documents = await asyncio.gather(*(resolve(store, name) for name in names))
    return list(await asyncio.gather(*(_with_attempts(store, document) for document in documents)))


async def find_again(store: Store, requests: Sequence[StoredRequest | Absent]) -> list[StoredRequest | Absent]:
    """In their current state, in the same order; missing ones are not looked up again."""
    keys = [request.key for request in requests if isinstance(request, StoredRequest)]
    documents = iter(await store.get_all([request_record.path(key) for key in keys]))
    now = [next(documents) if isinstance(request, StoredRequest) else request for request in requests]
    return list(await asyncio.gather(*(_with_attempts(store, document) for document in now)))


async def find_or_say(store: Store, name: str) -> StoredRequest | None:
    """None if there is no such request, which is reported."""
    (request,) = await find(store, [name])
    if isinstance(request, StoredRequest):
        return request
    click.echo(f"{name}: no such request. See `renderlane list`; ids are kept for 30 days.", err=True)
    return None


async def with_attempts(store: Store, documents: Sequence[Document]) -> list[StoredRequest]:
    requests = await asyncio.gather(*(_with_attempts(store, document) for document in documents))
    return [item for item in requests if isinstance(item, StoredRequest)]


async def rejections_of(store: Store, name: str) -> list[RejectedMessage]:
    request_id = id_of(name)
    documents = await store.query(queries.rejections_with_id(request_id, 5))
    return [RejectedMessage.of(document, request_id) for document in documents]


MOST_REJECTED = 10_000
"""That are counted."""


async def rejected(
    store: Store, tenant: str | None, since: datetime | None, until: datetime | None, limit: int
) -> tuple[list[RejectedMessage], int]:
    """The newest of them, and how many there are."""
    if tenant is None:
        query = queries.newest_rejected(since, until, MOST_REJECTED)
    else:
        query = queries.rejections_of_tenant(tenant, since, until, MOST_REJECTED)
    documents = await store.query(query)
    chosen = [RejectedMessage.of(document) for document in documents if document.is_readable]
    return chosen[:limit], len(chosen)


async def _with_attempts(store: Store, document: Document | Absent) -> StoredRequest | Absent:
    if isinstance(document, Absent):
        return document
    request = request_in(document)
    attempts = await store.query(queries.attempts_of(request.id)) if request.record.attempt_count else []
    records = tuple(attempt_in(attempt).record for attempt in attempts)
    return StoredRequest(request.id, request.record, records, request.data, tuple(attempt.data for attempt in attempts))
