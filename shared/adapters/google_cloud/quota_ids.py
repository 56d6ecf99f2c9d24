"""Which of the Gemini API's many quotas are the limits of our models. Pure.

Ids: GenerateRequestsPer{Minute,Day}PerProjectPerModel, GenerateContentInputTokensPerModelPerMinute,
GenerateContentPaidTierInputTokensPerModelPerMinute, each alone or ending in -FreeTier or -PaidTierN; they are the
quotaId of captured 429 bodies. Each tier counts on metrics of its own: generate_requests_per_model and
generate_content_paid_tier_input_token_count are tier 1's, whose ids have no ending, generate_content_paid_tier_2_… and
_3_… those of the others. The id of images a minute was never captured and is formed after the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from shared.adapters.gemini_errors.quota_errors import UNLIMITED
from shared.core.values.late_pattern import late_pattern

Value: TypeAlias = int | None
"""None = unlimited."""
FREE = 0
"""The free tier; 1, 2 and 3 are the paid ones."""

_ID = late_pattern(
    r"Generate(?:Content)?(?P<inner>(?:Free|Paid)Tier\d*)?(?P<what>Requests|Images|InputTokens)"
    r"(?P<per>(?:Per(?:Minute|Day|Project|Model))+)(?:-(?P<ending>(?:Free|Paid)Tier\d*))?"
)
_DIMENSIONS = {
    ("Requests", "PerMinute"): "rpm",
    ("Requests", "PerDay"): "rpd",
    ("Images", "PerMinute"): "ipm",
    ("InputTokens", "PerMinute"): "tpm",
}
_MODEL_KEYS = ("model", "base_model")
_PLACE_KEYS = ("location", "region")
_VERSION = late_pattern(r"(-\d{3}|-latest|@[\w-]+)$")


class Row(Struct, frozen=True):
    """One value of one quota."""

    quota_id: str
    metric: str
    """`generativelanguage.googleapis.com/…`: what is counted."""
    dimensions: Mapping[str, str]
    """What the value applies to; a missing key means: to all."""
    value: int

    @property
    def limited(self) -> Value:
        return self.value if 0 <= self.value < UNLIMITED else None


class Counter(Struct, frozen=True):
    """Where the use of one dimension is counted."""

    dimension: str
    tier: int
    metric: str
    quota_id: str
    """A metric is listed once for each quota on it: one of them."""


class Quotas(Struct, frozen=True):
    """The values of our models' quotas."""

    general: Mapping[str, Value]
    """By quota id: for each model that has none of its own."""
    named: Mapping[tuple[str, str], Value]
    """By quota id and model id."""
    counters: tuple[Counter, ...]

    def limits(self, model: str, tier: int | None) -> Mapping[str, Value]:
        """By dimension, for the tier the project is in; None = not known, since the quotas themselves do not say it.

        Then the free tier's values hold only where no paid one says anything but 0, since a worker that pays is not in
        it, and of several paid ones the largest. One that is too large costs a rejection, which names the true limit
        and is believed; one that is too small would slow the project down without a sign.
        """
        values = {**self.general, **{quota_id: value for (quota_id, of), value in self.named.items() if of == model}}
        by_dimension: dict[str, dict[int, list[Value]]] = {}
        for quota_id, value in values.items():
            meaning = _meaning(quota_id)
            if meaning is not None:
                dimension, of_tier = meaning
                by_dimension.setdefault(dimension, {}).setdefault(of_tier, []).append(value)
        return {dimension: _in_effect(by_tier, tier) for dimension, by_tier in by_dimension.items()}


def read(rows: Iterable[Row], ids_by_name: Mapping[str, str]) -> Quotas:
    """The rows that speak of our models; `ids_by_name` maps ids and aliases to ids.

    What holds for another model, for another place than `global`, or for a key we do not know (a user, say) is passed
    over: it is not the limit of one of our models.
    """
    general: dict[str, Value] = {}
    named: dict[tuple[str, str], Value] = {}
    metrics: dict[str, str] = {}
    for row in rows:
        if _meaning(row.quota_id) is None or not _holds_everywhere(row.dimensions):
            continue
        name = next((row.dimensions[key] for key in _MODEL_KEYS if key in row.dimensions), None)
        model = None if name is None else model_id(name, ids_by_name)
        if name is None:
            general[row.quota_id] = row.limited
        elif model is not None:
            named[row.quota_id, model] = row.limited
        else:
            continue
        metrics[row.quota_id] = row.metric
    return Quotas(general, named, _counters(metrics))


def model_id(name: str, ids_by_name: Mapping[str, str]) -> str | None:
    """Our id for a model as the API writes it: with `models/` or a longer path, an alias, or with a version at its end.

    No other beginning of a name counts: the text model `gemini-3-pro` is not the image model.
    """
    last = name.rpartition("/")[2].lower()
    return ids_by_name.get(last) or ids_by_name.get(_VERSION().sub("", last))


def _in_effect(by_tier: Mapping[int, list[Value]], tier: int | None) -> Value:
    if tier is not None and tier in by_tier:
        return _largest(by_tier[tier])
    paid = [value for of, values in by_tier.items() if of != FREE for value in values]
    return _largest(paid) if any(value != 0 for value in paid) else _largest(by_tier.get(FREE, [0]))


def _largest(values: list[Value]) -> Value:
    return None if None in values else max(value for value in values if value is not None)


def _counters(metrics: Mapping[str, str]) -> tuple[Counter, ...]:
    counters: dict[tuple[str, str], Counter] = {}
    for quota_id, metric in sorted(metrics.items()):
        meaning = _meaning(quota_id)
        if meaning is not None and metric:
            dimension, tier = meaning
            counters.setdefault((dimension, metric), Counter(dimension, tier, metric, quota_id))
    return tuple(counters.values())


def _meaning(quota_id: str) -> tuple[str, int] | None:
    """The dimension and the tier of a quota upon models; None for every other quota."""
    match = _ID().fullmatch(quota_id)
    if match is None or "PerModel" not in match["per"]:
        return None
    spans = [span for span in ("PerMinute", "PerDay") if span in match["per"]]
    dimension = _DIMENSIONS.get((match["what"], spans[0])) if len(spans) == 1 else None
    if dimension is None:
        return None
    tier = match["ending"] or match["inner"] or ""
    return dimension, FREE if tier.startswith("Free") else int(tier.removeprefix("PaidTier") or 1)


def _holds_everywhere(dimensions: Mapping[str, str]) -> bool:
    return all(key in _MODEL_KEYS or (key in _PLACE_KEYS and value == "global") for key, value in dimensions.items())
