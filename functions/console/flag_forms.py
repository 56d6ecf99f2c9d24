"""Forms that trip, extend and reset flags: what was filled in, and what is wrong with it.

Each flag has its own form, with only the fields that it uses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct, field

from functions.console.guard import Form
from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import PURPOSES
from shared.core.routing import flag_form
from shared.core.routing.flag import DEFAULT_EXPIRY
from shared.core.routing.flag_kinds import FLAGS, NAMES, FlagName
from shared.core.times.moments import read_moment
from shared.core.validation.shapes import Problem
from shared.core.values.lanes import ASKABLE

FIELDS = ("name", "to", "tenant", "purpose", "model", "lane", "share", "lasts", "reason", "shadow")
DEFAULTS = {"share": "100", "lasts": f"{DEFAULT_EXPIRY.total_seconds() / 3_600:.0f}h"}
FLAG_ID = re.compile(rf"({'|'.join(NAMES)})-[0-9a-f]{{4}}")
LASTS = ("30m", "1h", "2h", "6h", "1d")


class Filled(Struct, frozen=True):
    """A form as it is shown. No flag is chosen where none was sent."""

    values: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    """The message beside a field."""

    @property
    def name(self) -> str:
        return self.values.get("name", "")

    def of(self, flag: str, name: str) -> str:
        """The content of that field in the flag's form."""
        return self.values.get(name, "") if flag == self.name else DEFAULTS.get(name, "")

    def wrong_in(self, flag: str, name: str) -> str:
        return self.wrong.get(name, "") if flag == self.name else ""

    @classmethod
    def empty(cls, name: str = "") -> Filled:
        return cls({**DEFAULTS, "name": name} if name in NAMES else {})

    @classmethod
    def again(cls, form: Form, problems: list[Problem]) -> Filled:
        kept = {name: form.get(name, "") for name in FIELDS}
        return cls(kept, {problem.field: words(problem) for problem in problems})


class OneForm(Struct, frozen=True):
    """The form of one flag."""

    name: FlagName
    meaning: str
    to: tuple[str, ...]
    """Sizes, the one that is offered first at the start; empty: the flag takes none."""


class Choices(Struct, frozen=True):
    """What the forms offer."""

    forms: tuple[OneForm, ...]
    purposes: tuple[str, ...] = PURPOSES
    lanes: tuple[str, ...] = ASKABLE
    lasts: tuple[str, ...] = LASTS

    @classmethod
    def of(cls, catalogue: Catalogue, open_lanes: Collection[str], gateways: Collection[str]) -> Choices:
        return cls(
            tuple(
                OneForm(name, flag_form.meaning(name, catalogue, open_lanes, gateways), tuple(reversed(kind.to)))
                for name, kind in FLAGS.items()
            )
        )


def words(problem: Problem) -> str:
    return f"found {problem.found}; allowed: {problem.allowed}. {problem.remedy}"


def seen_expiry(form: Form) -> datetime | None:
    """When the flag ended as the page showed it: a different time means that somebody else changed it. None if
    unreadable."""
    return read_moment(form.get("seen", ""))


def reason_of(form: Form) -> str | Problem:
    return flag_form.reason(form.get("reason", ""))
