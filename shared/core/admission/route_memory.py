"""What the pump remembers about routes from tick to tick: circuits, conclusions, what flags have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import field
from msgspec.structs import replace

from shared.core.admission.allocation import Grant
from shared.core.admission.open_slots import WITHDRAWN, TakenSlot
from shared.core.conclusions.conclusion import Conclusions
from shared.core.routing.breaker import Circuit
from shared.core.routing.ladder import Planned
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields


class Effect(Stored, frozen=True):
    """What a flag has changed so far, or would have changed."""

    requests: int = 0
    saved_micros: int = 0
    """Sum of the estimates."""

    def plus(self, saved_micros: int) -> Effect:
        return Effect(self.requests + 1, self.saved_micros + saved_micros)


class Routing(Stored, frozen=True):
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    conclusions: Conclusions = field(default_factory=Conclusions)
    in_force: tuple[str, ...] = ()
    """Ids of the flags that changed routes in the last tick."""
    effects: Mapping[str, Effect] = field(default_factory=dict)
    """By flag."""

    @property
    def starts(self) -> dict[str, Mapping[int, int]]:
        """By circuit and second."""
        return {name: circuit.starts for name, circuit in self.circuits.items()}

    @property
    def lacking(self) -> dict[str, str]:
        """Circuits that are unavailable for now, with the reason."""
        return self.conclusions.unavailable_circuits

    def granted(self, grants: Sequence[Grant]) -> Routing:
        """The memory after these got their slots."""
        circuits, conclusions = dict(self.circuits), self.conclusions
        effects = dict(self.effects)
        for grant in grants:
            planned = grant.candidate.planned
            name = planned.route.circuit
            history = grant.candidate.head.history
            if name not in history.sick_on and not history.no_image_count:  # otherwise it has already begun here
                circuits[name] = circuits.get(name, Circuit()).started(grant.slot_at)
            if planned.probe in circuits:
                circuits[planned.probe] = replace(circuits[planned.probe], probed_at=grant.slot_at)
            elif planned.probe is not None:
                conclusions = conclusions.probed(planned.probe, grant.slot_at)
            for flag_id in planned.flags:
                effects[flag_id] = effects.get(flag_id, Effect()).plus(planned.saved_micros)
        return replace(self, circuits=circuits, conclusions=conclusions, effects=effects)

    def started(self, taken: Sequence[TakenSlot]) -> Routing:
        """The memory after these took open slots; a slot that the pump withdrew is no start."""
        circuits, effects = dict(self.circuits), dict(self.effects)
        for taken_slot in taken:
            if taken_slot.request == WITHDRAWN:
                continue
            circuits[taken_slot.circuit] = circuits.get(taken_slot.circuit, Circuit()).started(taken_slot.taken_at)
            for flag_id in taken_slot.flags:
                effects[flag_id] = effects.get(flag_id, Effect()).plus(taken_slot.saved_micros)
        return replace(self, circuits=circuits, effects=effects)

    def batched(self, planned: Sequence[Planned]) -> Routing:
        """The memory after these were put aside for a batch, with what flags changed among them."""
        effects = dict(self.effects)
        for item in planned:
            for flag_id in item.flags:
                effects[flag_id] = effects.get(flag_id, Effect()).plus(item.saved_micros)
        return replace(self, effects=effects)

    def shadowed(self, flag_id: str, saved_micros: int) -> Routing:
        effect = self.effects.get(flag_id, Effect()).plus(saved_micros)
        return replace(self, effects={**self.effects, flag_id: effect})

    def under(self, flag_ids: Sequence[str], kept: Sequence[str]) -> Routing:
        """The memory with these flags in force; effects of flags that are no longer on the board are dropped."""
        effects = {name: effect for name, effect in self.effects.items() if name in kept}
        return replace(self, in_force=tuple(flag_ids), effects=effects)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"conclusions": self.conclusions.to_json()}

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        conclusions = Conclusions.from_json(data.get("conclusions", {}))
        return replace(super().from_json({**data, "conclusions": {}}), conclusions=conclusions)
