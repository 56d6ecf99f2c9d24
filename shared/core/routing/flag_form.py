"""A flag as it is requested, from the words of a command line or a form to the value. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct

from shared.core.catalogue.catalogue import Catalogue, UnknownModel
from shared.core.messages.render_request import PURPOSES, InvalidRequest, RenderRequest
from shared.core.routing.flag import BREAKER, LONGEST_EXPIRY, Flag, Scope
from shared.core.routing.flag_kinds import FLAGS, NAMES, WITH_TO, FlagName, values_of_to
from shared.core.validation.numbers import whole_number
from shared.core.validation.shapes import Problem
from shared.core.values import lanes

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
REASON_LIMIT = 300
ACTOR_LIMIT = 64


class FlagRequest(Struct, frozen=True):
    """Everything about a flag except its id and its time."""

    name: FlagName
    to: str | None
    scope: Scope
    lasts: timedelta
    actor: str
    reason: str
    shadow: bool = False

    def flag(self, flag_id: str, now: datetime) -> Flag:
        return Flag(
            flag_id, self.name, self.actor, self.reason, now, now + self.lasts, self.to, self.scope, self.shadow
        )  # fmt: skip


def meaning(name: FlagName, catalogue: Catalogue, open_lanes: Collection[str], gateways: Collection[str]) -> str:
    """What the flag does today, with the models that it affects. `gateways`: those that may serve now."""
    match name:
        case "use-nano-banana-2":
            ladder = catalogue.ladder
            usual = catalogue.find(catalogue.default_floor_model).id
            better = ", ".join(ladder[: ladder.index(usual)])
            return f"Today this means {usual}: requests for {better} take it where their floor allows it."
        case "use-vertex" if lanes.VERTEX not in open_lanes:
            return "Vertex AI is not configured here: this changes nothing today."
        case "use-gateway" if not gateways:
            return "No gateway is verified here: this changes nothing today."
        case "use-gateway":
            return f"Requests that allow a gateway are sent to {', '.join(sorted(gateways))}."
        case _:
            return FLAGS[name].in_full


def parse_duration(text: str) -> timedelta | Problem:
    """90s, 30m, 2h or 1d, up to the longest expiry."""
    match = re.fullmatch(r"([0-9]{1,7})([smhd])", text.strip())
    lasts = timedelta(seconds=int(match[1]) * SECONDS[match[2]]) if match else timedelta(0)
    if timedelta(0) < lasts <= LONGEST_EXPIRY:
        return lasts
    allowed = f"a number and s, m, h or d, such as 90s, 30m, 2h or 1d; at most {LONGEST_EXPIRY.days} days"
    return Problem("lasts", repr(text), allowed, "Extend the flag while it is needed.")


def reason(text: str) -> str | Problem:
    line = " ".join(text.split())
    if 1 <= len(line) <= REASON_LIMIT and line.isprintable():
        return line
    length = f"{len(line)} characters" if line else "nothing"
    remedy = "It is recorded in every receipt that the flag changes."
    return Problem("reason", length, f"1 to {REASON_LIMIT} characters of text", remedy)


def actor(text: str) -> str | Problem:
    line = " ".join(text.split())
    if 1 <= len(line) <= ACTOR_LIMIT and line.isprintable() and line != BREAKER:
        return line
    allowed = f"1 to {ACTOR_LIMIT} characters, and not {BREAKER!r}, which is reserved"
    return Problem("actor", repr(text), allowed, "Name who makes the change.")


def model(text: str, catalogue: Catalogue) -> str | Problem:
    """The id of the live model behind an id or alias."""
    try:
        return catalogue.live(text).id
    except UnknownModel:
        return Problem("model", repr(text), ", ".join(catalogue.names), "Use one of these, or omit it.")


def tenant(text: str) -> str | Problem:
    try:
        RenderRequest.parse({"request_id": "x", "prompt": "x", "tenant": text})
    except InvalidRequest as error:
        return error.problems[0]
    return text


def wish(given: Mapping[str, str], who: str, catalogue: Catalogue) -> FlagRequest | list[Problem]:
    """From a form: name, to, tenant, purpose, model, lane, share, lasts, reason; an empty field is not given."""
    given = {name: value.strip() for name, value in given.items() if value.strip()}
    wrong: list[Problem] = []

    def kept(value: object) -> object:
        if isinstance(value, Problem):
            wrong.append(value)
        return value

    name = kept(_one_of("name", given.get("name", ""), NAMES))
    to = kept(_to(given))
    why = kept(reason(given.get("reason", "")))
    lasts = kept(parse_duration(given.get("lasts", "")))
    share = kept(_share(given.get("share", "100")))
    by = kept(actor(who))
    scope = {
        "tenant": kept(tenant(given["tenant"])) if "tenant" in given else None,
        "purpose": kept(_one_of("purpose", given["purpose"], PURPOSES)) if "purpose" in given else None,
        "model": kept(model(given["model"], catalogue)) if "model" in given else None,
        "lane": kept(_one_of("lane", given["lane"], lanes.ASKABLE)) if "lane" in given else None,
        "share": share,
    }
    if wrong:
        return wrong
    assert isinstance(lasts, timedelta)
    return FlagRequest(
        name=cast("FlagName", name), to=cast("str | None", to), scope=Scope(**scope),  # type: ignore[arg-type]
        lasts=lasts, actor=str(by), reason=str(why), shadow="shadow" in given,
    )  # fmt: skip


def _one_of(field: str, text: str, allowed: tuple[str, ...]) -> str | Problem:
    if text in allowed:
        return text
    return Problem(field, repr(text) if text else "nothing", ", ".join(allowed), "Choose one of them.")


def _to(given: Mapping[str, str]) -> str | Problem | None:
    """A flag that takes it must have it; no other one may."""
    to, name = given.get("to"), given.get("name", "")
    if allowed := values_of_to(name):
        return (
            to if to in allowed else Problem("to", repr(to) if to else "nothing", " or ".join(allowed), "Choose one.")
        )
    if to is None or name not in NAMES:
        return None
    return Problem("to", repr(to), f"nothing with {name}", f"Only {' and '.join(WITH_TO)} has a size.")


def _share(text: str) -> int | Problem:
    number = whole_number(text, 3)
    if text.isascii() and number is not None and 1 <= number <= 100:
        return number
    return Problem(
        "share", repr(text[:40]), "a whole number from 1 to 100", "It is the percentage of the matching requests."
    )
