"""What must be known about a gateway before a request may be sent there: six items, each with its evidence. Pure.

The operator records five of them from the provider's console, documents and logs; the sixth is a small call that
`renderlane gateway prove` makes itself. Evidence expires, and is void once the gateway's row in the catalogue changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

ITEMS: Mapping[str, str] = {
    "endpoint": "base URL, request shape, the provider's name for the model, the name it returns: clearly that model",
    "price": "unit price in the console, recharge or balance mode, generation and edit apart: accepted by finance",
    "failed-calls": "the cost of a time-out, a safety block, an upstream error, partial output: documented or in logs",
    "status-route": "rate-limit headers, status page, support, incidents: where to look before blaming Google",
    "data-boundary": "retention, region, content policy, support terms: they fit the workload and what was promised",
    "logged-test": "prompt, answer, latency, cost and status of one small call: the log matches the claim",
}
"""What to record of each, and when it passes."""
TEST = "logged-test"
TEST_PROMPT = "A plain red cube on a white table."
FRESH_FOR = timedelta(days=30)
LONGEST_EVIDENCE = 2_000


class ProofRefused(Exception):
    """The evidence proves nothing: says what is missing and what to do."""


class ProofEvidence(Stored, frozen=True):
    """The record of one item."""

    text: str
    by: str
    at: datetime
    about: str
    """Fingerprint of the gateway's row in the catalogue at that time."""
    facts: Fields = field(default_factory=dict)
    """Of the logged test."""


class Lack(Struct, frozen=True):
    """Why an item does not count."""

    item: str
    why: str

    def __str__(self) -> str:
        return f"{self.item} {self.why}"


class GatewayProof(Stored, frozen=True):
    """Of one gateway: `gateways/{name}`."""

    items: Mapping[str, ProofEvidence] = field(default_factory=dict)

    def lacks(self, about: str, now: datetime, fresh_for: timedelta = FRESH_FOR) -> tuple[Lack, ...]:
        """What is missing for the gateway whose row has this fingerprint; empty where the proof is complete."""
        reasons = ((item, _why(item, self.items.get(item), about, now, fresh_for)) for item in ITEMS)
        return tuple(Lack(item, why) for item, why in reasons if why is not None)

    def off(self, name: str, about: str, now: datetime, fresh_for: timedelta = FRESH_FOR) -> str | None:
        """Why no request goes there, in words; None if the proof is complete."""
        lacks = self.lacks(about, now, fresh_for)
        return f"gateway {name} is off, its proof is incomplete: {'; '.join(map(str, lacks))}" if lacks else None

    def with_item(self, item: str, evidence: ProofEvidence) -> GatewayProof:
        """Raises ProofRefused for an unknown item, for evidence without content, and for evidence without an author."""
        if item not in ITEMS:
            raise ProofRefused(f"no item {item!r}; allowed: {', '.join(ITEMS)}")
        if not evidence.text.strip() or not evidence.by.strip():
            raise ProofRefused(f"{item}: evidence and who gives it, both in words. What to record: {ITEMS[item]}")
        if len(evidence.text) > LONGEST_EVIDENCE:
            raise ProofRefused(f"{item}: {len(evidence.text):,} characters; at most {LONGEST_EVIDENCE:,}")
        return replace(self, items={**self.items, item: evidence})


def path(name: str) -> str:
    return f"gateways/{name}"


def _why(item: str, evidence: ProofEvidence | None, about: str, now: datetime, fresh_for: timedelta) -> str | None:
    if evidence is None:
        return "is missing"
    if evidence.about != about:
        return f"of {_day(evidence.at)} is void: the catalogue's row is another one since"
    if now - evidence.at > fresh_for:
        return f"of {_day(evidence.at)} is older than {fresh_for.days} days"
    if item == TEST and not evidence.facts.get("passed"):
        return f"of {_day(evidence.at)} failed: {evidence.facts.get('outcome')}"
    return None


def _day(at: datetime) -> str:
    return at.date().isoformat()
