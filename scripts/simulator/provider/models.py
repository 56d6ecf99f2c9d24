"""The models the simulated API serves: sizes, ratios, token counts and prices, read from `models.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast, get_args

from msgspec import Struct, field

Status = Literal["live", "deprecated", "gone"]
Grounding = Literal["none", "web", "web+image"]
Tier = Literal["standard", "flex", "batch", "priority", "vertex"]
"""How a call is priced: a service tier, the batch lane, or Vertex AI."""

TIERS: tuple[Tier, ...] = get_args(Tier)
VERTEX: Tier = "vertex"
SIZES = ("512", "1K", "2K", "4K")
DEFAULT_SIZE = "1K"
MODELS_FILE = Path(__file__).with_name("models.toml")

_TIMES_1K = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}


class TokenPrices(Struct, frozen=True):
    """Prices in nano-dollars per token: 1 USD per million tokens is 1,000 of them, so every listed price is exact."""

    input: int
    text: int
    """Text and thinking output."""
    image: int


class ImageModel(Struct, frozen=True):
    id: str
    alias: str
    """The market-facing name. The API itself does not answer to it."""
    status: Status
    source: str
    checked: date
    image_tokens: Mapping[str, int] = field(default_factory=dict)
    """Output tokens of one picture, by size."""
    takes_image_size: bool = True
    ratios: tuple[str, ...] = ()
    max_references: int = 0
    reference_tokens: int = 0
    default_thinking: str | None = None
    """The level of a call that names none; None: the model has no levels."""
    thoughts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Least and most thought tokens by level; under `always` those of a model without levels."""
    grounding: Grounding = "none"
    """The search that it can draw on."""
    thinking: tuple[str, ...] = ()
    """The levels that may be asked for."""
    grounding_nanos_per_query: int = 0
    rates: Mapping[Tier, TokenPrices] = field(default_factory=dict)


class Models(Struct, frozen=True):
    by_id: Mapping[str, ImageModel]
    pixels_1k: Mapping[str, tuple[int, int]]

    def served(self, model_id: str) -> ImageModel | None:
        """The model behind an id as a caller writes it, with or without `models/`; None when unknown or shut down."""
        model = self.by_id.get(model_id.removeprefix("models/"))
        return model if model is not None and model.status != "gone" else None

    def pixels(self, size: str, ratio: str) -> tuple[int, int]:
        """Width and height of a picture."""
        width, height = self.pixels_1k[ratio]
        return round(width * _TIMES_1K[size]), round(height * _TIMES_1K[size])

    def nearest_ratio(self, model: ImageModel, width: int, height: int) -> str:
        """The model's ratio closest to a reference picture's: what it picks when none is asked for."""

        def distance(ratio: str) -> float:
            across, up = (int(part) for part in ratio.split(":"))
            wanted, offered = width / height, across / up
            return max(wanted, offered) / min(wanted, offered)

        return min(model.ratios, key=distance)


def load(path: Path = MODELS_FILE) -> Models:
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    models = [_model(row) for row in document["model"]]
    pixels = {ratio: (sides[0], sides[1]) for ratio, sides in document["pixels"].items() if isinstance(sides, list)}
    return Models(by_id={model.id: model for model in models}, pixels_1k=pixels)


def _model(row: Mapping[str, Any]) -> ImageModel:
    prices = cast("Mapping[Tier, Mapping[str, str]]", row.get("usd_per_million", {}))
    return ImageModel(
        id=row["id"],
        alias=row.get("alias", ""),
        status=row["status"],
        source=row["source"],
        checked=row["checked"],
        image_tokens=row.get("image_tokens", {}),
        takes_image_size=row.get("takes_image_size", True),
        ratios=tuple(row.get("ratios", ())),
        max_references=row.get("max_references", 0),
        reference_tokens=row.get("reference_tokens", 0),
        default_thinking=row.get("default_thinking"),
        thoughts={level: (least, most) for level, (least, most) in row.get("thoughts", {}).items()},
        grounding=row.get("grounding", "none"),
        thinking=tuple(row.get("thinking", ())),
        grounding_nanos_per_query=_nanos(row.get("grounding_usd_per_query", "0"), per=1),
        rates={tier: _rates(price) for tier, price in prices.items()},
    )


def _rates(usd_per_million: Mapping[str, str]) -> TokenPrices:
    return TokenPrices(**{kind: _nanos(price, per=1_000_000) for kind, price in usd_per_million.items()})


def _nanos(usd: str, *, per: int) -> int:
    nanos = Decimal(usd) * 1_000_000_000 / per
    if nanos != nanos.to_integral_value():
        raise ValueError(f"{usd} USD per {per} is not a whole number of nano-dollars")
    return int(nanos)
