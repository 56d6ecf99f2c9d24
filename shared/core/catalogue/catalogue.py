"""Models, lanes and prices as values. The data stands in catalogue.toml alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from msgspec import Struct, field

from shared.core.catalogue.account_tiers import NO_ACCOUNT, AccountRules
from shared.core.catalogue.batch_rules import DEFAULT_RULES, BatchRules
from shared.core.catalogue.capabilities import Capabilities, Policy
from shared.core.catalogue.skus import NO_BILLING, Billing
from shared.core.catalogue.vertex_prices import NO_RULES, VertexRules
from shared.core.messages.render_request import SIZES
from shared.core.values.lanes import BATCH, GATEWAY
from shared.core.values.parameters import SAFETY_CATEGORIES

Status: TypeAlias = Literal["live", "deprecated", "retired"]

Api: TypeAlias = Literal["interactions", "generate_content", "vertex"]
APIS: tuple[Api, ...] = ("interactions", "generate_content", "vertex")
"""`vertex`: generateContent of Vertex AI, which accepts and returns more than that of the Gemini API."""
GEMINI_APIS: tuple[Api, ...] = ("interactions", "generate_content")
Form: TypeAlias = Literal["native", "chat", "images"]
FORMS: tuple[Form, ...] = ("native", "chat", "images")
"""What a gateway speaks: generateContent, or one of the two OpenAI-compatible forms, which make 1K alone."""
Billed: TypeAlias = Literal["charged", "free", "unknown"]
FAILED_CALLS = ("without_image", "rejected", "turned_away", "failed", "broken_off")
"""A 200 without an image; 4xx; 429 and 503; other 5xx; a call that left and was not answered."""

REQUEST_BYTES = 20_000_000
"""For a request without a known limit: what the Gemini API accepted before 2026-01-08, and others copied."""
REQUESTS_OF = (*APIS, "batch")
REFERENCE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
"""Inline; by URI Google also takes gif, bmp and tiff."""

STATUSES = ("live", "deprecated", "retired")
"""deprecated = still called, with a warning; retired = never called, its successor instead."""

STALE_AFTER = timedelta(days=60)
"""A price that was checked longer ago is shown with a warning: providers change theirs several times a year."""


class UnknownModel(Exception):
    """No model of the catalogue has this id or alias."""


class Rates(Struct, frozen=True):
    """What one lane of one model costs under one contract."""

    input: Decimal
    """Micro-dollars per token (= dollars per million tokens); references count as input."""
    text_output: Decimal
    """Micro-dollars per token of text or thinking."""
    image_output: Decimal
    """Micro-dollars per token of image."""
    listed: Mapping[str, int]
    """Micro-dollars per image by size, as the price page rounds them."""
    grounding_search: int
    """Micro-dollars per search, beyond the free ones."""
    source: str
    checked: date
    api: Api = "interactions"
    """How this lane of this model is called."""


class Model(Struct, frozen=True):
    id: str
    aliases: tuple[str, ...]
    status: Status
    successor: str | None
    image_tokens: Mapping[str, int]
    """Output tokens of an image by size; its keys are the sizes the model has."""
    aspect_ratios: tuple[str, ...]
    sends_image_size: bool
    """False if the API refuses the parameter."""
    max_references: int
    reference_tokens: int
    thought_tokens: int
    """Allowance for thinking in an estimate, at the model's default level."""
    timeout: timedelta
    lanes: Mapping[str, Rates]
    source: str
    checked: date
    reference_types: tuple[str, ...] = ()
    """Types of reference images that it takes inline; none named = those of the catalogue."""
    capabilities: Capabilities = field(default_factory=Capabilities)

    def thought_tokens_at(self, level: str | None) -> int:
        """Allowance for thinking at that level; None: the model's default."""
        return self.capabilities.thought_tokens.get(level or "", self.thought_tokens)

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(size for size in SIZES if size in self.image_tokens)

    def size_for(self, wanted: str) -> str | None:
        """The smallest size of this model that is at least `wanted`; None if the model makes none as large."""
        return next((size for size in self.sizes if SIZES.index(size) >= SIZES.index(wanted)), None)


MODALITIES = ("image", "text")


class Gateway(Struct, frozen=True):
    """A provider's endpoint and its stated prices: another contract, never Google's price."""

    owner: str
    base_url: str
    form: Form
    aliases: Mapping[str, str]
    """The provider's names by model id, if they differ."""
    sizes: tuple[str, ...]
    """Sizes it can make, of those the model has."""
    timeout: timedelta
    timeout_4k: timedelta
    rpm: int | None
    """Calls per minute of one model; None = not documented."""
    concurrency: int | None
    fresh_for: timedelta
    """How long evidence of its proof is valid."""
    bills: Mapping[str, Billed]
    """What a failed call costs, by FAILED_CALLS."""
    edit_prices: Mapping[str, int]
    """Micro-dollars by model id with a reference image, if that price differs."""
    per: str
    """The unit of one price."""
    prices: Mapping[str, int]
    """Micro-dollars by model id: the models it serves."""
    source: str
    checked: date
    ask_again: timedelta = timedelta(minutes=1)
    """How long no call is sent to it after it answered that there is no balance, or that the key or the call is not
    allowed."""
    modalities: tuple[str, ...] = MODALITIES
    """What the form `chat` requests; none if the provider refuses the field."""
    image_hosts: tuple[str, ...] = ()
    """Apart from its own host, the only ones (with their subdomains) from which pictures are fetched that an answer
    names by address; none: any public host."""
    request_bytes: int = REQUEST_BYTES
    """The size that a request may have, references and prompt together, as it is sent."""


class StalePrice(Struct, frozen=True):
    """A price that has not been checked for too long."""

    what: str
    """`google gemini-3-pro-image batch`, `gateway laozhang`: a table of the catalogue."""
    checked: date

    def __str__(self) -> str:
        return f"{self.what}: checked on {self.checked.isoformat()}"


class Catalogue(Struct, frozen=True):
    models: Mapping[str, Model]
    purposes: Mapping[str, str]
    ladder: tuple[str, ...]
    """Model ids, best first."""
    default_floor_size: str
    default_floor_model: str
    draft_floor_model: str
    gateways: Mapping[str, Gateway]
    billing: Billing = NO_BILLING
    """How Google's bill names what is priced here."""
    batch: BatchRules = DEFAULT_RULES
    """When collections of the batch lane are closed, and when a stuck one is reported."""
    request_bytes: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(REQUESTS_OF, REQUEST_BYTES))
    """By form of the API, and of a request in a batch: bytes as it is sent, base64 and prompt included."""
    reference_types: tuple[str, ...] = REFERENCE_TYPES
    """Accepted inline by models that name none of their own."""
    thinking: Mapping[str, Policy] = field(default_factory=dict)
    """By purpose, the level of a request that names none; a purpose that is missing takes the model's default."""
    safety: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(APIS, SAFETY_CATEGORIES))
    """By API: the harm categories whose threshold can be set."""

    def api_of(self, lane: str, model: str) -> Api:
        """How that lane of that model is called. Batches and gateways only speak generateContent."""
        if lane in (BATCH, GATEWAY):
            return "generate_content"
        rates = self.models[model].lanes.get(lane)
        return "interactions" if rates is None else rates.api

    vertex: VertexRules = NO_RULES
    """What holds for all models of the Vertex lane."""
    account: AccountRules = NO_ACCOUNT
    """What the tiers of a billing account allow."""
    barred: Mapping[str, str] = field(default_factory=dict)
    """Lanes that the billing account does not have, with the reason."""

    def find(self, name: str) -> Model:
        """The model of that id or alias, with any status. Raises UnknownModel."""
        if name in self.models:
            return self.models[name]
        for model in self.models.values():
            if name in model.aliases:
                return model
        raise UnknownModel(name)

    def live(self, name: str) -> Model:
        """The model that is called for that id or alias: a retired one is followed to its last successor."""
        model = self.find(name)
        while model.status == "retired":
            assert model.successor is not None, "the reader refuses a retired model without successor"
            model = self.models[model.successor]
        return model

    def on_ladder(self, name: str) -> str | None:
        """The id on the ladder that stands for that id or alias: itself, else the first of its successors that is
        there. None where there is none.
        """
        model = self.find(name)
        while model.id not in self.ladder:
            if model.successor is None:
                return None
            model = self.models[model.successor]
        return model.id

    @property
    def names(self) -> tuple[str, ...]:
        """Every id and alias that a request may name."""
        return tuple(sorted({*self.models, *(alias for model in self.models.values() for alias in model.aliases)}))

    @property
    def ids_by_name(self) -> Mapping[str, str]:
        """The id that each id and alias stands for."""
        return {name: self.find(name).id for name in self.names}

    @property
    def oldest_price(self) -> date:
        return min(rates.checked for model in self.models.values() for rates in model.lanes.values())

    def stale_prices(self, today: date) -> tuple[StalePrice, ...]:
        """Those checked more than STALE_AFTER ago, oldest first; of retired models too: an answer may name one."""
        prices = [
            StalePrice(f"google {model.id} {lane}", rates.checked)
            for model in self.models.values()
            for lane, rates in model.lanes.items()
        ]
        prices += [StalePrice(f"gateway {name}", gateway.checked) for name, gateway in self.gateways.items()]
        stale = [stale_price for stale_price in prices if today - stale_price.checked > STALE_AFTER]
        return tuple(sorted(stale, key=lambda stale_price: (stale_price.checked, stale_price.what)))
