"""Reads the catalogue from TOML text. A broken catalogue is refused with the line and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.core.catalogue.account_tiers import NO_ACCOUNT, AccountRules, Tier
from shared.core.catalogue.batch_rules import DEFAULT_RULES, LARGEST_FILE, BatchRules
from shared.core.catalogue.capabilities import POLICIES, Capabilities, Policy
from shared.core.catalogue.capability_reader import CAPABILITY_KEYS, CapabilityFields
from shared.core.catalogue.catalogue import (
    GEMINI_APIS,
    REFERENCE_TYPES,
    REQUEST_BYTES,
    REQUESTS_OF,
    STATUSES,
    Api,
    Catalogue,
    Model,
    Rates,
    Status,
)
from shared.core.catalogue.gateway_reader import GatewayFields
from shared.core.catalogue.skus import NO_BILLING, PARTS, Billing
from shared.core.catalogue.toml_errors import found_text
from shared.core.catalogue.vertex_prices import NO_RULES, VertexRules
from shared.core.messages.render_request import PURPOSES, SIZES
from shared.core.values import lanes as lane_table
from shared.core.values.money import MICROS_PER_USD, round_micros
from shared.core.values.parameters import SAFETY_CATEGORIES

HOUR = timedelta(hours=1)
_TABLES = ("purposes", "ladder", "floor", "models", "google", "gateways")
MOST_REQUEST_BYTES = 2_000_000_000
ALL_TYPES = (*REFERENCE_TYPES, "image/gif", "image/bmp", "image/tiff", "image/avif")


def read_catalogue(text: str) -> Catalogue:
    """Raises BrokenCatalogue."""
    reader = _Reader(text)
    return reader.catalogue(reader.tables())


class _Reader(GatewayFields, CapabilityFields):
    """Turns tables into values."""

    def catalogue(self, tables: Mapping[str, Any]) -> Catalogue:
        self.only(tables, (*_TABLES, "thinking", "requests", "billing", "batch", "vertex", "account"), ())
        models_table = self.table(tables, "models", ())
        prices = self.table(tables, "google", ())
        for name in prices:
            if name not in models_table:
                self.refuse(("google", name), "prices of a model that has no [models] table")
        models = {
            name: self.model(
                name,
                self.table(models_table, name, ("models",)),
                self.table(prices, name, ("google",)) if name in prices else {},
            )
            for name in models_table
        }
        self.no_name_twice(models)
        for model in models.values():
            self.successors(model, models)
        names = {*models, *(alias for model in models.values() for alias in model.aliases)}
        purposes = self.table(tables, "purposes", ())
        self.only(purposes, PURPOSES, ("purposes",))
        floor = self.table(tables, "floor", ())
        self.only(floor, ("image_size", "model", "draft_model"), ("floor",))
        ladder = self.words(self.table(tables, "ladder", ()), "models", ("ladder",))
        for name in ladder:
            if name not in models or models[name].status == "retired":
                self.refuse(("ladder", "models"), f"{name!r}, which is no live model of [models]")
            if ladder.count(name) > 1:
                self.refuse(("ladder", "models"), f"{name!r} twice")
        catalogue = Catalogue(
            models=models,
            purposes={purpose: self.one_of(purposes, purpose, ("purposes",), sorted(names)) for purpose in PURPOSES},
            ladder=ladder,
            default_floor_size=self.one_of(floor, "image_size", ("floor",), SIZES),
            default_floor_model=self.one_of(floor, "model", ("floor",), sorted(names)),
            draft_floor_model=self.one_of(floor, "draft_model", ("floor",), sorted(names)),
            gateways=self.gateways(self.table(tables, "gateways", ()) if "gateways" in tables else {}, models),
            billing=self.billing(self.table(tables, "billing", ()), models) if "billing" in tables else NO_BILLING,
            batch=self.batch(self.table(tables, "batch", ())) if "batch" in tables else DEFAULT_RULES,
            thinking=self.policies(self.table(tables, "thinking", ())) if "thinking" in tables else {},
            vertex=self.vertex(self.table(tables, "vertex", ())) if "vertex" in tables else NO_RULES,
            account=self.account(self.table(tables, "account", ())) if "account" in tables else NO_ACCOUNT,
            **(self.requests(self.table(tables, "requests", ())) if "requests" in tables else {}),
        )
        for purpose, name in catalogue.purposes.items():
            self.in_use(("purposes", purpose), name, catalogue)
        self.in_use(("floor", "model"), catalogue.default_floor_model, catalogue)
        self.in_use(("floor", "draft_model"), catalogue.draft_floor_model, catalogue)
        return catalogue

    def in_use(self, at: tuple[str, ...], name: str, catalogue: Catalogue) -> None:
        """Refuse a purpose or a floor whose model cannot be called, or is not on the ladder."""
        model = catalogue.find(name)
        if model.id in catalogue.ladder:
            return
        instead = catalogue.on_ladder(name)
        remedy = f"name its successor {instead}" if instead else f"name one of {', '.join(catalogue.ladder)}"
        self.refuse(at, f"{name!r}, which is {model.status} and not in [ladder] models; {remedy}")

    def policies(self, table: Mapping[str, Any]) -> dict[str, Policy]:
        """By purpose, the thinking of a request that names no level."""
        at = ("thinking",)
        self.only(table, (*PURPOSES, "source", "checked", "note"), at)
        self.typed(table, "source", at, str, "where the levels come from, in quotes")
        self.day(table, "checked", at)
        return {
            purpose: self.one_of(table, purpose, at, POLICIES)  # type: ignore[misc]
            for purpose in PURPOSES
            if purpose in table
        }

    def requests(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """How large a request may be, and which reference images it may hold."""
        at = ("requests",)
        self.only(table, ("bytes", "reference_types", "safety", "source", "checked", "note"), at)
        self.typed(table, "source", at, str, "where the limits come from, in quotes")
        self.day(table, "checked", at)
        sizes = self.table(table, "bytes", at)
        self.only(sizes, REQUESTS_OF, (*at, "bytes"))
        return {
            "request_bytes": {
                item: self.whole(sizes, item, (*at, "bytes"), least=10_000, most=MOST_REQUEST_BYTES)
                if item in sizes or item != lane_table.VERTEX
                else REQUEST_BYTES
                for item in REQUESTS_OF
            },
            "reference_types": self.image_types(table, at),
            **({"safety": self.by_api(table, "safety", at, SAFETY_CATEGORIES)} if "safety" in table else {}),
        }

    def image_types(self, table: Mapping[str, Any], at: tuple[str, ...]) -> tuple[str, ...]:
        types = self.words(table, "reference_types", at)
        if not types or not set(types) <= set(ALL_TYPES):
            self.refuse((*at, "reference_types"), f"{found_text(list(types))}; allowed: {', '.join(ALL_TYPES)}")
        return types

    def model(self, name: str, table: Mapping[str, Any], prices: Mapping[str, Any]) -> Model:
        at = ("models", name)
        details = ("image_tokens", "aspect_ratios", "sends_image_size", "max_references", "reference_tokens")
        more = ("thought_tokens", "timeout_seconds", "aliases", "status", "successor", "retired_on", "reference_types")
        self.only(table, (*details, *more, *CAPABILITY_KEYS, "source", "checked", "note"), at)
        status: Status = self.one_of(table, "status", at, STATUSES)  # type: ignore[assignment]
        if status == "retired" and "image_tokens" not in table:
            table = {
                "image_tokens": {}, "aspect_ratios": [], "sends_image_size": True, "max_references": 0,
                "reference_tokens": 0, "thought_tokens": 0, "timeout_seconds": 1,
            } | dict(table)  # fmt: skip
        tokens = self.table(table, "image_tokens", at)
        self.only(tokens, SIZES, (*at, "image_tokens"))
        lanes = {lane: self.rates(rates, ("google", name, lane), tokens) for lane, rates in prices.items()}
        if "retired_on" in table:
            self.day(table, "retired_on", at)
        for lane in lanes:
            if lane not in lane_table.ASKABLE:
                self.refuse(("google", name, lane), f"the lane {lane!r}; allowed: {', '.join(lane_table.ASKABLE)}")
        if status != "retired" and not tokens:
            self.refuse((*at, "image_tokens"), "no size")
        if status != "retired" and lane_table.STANDARD not in lanes:
            self.refuse(at, f'no [google."{name}".{lane_table.STANDARD}] prices')
        max_references = self.whole(table, "max_references", at)
        image_tokens = {size: self.whole(tokens, size, (*at, "image_tokens"), least=1) for size in tokens}
        capabilities = self.capabilities(table, at, max_references)
        return Model(
            id=name,
            aliases=self.words(table, "aliases", at),
            status=status,
            successor=self.typed(table, "successor", at, str, "an id in quotes") if "successor" in table else None,
            image_tokens=image_tokens,
            aspect_ratios=self.words(table, "aspect_ratios", at),
            sends_image_size=self.typed(table, "sends_image_size", at, bool, "true or false"),
            max_references=max_references,
            reference_tokens=self.whole(table, "reference_tokens", at),
            thought_tokens=self.own_thought_tokens(table, at, capabilities),
            timeout=timedelta(seconds=self.whole(table, "timeout_seconds", at, least=1, most=539)),
            lanes=lanes,
            source=self.typed(table, "source", at, str, "where the row comes from, in quotes"),
            checked=self.day(table, "checked", at),
            reference_types=self.image_types(table, at) if "reference_types" in table else (),
            capabilities=capabilities,
        )

    def own_thought_tokens(self, table: Mapping[str, Any], at: tuple[str, ...], capabilities: Capabilities) -> int:
        """One number for all levels, or that of the model's default level."""
        if not capabilities.thought_tokens:
            return self.whole(table, "thought_tokens", at)
        return capabilities.thought_tokens[capabilities.default_thinking or ""]

    def rates(self, table: object, at: tuple[str, ...], sizes: Mapping[str, Any]) -> Rates:
        if not isinstance(table, dict):
            self.refuse(at, f"{found_text(table)}; allowed: a table of prices")
        allowed = (
            "input", "text_output", "image_output", "listed", "grounding_search", "api", "source", "checked", "note"
        )  # fmt: skip
        self.only(table, allowed, at)
        listed = self.table(table, "listed", at)
        if set(listed) != set(sizes):
            self.refuse((*at, "listed"), f"sizes {sorted(listed)}; the model's image_tokens have {sorted(sizes)}")
        return Rates(
            input=self.amount(table, "input", at),
            text_output=self.amount(table, "text_output", at),
            image_output=self.amount(table, "image_output", at),
            listed={size: round_micros(self.amount(listed, size, (*at, "listed")) * MICROS_PER_USD) for size in listed},
            grounding_search=round_micros(self.amount(table, "grounding_search", at) * MICROS_PER_USD),
            source=self.typed(table, "source", at, str, "where the price comes from, in quotes"),
            checked=self.day(table, "checked", at),
            api=self.api(table, at),
        )

    def api(self, table: Mapping[str, Any], at: tuple[str, ...]) -> Api:
        """Each lane of the Gemini API is called in one of its two forms; Vertex has one of its own."""
        if at[-1] == lane_table.VERTEX:
            return self.one_of(table, "api", at, ("vertex",)) if "api" in table else "vertex"  # type: ignore[return-value]
        return self.one_of(table, "api", at, GEMINI_APIS) if "api" in table else "interactions"  # type: ignore[return-value]

    def billing(self, table: Mapping[str, Any], models: Mapping[str, Model]) -> Billing:
        at = ("billing",)
        self.only(table, ("services", "vertex_services", "models", "lanes", "parts", "source", "checked", "note"), at)
        allowed = {"models": tuple(models), "lanes": lane_table.ASKABLE, "parts": PARTS}
        read = {
            name: {
                words.lower(): self.one_of(values_by_words, words, (*at, name), values)
                for values_by_words in (self.table(table, name, at),)
                for words in values_by_words
            }
            for name, values in allowed.items()
        }
        return Billing(
            services=self.words(table, "services", at),
            vertex_services=self.words(table, "vertex_services", at) if "vertex_services" in table else (),
            **read,
            source=self.typed(table, "source", at, str, "where the names come from, in quotes"),
            checked=self.day(table, "checked", at),
        )

    def account(self, table: Mapping[str, Any]) -> AccountRules:
        at = ("account",)
        self.only(table, ("tiers", "warn_percent", "source", "checked", "note"), at)
        tiers = self.table(table, "tiers", at)
        return AccountRules(
            tiers={name: self.tier(name, self.table(tiers, name, (*at, "tiers"))) for name in tiers},
            warn_percent=self.whole(table, "warn_percent", at, least=1, most=99) if "warn_percent" in table else 80,
            source=self.typed(table, "source", at, str, "where the limits come from, in quotes"),
            checked=self.day(table, "checked", at),
        )

    def tier(self, name: str, table: Mapping[str, Any]) -> Tier:
        at = ("account", "tiers", name)
        self.only(table, ("monthly_cap_usd", "at_least", "spend10m_usd", "priority"), at)
        return Tier(
            name=name,
            monthly_cap_micros=round_micros(self.amount(table, "monthly_cap_usd", at) * MICROS_PER_USD),
            at_least=self.typed(table, "at_least", at, bool, "true or false") if "at_least" in table else False,
            spend10m_micros=round_micros(self.amount(table, "spend10m_usd", at) * MICROS_PER_USD),
            priority=self.typed(table, "priority", at, bool, "true or false"),
        )

    def vertex(self, table: Mapping[str, Any]) -> VertexRules:
        at = ("vertex",)
        self.only(table, ("elsewhere_percent", "source", "checked", "note"), at)
        return VertexRules(
            elsewhere_percent=self.whole(table, "elsewhere_percent", at, most=100),
            source=self.typed(table, "source", at, str, "where the rule comes from, in quotes"),
            checked=self.day(table, "checked", at),
        )

    def batch(self, table: Mapping[str, Any]) -> BatchRules:
        at, default = ("batch",), DEFAULT_RULES
        self.only(table, ("collect_seconds", "most_requests", "most_bytes", "stuck_hours", "unsent_stuck_hours"), at)

        def whole(key: str, otherwise: int, most: int) -> int:
            return self.whole(table, key, at, least=1, most=most) if key in table else otherwise

        return BatchRules(
            collect_for=timedelta(seconds=whole("collect_seconds", int(default.collect_for.total_seconds()), 43_200)),
            most_requests=whole("most_requests", default.most_requests, LARGEST_FILE),
            most_bytes=self.whole(table, "most_bytes", at, least=1_000_000, most=MOST_REQUEST_BYTES)
            if "most_bytes" in table
            else default.most_bytes,
            stuck_after=timedelta(hours=whole("stuck_hours", default.stuck_after // HOUR, 48)),
            unsent_stuck_after=timedelta(hours=whole("unsent_stuck_hours", default.unsent_stuck_after // HOUR, 24)),
        )

    def no_name_twice(self, models: Mapping[str, Model]) -> None:
        owners: dict[str, str] = {name: name for name in models}
        for model in models.values():
            for alias in model.aliases:
                if alias in owners:
                    self.refuse(("models", model.id, "aliases"), f"{alias!r}, which {owners[alias]} has already")
                owners[alias] = model.id

    def successors(self, model: Model, models: Mapping[str, Model]) -> None:
        at = ("models", model.id, "successor")
        if model.status == "retired" and model.successor is None:
            self.refuse(("models", model.id), "a retired model without successor")
        if model.successor is not None and model.successor not in models:
            self.refuse(at, f"{model.successor!r}, which is no id of [models]")
        chain, successor = [model.id], model.successor
        while successor is not None and successor in models:  # an unknown one is refused at that model's own line
            if successor in chain:
                self.refuse(at, f"a circle of successors: {' -> '.join([*chain, successor])}")
            chain.append(successor)
            successor = models[successor].successor
