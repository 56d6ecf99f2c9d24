"""What a run lost, paid twice or cannot explain, by four accounts: store, images, results, the provider's bill.

It knows nothing of how the worker works: it compares what each account says of the same request. A request is found in
the provider's bill by the label `request_id` of its calls.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from msgspec import Struct, field

FINAL = ("succeeded", "refused", "failed", "expired", "cancelled")
JPEG = (b"\xff\xd8\xff", b"\xff\xd9")


class Accounts(Struct, frozen=True):
    """What the four say, when all is over."""

    published: Sequence[str]
    """Ids of the requests."""
    documents: Mapping[str, Mapping[str, Any]]
    """By request id, as they lie in the store."""
    attempts: Mapping[str, Sequence[Mapping[str, Any]]]
    images: Mapping[str, bytes | None]
    """By request id, the bytes at its `image_uri`; None where there are none."""
    results: Sequence[Mapping[str, Any]]
    calls: Sequence[Mapping[str, Any]]
    """The provider's record."""
    left_with_provider: int = 0
    """Interactions that it still keeps."""


class Report(Struct, frozen=True):
    """The figures of a run, and every contradiction between the accounts."""

    requests: int
    by_status: Mapping[str, int]
    failed_as: Mapping[str, int]
    charged: int
    paid_twice: int
    """Charges beyond the first of each request."""
    billed_micros: int
    booked_micros: int
    unknown_attempts: int
    """Attempts of unknown cost; each may have been charged once."""
    refused_background: int
    """Calls that the provider refused because they were to run in the background."""
    settle_ms: float | None
    """Half of the requests: from the end of the model's work to the request's own end, at most."""
    left_with_provider: int
    problems: Sequence[str] = field(default_factory=list)

    @property
    def twice_share(self) -> float:
        return self.paid_twice / max(1, self.requests)

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "by_status": dict(self.by_status),
            "failed_as": dict(self.failed_as),
            "charged_calls": self.charged,
            "paid_twice": self.paid_twice,
            "paid_twice_share": round(self.twice_share, 6),
            "billed_usd": round(self.billed_micros / 1e6, 6),
            "booked_usd": round(self.booked_micros / 1e6, 6),
            "attempts_of_unknown_cost": self.unknown_attempts,
            "refused_background_calls": self.refused_background,
            "model_end_to_result_p50_ms": self.settle_ms,
            "interactions_left_with_provider": self.left_with_provider,
            "problems": list(self.problems),
        }


def check(accounts: Accounts) -> Report:
    charges = _charges(accounts.calls)
    problems = [
        *_lost(accounts),
        *_images(accounts),
        *_results(accounts),
        *_strange_charges(accounts, charges),
        *(problem for name in accounts.published for problem in _books(name, accounts, charges.get(name, []))),
    ]
    if accounts.left_with_provider:
        problems.append(f"{accounts.left_with_provider} interactions are still with the provider")
    documents = accounts.documents.values()
    attempts = [attempt for name in accounts.published for attempt in accounts.attempts.get(name, [])]
    return Report(
        requests=len(accounts.published),
        by_status=Counter(str(document["status"]) for document in documents),
        failed_as=Counter(str(document["outcome"]["code"]) for document in documents if document["status"] == "failed"),
        charged=sum(map(len, charges.values())),
        paid_twice=sum(max(0, len(rows) - 1) for rows in charges.values()),
        billed_micros=sum(row["cost_micros"] for rows in charges.values() for row in rows),
        booked_micros=sum(attempt["cost_micros"] or 0 for attempt in attempts if _is_priced(attempt)),
        unknown_attempts=sum(not _is_priced(attempt) for attempt in attempts),
        refused_background=_refusals(accounts.calls),
        settle_ms=_settle_ms(accounts, charges),
        left_with_provider=accounts.left_with_provider,
        problems=problems,
    )


def _charges(calls: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    charges: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for call in calls:
        if call["charged"]:
            charges[str(call["marker"])].append(call)
    return charges


def _refusals(calls: Iterable[Mapping[str, Any]]) -> int:
    return sum(call["status"] == 400 and call["outcome"] == "invalid_request" for call in calls)


def _lost(accounts: Accounts) -> Iterable[str]:
    for name in accounts.published:
        document = accounts.documents.get(name)
        if document is None:
            yield f"{name}: published, and the store has never heard of it"
        elif document["status"] not in FINAL:
            yield f"{name}: still {document['status']}"
    for name in accounts.documents.keys() - set(accounts.published):
        yield f"{name}: in the store, and nobody published it"


def _images(accounts: Accounts) -> Iterable[str]:
    places = Counter(document["image_uri"] for document in accounts.documents.values() if document["image_uri"])
    yield from (f"{uri}: the image of {count} requests" for uri, count in places.items() if count > 1)
    for name, document in accounts.documents.items():
        if document["status"] != "succeeded":
            continue
        content = accounts.images.get(name)
        if content is None:
            yield f"{name}: succeeded, and there is no image"
        elif not (content.startswith(JPEG[0]) and content.rstrip(b"\0").endswith(JPEG[1])):
            yield f"{name}: succeeded, and its image is no whole JPEG"


def _results(accounts: Accounts) -> Iterable[str]:
    announced: dict[str, set[str]] = defaultdict(set)
    for result in accounts.results:
        announced[str(result["request_id"])].add(str(result["status"]))
    for name, document in accounts.documents.items():
        if document["status"] in FINAL and announced.get(name) != {document["status"]}:
            yield f"{name}: {document['status']}, announced as {sorted(announced.get(name, set())) or 'nothing'}"


def _strange_charges(accounts: Accounts, charges: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    for name in charges.keys() - set(accounts.published):
        yield f"{name or 'a call without a label'}: charged, and nobody published it"


def _books(name: str, accounts: Accounts, charges: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Each cost in the books is a charge of the bill; each other charge stands behind an attempt of unknown cost."""
    attempts = accounts.attempts.get(name, [])
    priced = [attempt for attempt in attempts if _is_priced(attempt)]
    booked = Counter(int(attempt["cost_micros"]) for attempt in priced if attempt["cost_micros"])
    billed = Counter(int(charge["cost_micros"]) for charge in charges)
    for cost in (booked - billed).elements():
        yield f"{name}: {cost} micros are booked, and the provider has not charged them"
    unknown = len(attempts) - len(priced)
    unexplained = (billed - booked).total()
    if unexplained > unknown:
        yield f"{name}: {unexplained} charges are not booked, and {unknown} attempts have an unknown cost"


def _is_priced(attempt: Mapping[str, Any]) -> bool:
    return attempt["cost_basis"] != "unknown" and attempt["outcome"] is not None


def _settle_ms(accounts: Accounts, charges: Mapping[str, Sequence[Mapping[str, Any]]]) -> float | None:
    spans = []
    for name, document in accounts.documents.items():
        rows = charges.get(name, [])
        if document["status"] == "succeeded" and len(rows) == 1 and rows[0]["finished_at"]:
            ended_at: datetime = document["finished_at"]
            spans.append((ended_at - datetime.fromisoformat(rows[0]["finished_at"])).total_seconds() * 1000)
    return round(median(spans), 1) if spans else None
