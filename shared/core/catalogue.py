"""Models, lanes and prices as values, read from TOML text. A broken catalogue is refused with its line and reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias

from shared.core.money import MICROS_PER_USD, round_micros
from shared.core.request import LANES, PURPOSES, SIZES

Status: TypeAlias = Literal["live", "deprecated", "retired"]

LARGEST_AMOUNT = 1_000_000
"""Dollars: what is beyond this is a slip of the pen."""

STATUSES = ("live", "deprecated", "retired")
"""deprecated = still called, with a warning; retired = never called, its successor instead."""


class BrokenCatalogue(Exception):
    """The catalogue cannot be used; the message names the line, what was found and what is allowed."""


class UnknownModel(Exception):
    """No model of the catalogue has this id or alias."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one lane of one model costs under one contract."""

    input: Decimal
    """Micro-dollars a token (= dollars per million tokens); references count as input."""
    text_output: Decimal
    """Micro-dollars a token of text or thinking."""
    image_output: Decimal
    """Micro-dollars a token of image."""
    listed: Mapping[str, int]
    """Micro-dollars an image by size, as the price page rounds them."""
    grounding_search: int
    """Micro-dollars a search, beyond the free ones."""
    source: str
    checked: date


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    aliases: tuple[str, ...]
    status: Status
    successor: str | None
    image_tokens: Mapping[str, int]
    """Output tokens of an image by size; its keys are the sizes the model has."""
    aspect_ratios: tuple[str, ...]
    sends_image_size: bool
    """False where the API refuses the parameter."""
    max_references: int
    reference_tokens: int
    thought_tokens: int
    """Allowance for thinking in an estimate."""
    timeout: timedelta
    lanes: Mapping[str, Rates]
    source: str
    checked: date

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(size for size in SIZES if size in self.image_tokens)

    def size_for(self, asked: str) -> str | None:
        """The smallest size of this model that is not under the one asked for; None where it has none so large."""
        return next((size for size in self.sizes if SIZES.index(size) >= SIZES.index(asked)), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, Model]
    purposes: Mapping[str, str]
    ladder: tuple[str, ...]
    """Model ids, best first."""
    default_floor_size: str
    default_floor_model: str
    draft_floor_model: str

    def find(self, name: str) -> Model:
        """The model of that id or alias, whatever its status. Raises UnknownModel."""
        if name in self.models:
            return self.models[name]
        for model in self.models.values():
            if name in model.aliases:
                return model
        raise UnknownModel(name)

    def live(self, name: str) -> Model:
        """The model that is called for that id or alias: retired ones mean their successor, all the way."""
        model = self.find(name)
        while model.status == "retired":
            assert model.successor is not None, "parse() refuses a retired model without successor"
            model = self.models[model.successor]
        return model

    @property
    def names(self) -> tuple[str, ...]:
        """Every id and alias that may be asked for."""
        return tuple(sorted({*self.models, *(alias for model in self.models.values() for alias in model.aliases)}))

    @property
    def oldest_price(self) -> date:
        return min(rates.checked for model in self.models.values() for rates in model.lanes.values())

    @classmethod
    def parse(cls, text: str) -> Catalogue:
        """Raises BrokenCatalogue."""
        try:
            tables = tomllib.loads(text, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError) as error:  # a number or a nesting beyond all bounds
            raise BrokenCatalogue(f"not TOML: {error}") from error
        return _Reader(text).catalogue(tables)


class _Reader:
    """Turns tables into values and, where something is wrong, finds the line it stands on."""

    def __init__(self, text: str) -> None:
        self.text = text

    def catalogue(self, tables: Mapping[str, Any]) -> Catalogue:
        self.only(tables, ("catalogue", "purposes", "ladder", "floor", "models", "google", "gateways"), ())
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
        known = {*models, *(alias for model in models.values() for alias in model.aliases)}
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
            purposes={purpose: self.one_of(purposes, purpose, ("purposes",), sorted(known)) for purpose in PURPOSES},
            ladder=ladder,
            default_floor_size=self.one_of(floor, "image_size", ("floor",), SIZES),
            default_floor_model=self.one_of(floor, "model", ("floor",), sorted(known)),
            draft_floor_model=self.one_of(floor, "draft_model", ("floor",), sorted(known)),
        )
        for purpose, name in catalogue.purposes.items():
            if catalogue.live(name).id not in ladder:
                self.refuse(("purposes", purpose), f"{name!r}, whose live model is not on the ladder")
        return catalogue

    def model(self, name: str, table: Mapping[str, Any], prices: Mapping[str, Any]) -> Model:
        at = ("models", name)
        details = ("image_tokens", "aspect_ratios", "sends_image_size", "max_references", "reference_tokens")
        more = ("thought_tokens", "timeout_seconds", "aliases", "status", "successor", "retired_on")
        self.only(table, (*details, *more, "source", "checked", "note"), at)
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
            if lane not in LANES:
                self.refuse(("google", name, lane), f"the lane {lane!r}; allowed: {', '.join(LANES)}")
        if status != "retired" and not tokens:
            self.refuse((*at, "image_tokens"), "no size")
        if status != "retired" and "standard" not in lanes:
            self.refuse(at, f'no [google."{name}".standard] prices')
        return Model(
            id=name,
            aliases=self.words(table, "aliases", at),
            status=status,
            successor=self.typed(table, "successor", at, str, "an id in quotes") if "successor" in table else None,
            image_tokens={size: self.whole(tokens, size, (*at, "image_tokens"), least=1) for size in tokens},
            aspect_ratios=self.words(table, "aspect_ratios", at),
            sends_image_size=self.typed(table, "sends_image_size", at, bool, "true or false"),
            max_references=self.whole(table, "max_references", at),
            reference_tokens=self.whole(table, "reference_tokens", at),
            thought_tokens=self.whole(table, "thought_tokens", at),
            timeout=timedelta(seconds=self.whole(table, "timeout_seconds", at, least=1, most=539)),
            lanes=lanes,
            source=self.typed(table, "source", at, str, "where the row comes from, in quotes"),
            checked=self.day(table, "checked", at),
        )

    def rates(self, table: object, at: tuple[str, ...], sizes: Mapping[str, Any]) -> Rates:
        if not isinstance(table, dict):
            self.refuse(at, f"{_found(table)}; allowed: a table of prices")
        allowed = ("input", "text_output", "image_output", "listed", "grounding_search", "source", "checked", "note")
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
        )

    def no_name_twice(self, models: Mapping[str, Model]) -> None:
        seen: dict[str, str] = {name: name for name in models}
        for model in models.values():
            for alias in model.aliases:
                if alias in seen:
                    self.refuse(("models", model.id, "aliases"), f"{alias!r}, which {seen[alias]} has already")
                seen[alias] = model.id

    def successors(self, model: Model, models: Mapping[str, Model]) -> None:
        at = ("models", model.id, "successor")
        if model.status == "retired" and model.successor is None:
            self.refuse(("models", model.id), "a retired model without successor")
        if model.successor is not None and model.successor not in models:
            self.refuse(at, f"{model.successor!r}, which is no id of [models]")
        seen = [model.id]
        step = model
        while step.status == "retired":
            assert step.successor is not None
            if step.successor in seen:
                self.refuse(at, f"a circle of successors: {' -> '.join([*seen, step.successor])}")
            if step.successor not in models:
                return  # refused at that model's own line
            seen.append(step.successor)
            step = models[step.successor]
            if step.status == "retired" and step.successor is None:
                return

    # -- one field at a time ------------------------------------------------------------------------------------------

    def typed(self, table: Mapping[str, Any], key: str, at: tuple[str, ...], kind: type, allowed: str) -> Any:
        value = table.get(key)
        if not isinstance(value, kind):
            self.refuse((*at, key), f"{_found(value)}; allowed: {allowed}")
        return value

    def table(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.typed(table, key, at, dict, "a table")
        return found

    def one_of(self, table: Mapping[str, Any], key: str, at: tuple[str, ...], allowed: Sequence[str]) -> str:
        value = table.get(key)
        if not isinstance(value, str) or value not in allowed:
            self.refuse((*at, key), f"{_found(value)}; allowed: {', '.join(allowed)}")
        return value

    def words(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> tuple[str, ...]:
        value = self.typed(table, key, at, list, "a list of words in quotes")
        if not all(isinstance(word, str) for word in value):
            self.refuse((*at, key), f"{_found(value)}; allowed: a list of words in quotes")
        return tuple(value)

    def whole(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], least: int = 0, most: int = 1_000_000
    ) -> int:
        value = table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.refuse((*at, key), f"{_found(value)}; allowed: a whole number from {least} to {most:,}")
        return value

    def day(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> date:
        value = table.get(key)
        if not isinstance(value, date) or isinstance(value, datetime):  # a datetime is a date, to Python
            self.refuse((*at, key), f"{_found(value)}; allowed: a day, such as 2026-11-22")
        return value

    def amount(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> Decimal:
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not Decimal(value).is_finite():
            self.refuse((*at, key), f"{_found(value)}; allowed: an amount in dollars")
        if not 0 <= value <= LARGEST_AMOUNT:
            self.refuse((*at, key), f"{_found(value)}; allowed: an amount from 0 to {LARGEST_AMOUNT:,}")
        return Decimal(value)

    def only(self, table: Mapping[str, Any], allowed: Sequence[str], at: tuple[str, ...]) -> None:
        for key in table:
            if key not in allowed:
                self.refuse((*at, key), f"an unknown name; allowed: {', '.join(allowed)}")

    def refuse(self, at: tuple[str, ...], found: str) -> NoReturn:
        line = self.line_of(at)
        where = f"line {line}, " if line else ""
        raise BrokenCatalogue(f"{where}{'.'.join(at) or 'the file'}: found {found}")

    def line_of(self, at: tuple[str, ...]) -> int:
        """The line of a key, or of the nearest table around it; 0 where it stands nowhere."""
        header: tuple[str, ...] = ()
        best, best_depth = 0, 0
        for number, line in enumerate(self.text.split("\n"), start=1):
            if match := re.match(r"\s*\[([^\[\]]+)\]", line):
                header = _key_path(match.group(1))
                place = header
            elif match := re.match(r"""\s*("[^"]*"|'[^']*'|[\w-]+)\s*=""", line):
                place = (*header, *_key_path(match.group(1)))
            else:
                continue
            depth = min(len(place), len(at))  # a table may stand only as a part of its sub-tables' names
            if place[:depth] == at[:depth] and depth > best_depth:
                best, best_depth = number, depth
        return best


def _key_path(text: str) -> tuple[str, ...]:
    """`models."gemini-3-pro-image"` -> ("models", "gemini-3-pro-image")."""
    return tuple(part.strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^."'\s]+""", text))


def _found(value: object) -> str:
    """A wrong value as it may stand in a message."""
    if isinstance(value, Decimal):
        return str(value)
    try:
        return "nothing" if value is None else repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number beyond all bounds"
