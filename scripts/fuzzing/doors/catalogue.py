"""catalogue.toml, changed as text and as values: it is refused by name, or every price is the one that stands there."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from scripts.fuzzing import rubbish
from scripts.fuzzing.door import Input, bytes_of, text_of
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.reader import read_catalogue
from shared.core.catalogue.toml_errors import BrokenCatalogue
from tests.corpus import mutations

AMOUNTS = (
    "-1", "-0.0", "0", "inf", "-inf", "nan", "1e400", "1e-400", "0.1", "1_000", "0x10", "9" * 400, "1000001",
    "999999.5",     "true", '"1.0"', "[1]", "{}", "2026-11-29", "07:32:00", "1.", ".5", "+3.5", "1e3", "0.0000001",
)  # fmt: skip
LONGEST_MESSAGE = 2_000


class CatalogueDoor:
    name = "catalogue"

    def draw(self, random: Random) -> Input:
        text = _shipped()
        for _ in range(random.randrange(1, 4)):
            text = random.choice((_amount, _amount, _line, _bytes, _value))(random, text)
        return {"text": text_of(text.encode("utf-8", "surrogatepass"))}

    def play(self, item: Input) -> Sequence[str]:
        text = bytes_of(item["text"]).decode("utf-8", "replace")
        try:
            catalogue = read_catalogue(text)
        except BrokenCatalogue as error:
            message = str(error)
            problems = [f"a message of {len(message):,} characters"] if len(message) > LONGEST_MESSAGE else []
            return problems if ": " in message else [*problems, f"a message that names nothing: {message[:80]}"]
        return [*_prices(catalogue, tomllib.loads(text, parse_float=Decimal)), *_usable(catalogue)]


def _prices(catalogue: Catalogue, tables: Mapping[str, Any]) -> Iterator[str]:
    """Read again by hand: the file's own numbers."""
    for model, lanes in tables["google"].items():
        for lane, row in lanes.items():
            rates = catalogue.models[model].lanes.get(lane)
            if rates is None:
                continue
            for name in ("input", "text_output", "image_output"):
                price = getattr(rates, name)
                if not price.is_finite() or price < 0:
                    yield f"{model} {lane} {name} is {price}"
                if name in row and Decimal(row[name]) != price:
                    yield f"{model} {lane} {name}: read {price}, the file says {row[name]}"
            for size, micros in rates.listed.items():
                yield from _listed(f"{model} {lane} {size}", micros, row.get("listed", {}).get(size))
    for name, gateway in catalogue.gateways.items():
        for model, micros in gateway.prices.items():
            yield from _listed(f"gateway {name} {model}", micros, tables["gateways"][name]["prices"].get(model))


def _listed(name: str, micros: int, dollars: Any) -> Iterator[str]:
    if micros < 0:
        yield f"{name} costs {micros}"
    if dollars is None:
        return
    exact = Decimal(dollars) * 1_000_000
    if micros not in (exact.to_integral_value(ROUND_HALF_UP), exact.to_integral_value(ROUND_HALF_EVEN)):
        yield f"{name}: read {micros} millionths, the file says {dollars} dollars"


def _usable(catalogue: Catalogue) -> Iterator[str]:
    """A catalogue that is accepted can be used."""
    for name in catalogue.names:
        if catalogue.live(name).status == "retired":
            yield f"{name} means a model that is retired"
    if catalogue.oldest_price.year < 2000:
        yield "a price that was checked before 2000"


def _amount(random: Random, text: str) -> str:
    """Another value in the place of one."""
    lines = text.split("\n")
    numbers = [at for at, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    at = random.choice(numbers)
    name, _, value = lines[at].partition(" = ")
    if "{" in value and random.random() < 0.7:
        inner, _, rest = value.partition(" = ")
        end = min((rest.find(mark) for mark in ",}" if mark in rest), default=len(rest))
        lines[at] = f"{name} = {inner} = {random.choice(AMOUNTS)}{rest[end:]}"
    else:
        lines[at] = f"{name} = {random.choice(AMOUNTS)}"
    return "\n".join(lines)


def _line(random: Random, text: str) -> str:
    """A line lost, twice, in another place, or of another key."""
    lines = text.split("\n")
    at, to = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case _:
            lines[at] = lines[at].replace("=", f"{random.choice(('x', 'é', chr(0), '__'))} =", 1)
    return "\n".join(lines)


def _bytes(random: Random, text: str) -> str:
    at = random.randrange(len(text) + 1)
    noise = random.choice(("\x00", "\ufeff", "]", "[[a]]\n", '"', "'''", "[" * 5_000, "a." * 2_000, "\\ud800", "x"))
    return text[:at] + noise + text[at + random.randrange(3) :]


def _value(random: Random, text: str) -> str:
    """A value changed in the tables, which are then written again."""
    try:
        tables = tomllib.loads(text)
        path = random.choice(list(mutations.paths(tables)))
        return _written(mutations.put(tables, path, rubbish.value(random, 1)))
    except (ValueError, RecursionError):
        return text


def _written(tables: Mapping[str, Any]) -> str:
    """As one line of inline tables for each key."""
    return "\n".join(f"{json.dumps(name)} = {_toml(value)}" for name, value in tables.items())


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return json.dumps(value)
        case None:
            return '""'
        case int():
            return str(value) if abs(value) < 10**300 else "9" * 300
        case _:
            return str(value)


@cache
def _shipped() -> str:
    return Path("shared/catalogue.toml").read_text("utf-8")
