"""What one worker process reports to the pump: `evidence/{process}`, always complete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from msgspec import field
from msgspec.structs import replace

from shared.core.conclusions.evidence import Heard
from shared.core.limits.observations import ModelObservations
from shared.core.provider.circuit_health import Health
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields


class WorkerReport(Stored, frozen=True):
    updated_at: datetime
    """By the worker's clock."""
    expire_at: datetime
    models: Mapping[str, ModelObservations] = field(default_factory=dict)
    routes: Mapping[str, Health] = field(default_factory=dict)
    """By circuit."""
    heard: Mapping[str, Heard] = field(default_factory=dict)
    """For and against conclusions, by id; none in a report of an older release."""

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {name: _fields(getattr(self, name)) for name in ("models", "routes", "heard")}

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        """Each part reads itself: fields of a newer release are ignored."""
        return replace(
            super().from_json({**data, "models": {}, "routes": {}, "heard": {}}),
            models={model: ModelObservations.from_json(fields) for model, fields in data["models"].items()},
            routes={circuit: Health.from_json(fields) for circuit, fields in data["routes"].items()},
            heard={conclusion: Heard.from_json(fields) for conclusion, fields in data.get("heard", {}).items()},
        )


def _fields(parts: Mapping[str, Stored]) -> dict[str, Any]:
    return {name: part.to_json() for name, part in parts.items()}
