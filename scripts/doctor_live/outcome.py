"""The end of one probe, as the report keeps it. No key, no image; of texts only the provider's own, redacted."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from scripts.doctor_live.probes import Probe
from shared.core.provider.usage import Usage


class ProbeOutcome(Struct, frozen=True):
    probe: Probe
    code: str
    """`image`, or the failure's kind."""
    http_status: int | None = None
    provider_code: str = ""
    message: str = ""
    model_served: str = ""
    tier_served: str = ""
    mime_type: str = ""
    width: int = 0
    height: int = 0
    usage: Usage | None = None
    cost_micros: int | None = None
    """By the catalogue's prices and the tokens that were counted; None = nobody can say."""
    seconds: float = 0.0
    interaction_id: str = ""

    @property
    def made(self) -> bool:
        return self.code == "image"

    @property
    def is_statement(self) -> bool:
        """It says something about the capability, and not about the key, the quota or the moment."""
        return self.made or self.code in STATEMENTS

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["probe"] = asdict(self.probe)
        fields["usage"] = asdict(self.usage) if self.usage is not None else None
        return fields


STATEMENTS = frozenset({"invalid_request", "lane_unsupported", "model_gone"})
"""Failures by which the API says that it does not have what was asked."""
