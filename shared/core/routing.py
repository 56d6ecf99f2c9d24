"""What the pump remembers about routes from tick to tick: circuits, what providers lack, what flags have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission import Grant
from shared.core.breaker import Circuit
from shared.core.failure import FailureKind
from shared.core.health import Health, Lack
from shared.core.ladder import Planned
from shared.core.route import circuit

LACKING_FOR = timedelta(days=1)
"""Then it is asked again: the catalogue may have been wrong about neither."""


class Effect(Struct, frozen=True):
    """What a flag has changed so far, or would have."""

    requests: int = 0
    saved_micros: int = 0
    """Of the estimates."""

    def plus(self, saved_micros: int) -> Effect:
        return Effect(self.requests + 1, self.saved_micros + saved_micros)

    def to_json(self) -> dict[str, Any]:
        return {"requests": self.requests, "saved_micros": self.saved_micros}


class Routing(Struct, frozen=True):
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    """By circuit; `*/model` where the model is gone from every lane."""
    in_force: tuple[str, ...] = ()
    """Ids of the flags that bent the last tick."""
    effects: Mapping[str, Effect] = field(default_factory=dict)
    """By flag."""

    def learned(self, health: Mapping[str, Health], now: datetime) -> Routing:
        """With what providers said they do not have; after LACKING_FOR it is forgotten."""
        lacks = {name: lack for name, lack in self.lacks.items() if now - lack.at < LACKING_FOR}
        for name, seen in health.items():
            if seen.lack is None or now - seen.lack.at >= LACKING_FOR:
                continue
            key = circuit("*", name.partition("/")[2]) if seen.lack.kind == FailureKind.MODEL_GONE else name
            if key not in lacks or seen.lack.at > lacks[key].at:
                lacks[key] = seen.lack
        return replace(self, lacks=lacks)

    @property
    def lacking(self) -> dict[str, str]:
        """By circuit, in words."""
        return {name: _words(name, lack) for name, lack in self.lacks.items()}

    def granted(self, grants: Sequence[Grant]) -> Routing:
        """After these have their slots."""
        circuits = dict(self.circuits)
        effects = dict(self.effects)
        for grant in grants:
            planned = grant.candidate.planned
            name = planned.route.circuit
            circuits[name] = circuits.get(name, Circuit()).started(grant.slot_at)
            if planned.probe is not None:
                circuits[planned.probe] = replace(circuits[planned.probe], probed_at=grant.slot_at)
            for flag_id in planned.flags:
                effects[flag_id] = effects.get(flag_id, Effect()).plus(planned.saved_micros)
        return replace(self, circuits=circuits, effects=effects)

    def batched(self, planned: Sequence[Planned]) -> Routing:
        """After these were put aside for a batch: what the flags changed among them."""
        effects = dict(self.effects)
        for each in planned:
            for flag_id in each.flags:
                effects[flag_id] = effects.get(flag_id, Effect()).plus(each.saved_micros)
        return replace(self, effects=effects)

    def shadowed(self, flag_id: str, saved_micros: int) -> Routing:
        effect = self.effects.get(flag_id, Effect()).plus(saved_micros)
        return replace(self, effects={**self.effects, flag_id: effect})

    def under(self, flag_ids: Sequence[str], kept: Sequence[str]) -> Routing:
        """With these in force; effects of flags that are no more on the board are let go."""
        effects = {each: effect for each, effect in self.effects.items() if each in kept}
        return replace(self, in_force=tuple(flag_ids), effects=effects)

    def to_json(self) -> dict[str, Any]:
        return {
            "circuits": {name: each.to_json() for name, each in self.circuits.items()},
            "lacks": {name: {"kind": each.kind, "at": each.at} for name, each in self.lacks.items()},
            "in_force": list(self.in_force),
            "effects": {name: each.to_json() for name, each in self.effects.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Routing:
        return cls(
            {name: Circuit.from_json(each) for name, each in data["circuits"].items()},
            {name: Lack(each["kind"], each["at"]) for name, each in data["lacks"].items()},
            tuple(data["in_force"]),
            {name: Effect(each["requests"], each["saved_micros"]) for name, each in data["effects"].items()},
        )


def _words(name: str, lack: Lack) -> str:
    at = lack.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    lane, _, model = name.partition("/")
    if lack.kind == FailureKind.MODEL_GONE:
        return f"{model} is gone (404 at {at}): correct its status and successor in the catalogue"
    return f"{model} does not take the lane {lane} (400 at {at}): remove it from the catalogue"
