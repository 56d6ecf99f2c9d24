"""Which quota a 429 of the Gemini API is about, and when to try again. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

from shared.adapters.gemini_errors.error_codes import BUSY, NO_MONEY
from shared.core.provider.failure import FailureKind
from shared.core.values.late_pattern import late_pattern

LONGEST_HINT = timedelta(days=7)
"""A longer hint of a server is not believed: no quota of the Gemini API lasts longer than a day."""
UNLIMITED = 9 * 10**18
"""Google writes -1 or about 2**63 for "no limit"."""

_ZERO = late_pattern(r"\blimit:\s*0(?![.\d])", re.I)
_NO_MONEY = late_pattern(
    r"insufficient[ _-]+(user[ _]quota|(account |available |remaining |user |your )?(balance|funds|credits?|quota))"
    r"|not[ _]enough[ _](balance|funds|credits?|quota|money)"
    r"|\b(credits?|balance|funds) (are|is|has been|have been|has|have) "
    r"(depleted|exhausted|used up|insufficient|too low|not (enough|sufficient)|run out|negative)"
    r"|\b(balance|credits?|funds) (too low|exhausted|depleted)\b"
    r"|\b(exhausted|depleted) (balance|credits?|funds|budget)\b"
    r"|\bexceeded\w+budget\b|\bover budget\b|\bcrossed budget\b"
    r"|\binsufficient \w+ (balance|funds|credits?)\b|\btop up (your|the) (balance|account)\b"
    r"|\b(ha(s|ve)|with|there (is|are)) no (more |remaining |available )?(balance|credits?|funds)\b"
    r"|\bno (balance|credits?|funds) (left|remaining|available)\b|\bout of (credits?|funds|balance)\b"
    r"|\b(run|ran) out of (credits?|funds|balance)\b|\brequires more credits\b|\badd (more )?credits\b"
    r"|\b(budget|credit limit|billing hard limit|spending cap|monthly spend(ing)?( cap| limit)?)\b.{0,40}"
    r"\b(exceeded|reached|hit|exhausted)\b"
    r"|\b(exceeded|reached|hit|over)\b.{0,30}\b(budget|billing hard limit|spending cap|monthly spend)"
    r"|\bmonthly spend(ing)? (cap|limit)"
    r"|\b(key|token|account) (limit|quota) (exceeded|exhausted)\b|\bplease (recharge|top up|top-up)\b|\barrears\b"
    r"|余额不足|额度不足|额度已用尽|额度已用完|配额不足|预扣费.{0,10}失败|欠费|请充值|積分不足|积分不足",
    re.I,
)
_INNOCENT = late_pattern(
    r"\b(no|not|nothing|never|without)\b[^.;!,]{0,40}\b(charged?|charging|used|deducted|billed|consumed|spent)\b", re.I
)
"""A rejection says nothing about what is left."""
_BUSY = late_pattern(
    r"high demand|overloaded|\bat capacity\b|\b(no|insufficient|out of|not enough) capacity\b"
    r"|model is (currently )?busy",
    re.I,
)
_PER_DAY = late_pattern(r"per[ _-]?day", re.I)
_PER_MINUTE = late_pattern(r"per[ _-]?minute", re.I)
_SPEND = late_pattern(r"spend", re.I)
_RETRY_IN = late_pattern(
    r"retry\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*(?:hours?|minutes?|seconds?|ms|us|µs|ns|h|m|s)\s*)+)", re.I
)
_SPAN = late_pattern(r"(\d+(?:\.\d+)?)\s*(hours?|minutes?|seconds?|ms|us|µs|ns|h|m|s)", re.I)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Violation(Struct, frozen=True):
    """One quota of google.rpc.QuotaFailure that was exceeded."""

    quota_id: str
    value: int | None
    """The limit; None if it is missing or unlimited."""
    metric: str = ""

    @property
    def names(self) -> str:
        return f"{self.quota_id} {self.metric}"


class _Violation(msgspec.Struct):
    quotaId: str = ""
    quotaMetric: str = ""
    quotaValue: int | float | str | None = None
    subject: str = ""


def violations(raw: Iterable[msgspec.Raw]) -> Iterator[Violation]:
    """The violations that can be read; others are ignored, because the status alone says enough."""
    for item in raw:
        try:
            violation = msgspec.json.decode(item, type=_Violation)
        except (ValueError, RecursionError):
            continue
        quota_id = re.sub(r"[^\w.:/-]", "", violation.quotaId)[:128]
        yield Violation(quota_id, _limit(violation.quotaValue), violation.quotaMetric or violation.subject)


def kind(codes: Collection[str], message: str, violations: Sequence[Violation]) -> tuple[FailureKind, Violation | None]:
    """The quota that a 429 means. Of several the longest closed wins: a body that names day and minute is the day's,
    in spite of its retryDelay (one real body named both, with 856 ms). A limit of 0 never opens: no billing."""
    nothing = next((violation for violation in violations if violation.value == 0), None)
    if nothing or _ZERO().search(message):
        return FailureKind.BALANCE, nothing
    for pattern, named in (
        (_PER_DAY, FailureKind.QUOTA_DAY),
        (_SPEND, FailureKind.QUOTA_SPEND),
        (_PER_MINUTE, FailureKind.QUOTA_MINUTE),
    ):
        violation = next((violation for violation in violations if pattern().search(violation.names)), None)
        if violation:
            return named, violation
    if _SPEND().search(message):
        return FailureKind.QUOTA_SPEND, None
    if "quota_exceeded" in codes or _PER_DAY().search(message):
        return FailureKind.QUOTA_DAY, None
    if "rate_limit_exceeded" in codes or _PER_MINUTE().search(message):
        return FailureKind.QUOTA_MINUTE, None
    return FailureKind.QUOTA_UNKNOWN, worst(violations)


def has_no_balance(codes: Collection[str], message: str) -> bool:
    """An empty account: waiting does not help, money does."""
    return not NO_MONEY.isdisjoint(codes) or bool(_NO_MONEY().search(_INNOCENT().sub(" ", message)))


def is_overload(codes: Collection[str], message: str) -> bool:
    """A 429 of a server without capacity: not about our quota."""
    return not BUSY.isdisjoint(codes) or bool(_BUSY().search(message))


def worst(violations: Sequence[Violation]) -> Violation | None:
    """The violation with the smallest known limit."""
    return min(
        violations, key=lambda violation: UNLIMITED if violation.value is None else violation.value, default=None
    )


def retry_after(
    headers: Mapping[str, str], retry_delays: Iterable[str], message: str, now: datetime
) -> timedelta | None:
    """The largest of the server's hints: Retry-After (seconds or a date), RetryInfo.retryDelay, "Please retry in …".
    For a daily quota it is kept as stated by the server, and is not to be trusted."""
    hints = [_header(headers.get("retry-after", ""), now), *(_duration(retry_delay) for retry_delay in retry_delays)]
    hints += [_duration(item) for item in _RETRY_IN().findall(message)]
    return max((min(hint, LONGEST_HINT) for hint in hints if hint is not None), default=None)


def _header(text: str, now: datetime) -> timedelta | None:
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", text):
        return timedelta(seconds=float(text.strip()))
    try:
        date = parsedate_to_datetime(text)
        return max(timedelta(0), (date if date.tzinfo else date.replace(tzinfo=UTC)) - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _duration(text: str) -> timedelta | None:
    """`45.837906927s`, `1h52m56.4s`, `856.1ms`, `30 seconds`."""
    spans = _SPAN().findall(text[:100])
    if not spans or re.sub(r"\s", "", _SPAN().sub("", text[:100])):
        return None
    seconds = 0.0
    for number, unit in spans:
        unit = unit.lower()
        seconds += float(number[:20]) * _SECONDS[unit[0] if unit[0] in "hs" or unit.startswith("minute") else unit]
    return timedelta(seconds=min(seconds, LONGEST_HINT.total_seconds()))


def _limit(value: int | float | str | None) -> int | None:
    try:
        number = int(float(value)) if value is not None else -1
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < UNLIMITED else None
