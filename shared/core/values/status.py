"""Where a request stands."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

OpenStatus: TypeAlias = Literal["queued", "released", "rendering", "batched"]
FinalStatus: TypeAlias = Literal["succeeded", "refused", "failed", "expired", "cancelled"]
Status: TypeAlias = OpenStatus | FinalStatus
OPEN: tuple[OpenStatus, ...] = get_args(OpenStatus)
FINAL: tuple[FinalStatus, ...] = get_args(FinalStatus)
