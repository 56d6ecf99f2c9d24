"""What is asked of the API, in which order, and what each call may cost. Pure.

Each probe is one call. Those that settle most for least come first; what the budget does not hold is not asked. A probe
that should be refused (a size that the model does not make) is free by Google's own statement. It is still made only
where the budget holds its full price: the API may make it by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue, Model
from shared.core.messages.render_request import SIZES
from shared.core.values.lanes import FLEX, PRIORITY, STANDARD, VERTEX

Kind: TypeAlias = Literal["answers", "size", "thinking", "lane", "background", "ratio", "vertex"]
Expected: TypeAlias = Literal["image", "refused", "unknown"]
"""What the catalogue believes of it."""
PROMPT = "A red circle on a plain white ground."
"""The same for all: reports can be compared, and hold nothing of anybody's."""
BUDGET_MICROS = 1_000_000
RATIO_SAMPLE = ("21:9", "8:1", "4:5")


class Probe(Struct, frozen=True):
    kind: Kind
    model: str
    lane: str
    image_size: str
    expected: Expected
    most_micros: int
    """What it costs where it makes an image."""
    aspect_ratio: str | None = None
    thinking: str | None = None
    background: bool = False

    @property
    def about(self) -> str:
        """What is asked, in words."""
        match self.kind:
            case "answers":
                return "answers"
            case "size":
                return f"size {self.image_size}"
            case "thinking":
                return f"thinking {self.thinking}"
            case "lane":
                return f"lane {self.lane}"
            case "background":
                return "background call"
            case "ratio":
                return f"ratio {self.aspect_ratio}"
            case "vertex":
                return "answers on Vertex"

    @property
    def expected_micros(self) -> int:
        return 0 if self.expected == "refused" else self.most_micros


class ProbePlan(Struct, frozen=True):
    """In their order. A call that could pass the budget, after what the calls before it came to, is not made."""

    probes: tuple[Probe, ...]
    budget_micros: int

    @property
    def expected(self) -> tuple[Probe, ...]:
        """Those that are paid for, where the catalogue is right and every model takes background calls."""
        paid: list[Probe] = []
        left, answered = self.budget_micros, set[str]()
        for probe in self.probes:
            if probe.most_micros > left or (probe.kind == "answers" and probe.model in answered):
                continue
            if probe.background:
                answered.add(probe.model)
            if probe.expected != "refused":
                paid.append(probe)
                left -= probe.most_micros
        return tuple(paid)

    @property
    def expected_micros(self) -> int:
        return sum(probe.most_micros for probe in self.expected)


def plan(catalogue: Catalogue, *, vertex: bool = False, budget_micros: int = BUDGET_MICROS) -> ProbePlan:
    """All probes: what settles most first, then the cheap before the dear."""
    called = sorted(
        (model for model in catalogue.models.values() if model.status != "retired"),
        key=lambda model: _cost(model, STANDARD, _usual_size(model)),
    )
    first = [probe for model in called for probe in _answers(catalogue, model)]
    others = [
        probe for model in called for part in (_thinking, _lanes, _sizes, _ratios) for probe in part(catalogue, model)
    ]
    if vertex:
        with_prices = [model for model in called if VERTEX in model.lanes]
        others += [_probe(catalogue, model, "vertex", lane=VERTEX, expected="image") for model in with_prices]
    default = catalogue.live(catalogue.purposes["default"])
    others.sort(key=lambda probe: (_rank(probe, default), probe.most_micros))
    return ProbePlan((*first, *others), budget_micros)


def _rank(probe: Probe, default: Model) -> int:
    """The largest size of the model that most requests take, then what should be refused and so is free."""
    if probe.kind == "size" and probe.model == default.id and probe.image_size == default.sizes[-1]:
        return 0
    return 1 if probe.expected == "refused" else 2


def _answers(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    """In the background first: its image says both that the model answers and that it does so in the background."""
    yield from _backgrounds(catalogue, model)
    yield _probe(catalogue, model, "answers", expected="image")


def _backgrounds(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    believed = model.capabilities.background_in(STANDARD)
    expected: Expected = {"yes": "image", "no": "refused", "unknown": "unknown"}[believed]  # type: ignore[assignment]
    yield _probe(catalogue, model, "background", expected=expected, background=True)


def _thinking(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    """Every level that is believed in but the default, and one that is not."""
    levels = model.capabilities.thinking
    for level in levels:
        if level != model.capabilities.default_thinking:
            yield _probe(catalogue, model, "thinking", expected="image", thinking=level)
    if not levels:
        yield _probe(catalogue, model, "thinking", expected="refused", thinking="high")


def _lanes(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    for lane in (FLEX, PRIORITY):
        if lane in model.lanes:
            yield _probe(catalogue, model, "lane", lane=lane, expected="image")
        elif lane == FLEX:
            yield _probe(catalogue, model, "lane", lane=lane, expected="refused")


def _sizes(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    """Those of the catalogue beside the usual one, largest first: their tokens are what differs between sources."""
    usual = _usual_size(model)
    for size in reversed(model.sizes):
        if size != usual:
            yield _probe(catalogue, model, "size", image_size=size, expected="image")
    if model.sends_image_size:
        missing = [size for size in SIZES if size not in model.sizes]
        if missing:
            yield _probe(catalogue, model, "size", image_size=missing[-1], expected="refused")


def _ratios(catalogue: Catalogue, model: Model) -> Iterator[Probe]:
    """A sample: an unusual one that the model has, and one that it does not."""
    having = [ratio for ratio in RATIO_SAMPLE if ratio in model.aspect_ratios]
    lacking = [ratio for ratio in RATIO_SAMPLE if ratio not in model.aspect_ratios]
    for ratio in lacking[:1]:
        yield _probe(catalogue, model, "ratio", expected="refused", aspect_ratio=ratio)
    for ratio in having[:1]:
        yield _probe(catalogue, model, "ratio", expected="image", aspect_ratio=ratio)


def _probe(
    catalogue: Catalogue,
    model: Model,
    kind: Kind,
    *,
    expected: Expected,
    lane: str = STANDARD,
    image_size: str | None = None,
    aspect_ratio: str | None = None,
    thinking: str | None = None,
    background: bool = False,
) -> Probe:
    size = image_size or _usual_size(model)
    return Probe(
        kind, model.id, lane, size, expected, _cost(model, lane, size), aspect_ratio, thinking, background=background
    )


def _usual_size(model: Model) -> str:
    return "1K" if "1K" in model.sizes else model.sizes[0]


def _cost(model: Model, lane: str, size: str) -> int:
    """On the safe side, also of what the model is not known to make: at its largest known size, in its dearest lane."""
    dearest = max(model.lanes, key=lambda name: model.lanes[name].image_output)
    known_lane = lane if lane in model.lanes else dearest
    known_size = size if size in model.image_tokens else model.sizes[-1]
    tokens = price.prompt_tokens(PROMPT)
    return price.estimate(model, known_lane, known_size, tokens, 0, grounding=False)
