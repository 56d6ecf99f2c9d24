"""How times, money and reasons are shown to people, in the terminal and on pages alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.core.admission.route_memory import Effect
from shared.core.routing.breaker import Circuit
from shared.core.routing.flag import Flag
from shared.core.values.documents import Fields


def dollars(micros: int) -> str:
    """To a hundredth of a cent; a smaller amount that is not zero is shown as less than that."""
    return "<$0.0001" if 0 < micros < 100 else f"${micros / 1_000_000:.4f}"


def money(micros: int) -> str:
    """In cents, for headlines; amounts below a cent in full."""
    return dollars(micros) if 0 < abs(micros) < 10_000 else f"${micros / 1_000_000:,.2f}"


def seconds(duration: timedelta | None) -> str:
    if duration is None:
        return "-"
    total = duration.total_seconds()
    return f"{total:.1f} s" if total < 600 else f"{total / 60:.0f} min"


def duration(span: timedelta) -> str:
    """To the millisecond if it is short."""
    total = span.total_seconds()
    if total < 1:
        return f"{total * 1000:.0f} ms"
    if total < 120:
        return f"{total:.2f} s"
    minutes, rest = divmod(round(total), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def age(at: datetime, now: datetime) -> str:
    total = max(0, int((now - at).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if total >= size:
            return f"{total // size} {unit}"
    return f"{total} s"


def left(time: timedelta) -> str:
    total = max(0, int(time.total_seconds()))
    if total < 600:
        return f"{total // 60} min {total % 60} s" if total >= 60 else f"{total} s"
    return f"{total // 60} min" if total < 3_600 else f"{total // 3_600} h {total % 3_600 // 60} min"


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC" if utc.second else "%Y-%m-%d %H:%M UTC")


def effect_text(effect: Effect) -> str:
    """What a flag changed, or a shadow flag would have changed."""
    if not effect.requests:
        return "nothing"
    return f"{effect.requests:,} request{'' if effect.requests == 1 else 's'}, {saved(effect.saved_micros)}"


def saved(micros: int) -> str:
    return f"{dollars(-micros)} more" if micros < 0 else f"{dollars(micros)} less"


def wait_reason(model: str, why: Fields) -> str:
    """Say why the queue of a model waits; `why` has `reason`, `until` and `why`."""
    until = f" until {minute(why['until'])}" if why["until"] else ""
    match why["reason"]:
        case "closed":
            return f"{model} is closed{until}" + (f" ({why['why']})" if why["why"] else "")
        case "day":
            return f"the daily quota is used up{until}"
        case "minute":
            return "the quota of this minute is used up"
        case "zero":
            return "its limit is 0: no billing, or the project may not use it"
        case "pace":
            return "throttled to the rate limit; the next request starts soon"
        case "concurrency":
            return "the concurrency limit is reached"
        case "spend":
            return "the ten-minute spend limit is reached"
        case "paused":
            return f"paused{until} ({why['why']})"
        case "no route":
            return f"every route is unavailable: {why['why']}"
        case other:
            return f"{other}{until}"


def probes(flag: Flag, circuit: Circuit | None, now: datetime) -> str:
    """The state of a breaker's flag and its probes."""
    if flag.held_by is not None:
        return f"kept open by {flag.held_by} until {moment(flag.expires_at)}"
    if circuit is None or circuit.probed_at is None:
        return "not probed yet"
    again = f", tripped {circuit.trips} times in a row" if circuit.trips > 1 else ""
    return f"last probe {age(circuit.probed_at, now)} ago, closes after {circuit.well_probes} successful ones{again}"


def count(number: int, noun: str) -> str:
    """`1 request`, `1,200 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
