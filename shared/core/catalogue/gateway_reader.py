"""Reads the [gateways] tables of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from shared.core.catalogue.catalogue import FAILED_CALLS, FORMS, MODALITIES, REQUEST_BYTES, Gateway, Model
from shared.core.catalogue.toml_errors import TomlFields, found_text
from shared.core.messages.render_request import SIZES
from shared.core.validation.addresses import without_secrets
from shared.core.values.money import MICROS_PER_USD, round_micros

BILLED = ("charged", "free", "unknown")
TIMEOUT_SECONDS = 360
LONGEST_CALL_SECONDS = 539
TIMEOUT_4K_SECONDS = LONGEST_CALL_SECONDS
"""Providers advise 600 s for 4K; a call must stay under what a push allows."""
FRESH_DAYS = 30
ASK_AGAIN_SECONDS = 60


class GatewayFields(TomlFields):
    """Turns [gateways.NAME] into values."""

    def gateways(self, tables: Mapping[str, Any], models: Mapping[str, Model]) -> dict[str, Gateway]:
        return {
            name: self.gateway(self.table(tables, name, ("gateways",)), ("gateways", name), models) for name in tables
        }

    def gateway(self, table: Mapping[str, Any], at: tuple[str, ...], models: Mapping[str, Model]) -> Gateway:
        details = ("owner", "base_url", "form", "aliases", "sizes", "timeout_seconds", "timeout_4k_seconds", "rpm")
        more = ("concurrency", "fresh_days", "failed_calls", "edit_prices", "per", "prices", "ask_again_seconds")
        answers = ("request_bytes", "modalities", "image_hosts")
        self.only(table, (*details, *more, *answers, "source", "checked", "note"), at)
        if not at[1].isascii() or not at[1].replace("-", "").replace("_", "").isalnum():
            self.refuse(at, f"the name {at[1]!r}; allowed: letters, digits, - and _")
        form = self.one_of(table, "form", at, FORMS)
        prices = self.amounts(table, "prices", at, tuple(models))
        return Gateway(
            owner=self.typed(table, "owner", at, str, "who owns the contract, in quotes"),
            base_url=self.address(table, "base_url", at),
            form=form,  # type: ignore[arg-type]
            aliases=self.names(table, at, tuple(prices)),
            sizes=self.sizes(table, at, form),
            timeout=self.seconds(table, "timeout_seconds", at, TIMEOUT_SECONDS),
            timeout_4k=self.seconds(table, "timeout_4k_seconds", at, TIMEOUT_4K_SECONDS),
            rpm=self.whole(table, "rpm", at, least=1) if "rpm" in table else None,
            concurrency=self.whole(table, "concurrency", at, least=1) if "concurrency" in table else None,
            fresh_for=timedelta(
                days=self.whole(table, "fresh_days", at, least=1, most=365) if "fresh_days" in table else FRESH_DAYS
            ),
            bills=self.failed_calls(self.table(table, "failed_calls", at), (*at, "failed_calls")),
            edit_prices=self.amounts(table, "edit_prices", at, tuple(prices)) if "edit_prices" in table else {},
            per=self.typed(table, "per", at, str, "what one price is for, in quotes"),
            prices=prices,
            source=self.typed(table, "source", at, str, "where the prices come from, in quotes"),
            checked=self.day(table, "checked", at),
            ask_again=self.seconds(table, "ask_again_seconds", at, ASK_AGAIN_SECONDS, most=3_600),
            modalities=self.modalities(table, at),
            image_hosts=self.hosts(table, at),
            request_bytes=self.whole(table, "request_bytes", at, least=10_000, most=2_000_000_000)
            if "request_bytes" in table
            else REQUEST_BYTES,
        )

    def amounts(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], allowed: tuple[str, ...]
    ) -> dict[str, int]:
        prices = self.table(table, key, at)
        self.only(prices, allowed, (*at, key))
        return {name: round_micros(self.amount(prices, name, (*at, key)) * MICROS_PER_USD) for name in prices}

    def names(self, table: Mapping[str, Any], at: tuple[str, ...], allowed: tuple[str, ...]) -> dict[str, str]:
        if "aliases" not in table:
            return {}
        aliases = self.table(table, "aliases", at)
        self.only(aliases, allowed, (*at, "aliases"))
        return {
            name: self.typed(aliases, name, (*at, "aliases"), str, "the provider's name, in quotes") for name in aliases
        }

    def sizes(self, table: Mapping[str, Any], at: tuple[str, ...], form: str) -> tuple[str, ...]:
        most = SIZES if form == "native" else ("1K",)
        chosen = self.words(table, "sizes", at) if "sizes" in table else most
        if not chosen or not set(chosen) <= set(most):
            self.refuse((*at, "sizes"), f"{found_text(list(chosen))}; allowed in the form {form}: {', '.join(most)}")
        return chosen

    def modalities(self, table: Mapping[str, Any], at: tuple[str, ...]) -> tuple[str, ...]:
        if "modalities" not in table:
            return MODALITIES
        chosen = self.words(table, "modalities", at)
        if not set(chosen) <= set(MODALITIES):
            self.refuse((*at, "modalities"), f"{found_text(list(chosen))}; allowed: {', '.join(MODALITIES)}, or none")
        return chosen

    def hosts(self, table: Mapping[str, Any], at: tuple[str, ...]) -> tuple[str, ...]:
        names = self.words(table, "image_hosts", at) if "image_hosts" in table else ()
        for host in names:
            if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host):
                self.refuse((*at, "image_hosts"), f"{host!r}; allowed: names of hosts, as cdn.example.com")
        return names

    def seconds(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], default: int, most: int = LONGEST_CALL_SECONDS
    ) -> timedelta:
        return timedelta(seconds=self.whole(table, key, at, least=1, most=most) if key in table else default)

    def failed_calls(self, table: Mapping[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
        self.only(table, FAILED_CALLS, at)
        return {name: self.one_of(table, name, at, BILLED) for name in FAILED_CALLS}

    def address(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> str:
        text: str = self.typed(table, key, at, str, "an http:// or https:// address in quotes")
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            self.refuse((*at, key), f"{without_secrets(text)!r}; allowed: an http:// or https:// address")
        return text.rstrip("/")
