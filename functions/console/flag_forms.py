"""Forms that trip, extend and reset flags: what was filled in, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from functions.console.guard import Form
from shared.core.messages.render_request import LANES, PURPOSES
from shared.core.routing import flag_form
from shared.core.routing.flag import DEFAULT_EXPIRY, LOWER_TO, NAMES, FlagName
from shared.core.values.validation import Problem

FIELDS = ("name", "to", "tenant", "purpose", "model", "lane", "share", "lasts", "reason", "shadow")
MEANING: Mapping[FlagName, str] = {
    "pause": "matching requests wait",
    "lower-resolution": "limits the size",
    "use-nano-banana-2": "a cheaper model, if the floor allows it",
    "use-flex": "half the price, slower, may be rejected under load",
    "use-batch": "half the price, up to a day, only with consent",
    "use-gateway": "a verified third-party gateway, only with consent",
}
DEFAULTS = {
    "name": "lower-resolution",
    "to": "1K",
    "share": "100",
    "lasts": f"{DEFAULT_EXPIRY.total_seconds() / 3_600:.0f}h",
}
FLAG_ID = re.compile(rf"({'|'.join(NAMES)})-[0-9a-f]{{4}}")
LASTS = ("30m", "1h", "2h", "6h", "1d")


class Filled(Struct, frozen=True):
    """A form as it is shown."""

    values: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    """What to say beside a field."""

    def of(self, name: str) -> str:
        return self.values.get(name, "")

    @classmethod
    def anew(cls) -> Filled:
        return cls(dict(DEFAULTS))

    @classmethod
    def again(cls, form: Form, problems: list[Problem]) -> Filled:
        kept = {name: form.get(name, "") for name in FIELDS}
        return cls(kept, {each.field: told(each) for each in problems})


class Choices(Struct, frozen=True):
    """What the form offers."""

    names: tuple[str, ...] = NAMES
    meaning: Mapping[FlagName, str] = field(default_factory=lambda: MEANING)
    sizes: tuple[str, ...] = LOWER_TO
    purposes: tuple[str, ...] = PURPOSES
    lanes: tuple[str, ...] = LANES
    lasts: tuple[str, ...] = LASTS


def told(problem: Problem) -> str:
    return f"found {problem.found}; allowed: {problem.allowed}. {problem.remedy}"


def seen_expiry(form: Form) -> datetime | None:
    """When the flag ended as the page showed it: a change since is somebody else's. None where it cannot be read."""
    try:
        at = datetime.fromisoformat(form.get("seen", ""))
    except ValueError:
        return None
    return at if at.tzinfo else None


def reason_of(form: Form) -> str | Problem:
    return flag_form.reason(form.get("reason", ""))
