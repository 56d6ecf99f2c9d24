"""What Vertex charges in a location: the listed prices are those of the global endpoint. Pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from shared.core.values.lanes import VERTEX
from shared.core.values.money import round_micros

if TYPE_CHECKING:
    from shared.core.catalogue.catalogue import Catalogue, Model, Rates

GLOBAL = "global"


class VertexRules(Struct, frozen=True):
    """What holds for all models of the Vertex lane."""

    elsewhere_percent: int
    """The surcharge of every location other than `global`."""
    source: str
    checked: date


NO_RULES = VertexRules(0, "", date.min)
"""For a catalogue that names no surcharge: the prices are those of the location in use."""


def priced_in(catalogue: Catalogue, location: str) -> Catalogue:
    """The catalogue with the Vertex prices of that location. A search costs the same everywhere."""
    percent = catalogue.vertex.elsewhere_percent
    if location == GLOBAL or percent == 0:
        return catalogue
    return replace(catalogue, models={name: _model(model, percent) for name, model in catalogue.models.items()})


def _model(model: Model, percent: int) -> Model:
    if VERTEX not in model.lanes:
        return model
    return replace(model, lanes={**model.lanes, VERTEX: _dearer(model.lanes[VERTEX], percent)})


def _dearer(rates: Rates, percent: int) -> Rates:
    factor = Decimal(100 + percent) / 100
    return replace(
        rates,
        input=rates.input * factor,
        text_output=rates.text_output * factor,
        image_output=rates.image_output * factor,
        listed={size: round_micros(micros * factor) for size, micros in rates.listed.items()},
        source=f"{rates.source}; +{percent} % outside {GLOBAL}",
    )
