"""Forms that trip, extend and reset flags: what was filled in, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from functions.console.guard import Form
from shared.core.messages.render_request import PURPOSES
from shared.core.routing import flag_form
from shared.core.routing.flag import DEFAULT_EXPIRY
from shared.core.routing.flag_kinds import FLAGS, NAMES, TO, WITH_TO, FlagKind, FlagName
from shared.core.values.lanes import ASKABLE
from shared.core.values.validation import Problem

FIELDS = ("name", "to", "tenant", "purpose", "model", "lane", "share", "lasts", "reason", "shadow")
DEFAULTS = {
    "name": WITH_TO[0],
    "to": TO[-1],
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

    flags: Mapping[FlagName, FlagKind] = field(default_factory=lambda: FLAGS)
    with_to: tuple[FlagName, ...] = WITH_TO
    sizes: tuple[str, ...] = TO
    purposes: tuple[str, ...] = PURPOSES
    lanes: tuple[str, ...] = ASKABLE
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
