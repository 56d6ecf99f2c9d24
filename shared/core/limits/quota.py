"""Limits of one project and model, and the text form of RENDERLANE_QUOTA."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import asdict, replace

from shared.core.values.money import micros_from_usd
from shared.core.values.route import lane_apart


class InvalidQuota(ValueError):
    """A quota text that cannot be read; the message says what was found and what is allowed."""


class Limits(Struct, frozen=True):
    """What one model may do. None = no such limit is known."""

    rpm: int | None = None
    """Requests in any minute."""
    ipm: int | None = None
    """Images in any minute."""
    tpm: int | None = None
    """Input tokens in any minute."""
    rpd: int | None = None
    """Requests per day, Pacific time."""
    concurrency: int | None = None
    """Attempts at once."""
    spend10m_micros: int | None = None
    """Micro-dollars in any ten minutes, over all models of the project."""


DIMENSIONS = ("rpm", "ipm", "tpm", "rpd", "concurrency", "spend10m_usd")
EXAMPLE = "gemini-3-pro-image=rpm:60,rpd:1000;*=rpm:100,concurrency:20"


class Quota(Struct, frozen=True):
    """Configured limits by model id; `*` holds for every model that is not named."""

    by_model: Mapping[str, Limits]

    def limits(self, model: str) -> Limits:
        """The model's own limits, completed dimension by dimension from `*`, which does not apply to separate lanes."""
        general = Limits() if lane_apart(model) else self.by_model.get("*", Limits())
        own = self.by_model.get(model, Limits())
        overrides = {name: value for name, value in asdict(own).items() if value is not None}
        return replace(general, **overrides)

    def for_models(self, ids_by_name: Mapping[str, str]) -> Quota:
        """The same with aliases turned into ids. Raises InvalidQuota for a name that no model has."""
        by_model: dict[str, Limits] = {}
        for name, limits in self.by_model.items():
            if name != "*" and name not in ids_by_name:
                raise InvalidQuota(f"found the model {name!r}; allowed: * and {', '.join(sorted(ids_by_name))}")
            model = ids_by_name.get(name, name)
            if model in by_model:
                raise InvalidQuota(f"{name!r} names {model} a second time; name each model once")
            by_model[model] = limits
        return Quota(by_model)

    def with_spend_window(self, micros: int) -> Quota:
        """With this spend window of the project, if none is configured."""
        if any(limits.spend10m_micros is not None for limits in self.by_model.values()):
            return self
        general = replace(self.by_model.get("*", Limits()), spend10m_micros=micros)
        return Quota({**self.by_model, "*": general})

    @classmethod
    def parse(cls, text: str) -> Quota:
        """`MODEL=dim:n,dim:n;MODEL=…`. Raises InvalidQuota."""
        by_model: dict[str, Limits] = {}
        for part in filter(None, (name.strip() for name in text.split(";"))):
            model, equals, dimensions = part.partition("=")
            if not equals or not model.strip() or not dimensions.strip():
                raise InvalidQuota(f"found {part!r}; allowed: MODEL=dim:n,dim:n, for example {EXAMPLE}")
            if model.strip() in by_model:
                raise InvalidQuota(f"{model.strip()!r} is named twice; name each model once")
            by_model[model.strip()] = _limits(dimensions)
        return cls(by_model)


def _limits(text: str) -> Limits:
    limits: dict[str, int] = {}
    for word in text.split(","):
        name, colon, number = (part.strip() for part in word.partition(":"))
        if not colon or name not in DIMENSIONS:
            raise InvalidQuota(f"found {word.strip()!r}; allowed: one of {', '.join(DIMENSIONS)}, a colon and a number")
        key = "spend10m_micros" if name == "spend10m_usd" else name
        if key in limits:
            raise InvalidQuota(f"{name} appears twice; name each dimension once")
        try:
            limits[key] = micros_from_usd(number) if name == "spend10m_usd" else int(number)
        except (ValueError, ArithmeticError) as error:
            raise InvalidQuota(f"found {name}:{number}; allowed: a number of zero or more") from error
        if limits[key] < 0:
            raise InvalidQuota(f"found {name}:{number}; allowed: a number of zero or more")
    return Limits(**limits)
