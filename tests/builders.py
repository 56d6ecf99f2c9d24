"""One builder per value: each gives a sound one, and takes what a test cares about by name."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from shared.core.accounting.ledger import LedgerRow
from shared.core.admission.allocation import Candidate
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.reader import read_catalogue
from shared.core.lifecycle import head_changes, request_record, settlement
from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import RenderRequest
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.stored_image import Delivered
from shared.core.provider.usage import Usage
from shared.core.records.request import HEAD_FIELDS, RequestRecord, UnusedSlot
from shared.core.records.versioned import Attempt, Request, Versioned
from shared.core.routing import ladder
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.times.leases import LEASE
from shared.core.values.lanes import BUILT as LANES

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CATALOGUE_FILE = Path(__file__).parent.parent / "shared" / "catalogue.toml"


def a_payload(**fields: Any) -> dict[str, Any]:
    """A decoded message on render-requests; `fields` in the words of the contract."""
    return {"request_id": "spring-hero-001", "prompt": "a black mechanical keyboard"} | fields


def a_request(**fields: Any) -> RenderRequest:
    return RenderRequest.parse(a_payload(**fields))


@cache
def a_catalogue() -> Catalogue:
    """The shipped one."""
    return read_catalogue(CATALOGUE_FILE.read_text("utf-8"))


def a_planned(request: RenderRequest | None = None, lanes: Collection[str] = LANES) -> Planned:
    planned = ladder.first_plan(Requirements.of(request or a_request()), a_catalogue(), lanes)
    assert isinstance(planned, Planned), planned
    return planned


def a_record(request: RenderRequest | None = None, *, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """`requests/{request_id}` as intake writes it, with some fields changed since."""
    request = request or a_request()
    written = request_record.new_record(
        request,
        a_planned(request),
        fair_tag=now.timestamp(),
        message_id="message-1",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        now=now,
    ).to_json()
    unknown = changes.keys() - written.keys()
    assert not unknown, f"a request has no field {sorted(unknown)}"
    return written | changes


def a_request_record(request: RenderRequest | None = None, *, now: datetime = NOW, **changes: Any) -> RequestRecord:
    return RequestRecord.from_json(a_record(request, now=now, **changes))


def a_head(
    request_id: str = "spring-hero-001",
    *,
    model: str = "gemini-3-pro-image",
    priority: str = "normal",
    tenant: str = "default",
    fair_tag: float = 0.0,
    deadline: datetime | None = None,
    late_count: int = 0,
    unused_slot: UnusedSlot | None = None,
    prompt: str = "a black mechanical keyboard",
) -> Head:
    request = a_request(request_id=request_id, model=model, priority=priority, tenant=tenant, prompt=prompt)
    unused = unused_slot.to_json() if unused_slot else None
    written = a_record(request, fair_tag=fair_tag, deadline=deadline, late_count=late_count, unused_slot=unused)
    return Head.of(request_id, "version-1", {name: written[name] for name in HEAD_FIELDS})


def a_candidate(request_id: str = "spring-hero-001", **head: Any) -> Candidate:
    """A head with its planned route; the keywords are those of `a_head`."""
    head_ = a_head(request_id, **head)
    planned = ladder.first_plan(head_.ask, a_catalogue(), LANES)
    assert isinstance(planned, Planned), planned
    return Candidate(head_, planned)


def candidates(count: int, prefix: str = "r", **head: Any) -> list[Candidate]:
    """So many alike, `prefix-0`, `prefix-1` and so on, with fair tags 0, 1, ...: parsed once, quick for long queues."""
    first = a_candidate(f"{prefix}-0", **head)
    return [
        replace(first, head=replace(first.head, request_id=f"{prefix}-{number}", fair_tag=float(number)))
        for number in range(count)
    ]


def an_attempt(
    request: RenderRequest | None = None, number: int = 1, *, now: datetime = NOW, **changes: Any
) -> tuple[Request, Attempt]:
    """A request that is rendering, and the attempt that is on record for it; `changes` are the request's."""
    request = request or a_request()
    written = a_record(request, now=now)
    written |= head_changes.released(
        a_head_of(request, written), a_planned(request), now, now + timedelta(seconds=0.4), now
    )
    written |= {"status": "rendering", "attempt_count": number, "lease_holder": "boot-1"}
    written |= {"lease_until": now + LEASE} | changes
    record = RequestRecord.from_json(written)
    opened = settlement.open_attempt(record, number, holder="boot-1", key_kind="auth", owner="local", now=now)
    path = request_record.path(request.request_id)
    return (
        Versioned(path, written, "version-1", now, record),
        Versioned(request_record.attempt_path(request.request_id, number), opened.to_json(), "version-1", now, opened),
    )


def a_head_of(request: RenderRequest, written: dict[str, Any]) -> Head:
    """The head of a request as it stands in the store."""
    return Head.of(request.request_id, "version-1", written)


def a_usage(**tokens: int) -> Usage:
    """What a Nano Banana 2.1 image of 1K is answered with."""
    return replace(Usage(text_in=22, image_out=1120, thought=210), **tokens)


def a_failure(kind: FailureKind = FailureKind.OVERLOAD, message: str = "the provider said no", **more: Any) -> Failure:
    return Failure(kind, message, **more)


def a_statement(kind: FailureKind, **more: Any) -> Failure:
    """A failure in which the provider names the shared thing itself."""
    return Failure(kind, "the provider says so", explicit=True, **more)


def a_delivered(**changes: Any) -> Delivered:
    """A stored image of 1K by the model that "default" means."""
    delivered = Delivered(
        image_uri="file:///images/1.jpg",
        width=1024,
        height=1024,
        usage=a_usage(),
        model="gemini-nano-banana-2.1",
        lane="standard",
        provider_request_id="v1_x",
    )
    return replace(delivered, **changes)


def a_ledger_row(**fields: Any) -> LedgerRow:
    """Labels and amounts, as the ledger has them."""
    labels = {"day": "2026-11-22", "tenant": "web", "model": "m", "lane": "standard", "flag": ""}
    return LedgerRow.from_json(labels | fields)
