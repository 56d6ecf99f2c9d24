"""How a request ended, as published on `render-results`. Fields that this version does not know are ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

REJECTED = "rejected"
"""The message could not be taken; never final for its id."""


class NotAResult(ValueError):
    """The message is none of the worker's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: str
    """For programs."""
    message: str
    advice: str = ""
    """What to do now; empty where all is well."""


@dataclass(frozen=True, slots=True)
class Requested:
    model: str
    image_size: str
    lane: str


@dataclass(frozen=True, slots=True)
class Delivered:
    model: str
    image_size: str
    lane: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Result:
    request_id: str
    status: str
    """`succeeded`, `refused`, `failed`, `expired`, `cancelled`; or `rejected` for a message that could not be taken."""
    outcome: Outcome
    cost_usd: Decimal
    """Of all attempts."""
    image_uri: str | None = None
    tenant: str | None = None
    group: str | None = None
    round: int | None = None
    revives: str | None = None
    """The request that an operator revived as this one."""
    requested: Requested | None = None
    delivered: Delivered | None = None
    reasons: tuple[str, ...] = ()
    """Why it differs from what was asked."""
    mismatches: tuple[str, ...] = ()
    cost_basis: str | None = None
    attempt_count: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    trace_id: str | None = None
    message_id: str | None = None
    """Of the message that asked for it."""
    finished_at: datetime | None = None

    @property
    def ok(self) -> bool:
        return self.status == "succeeded"

    @classmethod
    def parse(cls, data: bytes) -> Result:
        """Raises NotAResult."""
        try:
            members = json.loads(data)
            return cls(
                request_id=_text(members["request_id"]),
                status=_text(members["status"]),
                outcome=Outcome(
                    **known_fields(Outcome, members.get("outcome") or {"code": members["status"], "message": ""})
                ),
                cost_usd=Decimal(members.get("cost_usd") or 0),
                requested=Requested(**known_fields(Requested, members["requested"]))
                if members.get("requested")
                else None,
                delivered=Delivered(**known_fields(Delivered, members["delivered"]))
                if members.get("delivered")
                else None,
                reasons=tuple(members.get("reasons") or ()),
                mismatches=tuple(members.get("mismatches") or ()),
                labels=dict(members.get("labels") or {}),
                attempt_count=int(members.get("attempt_count") or 0),
                finished_at=datetime.fromisoformat(members["finished_at"]) if members.get("finished_at") else None,
                **{name: members.get(name) for name in AS_THEY_ARE},
            )
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation, RecursionError) as error:
            raise NotAResult(f"not a result: {type(error).__name__}") from error


AS_THEY_ARE = (
    "image_uri", "tenant", "group", "round", "revives", "cost_basis", "trace_id", "message_id",
)  # fmt: skip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value


def known_fields(kind: type[Any], members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in kind.__slots__ if name in members}
