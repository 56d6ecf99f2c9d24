"""What the provider charges: every call on record, priced in exact integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from scripts.simulator.provider.models import ImageModel, Tier, TokenPrices
from scripts.simulator.provider.parameters import Parameters
from scripts.simulator.provider.tokens import NOTHING, TokenUsage

Api = Literal[
    "interactions",
    "interaction_get",
    "interaction_cancel",
    "interaction_delete",
    "webhook",
    "generate_content",
    "batch",
    "batch_create",
    "batch_look",
    "batch_list",
    "file_upload",
    "file_download",
    "chat",
    "images",
    "vertex",
]
"""`batch` is one line of a batch; `chat` and `images` are a gateway's, `vertex` is Vertex AI's generateContent. What an
endpoint of interactions, batches or files is named for beyond the call itself, and `webhook`, the sending of one event,
makes no picture and is on no bill."""


def cost_micros(model: ImageModel, tier: Tier, usage: TokenUsage) -> int:
    """Micro-dollars: summed in nano-dollars, rounded half up once, at the end."""
    rates: TokenPrices = model.rates[tier]
    nanos = (
        usage.total_in * rates.input
        + (usage.text_out + usage.thoughts) * rates.text
        + usage.image_out * rates.image
        + usage.searches * model.grounding_nanos_per_query
    )
    return (nanos + 500) // 1000


class RecordedCall(Struct, frozen=True, kw_only=True):
    """One HTTP call that asked for a picture, from its arrival on."""

    number: int
    """From 1, in order of arrival."""
    received_at: datetime
    api: Api
    finished_at: datetime | None = None
    """None while in flight."""
    model: str = ""
    """As asked for."""
    served_model: str = ""
    size: str = ""
    ratio: str = ""
    tier: str = ""
    """Asked for until served, then the served one."""
    status: int | None = None
    """HTTP status; None when no answer was given."""
    outcome: str = "in_flight"
    """`image`, an error code, or the kind of the fault that decided it."""
    prompt_sha256: str = ""
    marker: str = ""
    """The caller's label `request_id`."""
    client_disconnected: bool = False
    """The client had left by the time the answer was ready; a picture that was made is still charged."""
    parameters: Parameters = Parameters()
    """As asked for, and once accepted with the level of thinking that was taken."""
    usage: TokenUsage = NOTHING
    charged: bool = False
    cost_micros: int = 0


class BillTotal(Struct):
    calls: int = 0
    charged_calls: int = 0
    images: int = 0
    text_in: int = 0
    image_in: int = 0
    text_out: int = 0
    image_out: int = 0
    thoughts: int = 0
    searches: int = 0
    cost_micros: int = 0

    def add(self, call: RecordedCall) -> None:
        self.calls += 1
        if not call.charged:
            return
        self.charged_calls += 1
        self.images += call.usage.image_out > 0
        self.text_in += call.usage.text_in
        self.image_in += call.usage.image_in
        self.text_out += call.usage.text_out
        self.image_out += call.usage.image_out
        self.thoughts += call.usage.thoughts
        self.searches += call.usage.searches
        self.cost_micros += call.cost_micros


class ProviderBill(Struct, frozen=True):
    total: BillTotal
    by_model: Mapping[str, BillTotal]
    """By the model that served, since that is what is charged."""
    by_tier: Mapping[str, BillTotal]
    by_outcome: Mapping[str, int]


def settle(calls: Iterable[RecordedCall]) -> ProviderBill:
    total = BillTotal()
    by_model: dict[str, BillTotal] = {}
    by_tier: dict[str, BillTotal] = {}
    by_outcome: dict[str, int] = {}
    for call in calls:
        total.add(call)
        by_model.setdefault(call.served_model or call.model, BillTotal()).add(call)
        by_tier.setdefault(call.tier, BillTotal()).add(call)
        by_outcome[call.outcome] = by_outcome.get(call.outcome, 0) + 1
    return ProviderBill(total=total, by_model=by_model, by_tier=by_tier, by_outcome=by_outcome)


class Ledger:
    """The calls of a simulation, in order of arrival."""

    def __init__(self) -> None:
        self._calls: list[RecordedCall] = []

    def open(self, received_at: datetime, api: Api) -> RecordedCall:
        call = RecordedCall(number=len(self._calls) + 1, received_at=received_at, api=api)
        self._calls.append(call)
        return call

    def current(self, call: RecordedCall) -> RecordedCall:
        """The line as it stands now; after a reset, as it was given."""
        return self._calls[call.number - 1] if self._has(call) else call

    def update(self, call: RecordedCall) -> None:
        # A call that began before a reset has no line any more.
        if self._has(call):
            self._calls[call.number - 1] = call

    def _has(self, call: RecordedCall) -> bool:
        return call.number <= len(self._calls) and self._calls[call.number - 1].received_at == call.received_at

    def since(self, number: int = 0) -> list[RecordedCall]:
        """The calls numbered above `number`."""
        return self._calls[max(0, number) :]

    def bill(self) -> ProviderBill:
        return settle(self._calls)

    def clear(self) -> None:
        self._calls.clear()


def usage_json(usage: TokenUsage) -> dict[str, Any]:
    return {
        "text_in": usage.text_in,
        "image_in": usage.image_in,
        "text_out": usage.text_out,
        "image_out": usage.image_out,
        "thoughts": usage.thoughts,
        "searches": usage.searches,
    }
