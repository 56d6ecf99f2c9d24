"""The result of one check."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Verdict: TypeAlias = Literal["pass", "fail", "unknown"]


class CheckResult(Struct, frozen=True):
    owner: str
    check: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to do; empty if it passes."""


def passes(owner: str, check: str, detail: str) -> CheckResult:
    return CheckResult(owner, check, "pass", detail)


def fails(owner: str, check: str, detail: str, remedy: str) -> CheckResult:
    return CheckResult(owner, check, "fail", detail, remedy)


def unknown(owner: str, check: str, detail: str, remedy: str) -> CheckResult:
    return CheckResult(owner, check, "unknown", detail, remedy)
