"""What one check came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    owner: str
    check: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to do; empty where it passes."""


def passes(owner: str, check: str, found: str) -> Finding:
    return Finding(owner, check, "pass", found)


def fails(owner: str, check: str, found: str, remedy: str) -> Finding:
    return Finding(owner, check, "fail", found, remedy)


def unknown(owner: str, check: str, found: str, remedy: str) -> Finding:
    return Finding(owner, check, "unknown", found, remedy)
