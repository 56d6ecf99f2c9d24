"""Which requests a list shows, parsed from an address or a form. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from urllib.parse import urlencode

from msgspec import Struct, field

from shared.core.catalogue.catalogue import Catalogue, UnknownModel
from shared.core.lifecycle import revival
from shared.core.messages.render_request import PRIORITIES
from shared.core.records.request import RequestRow
from shared.core.validation.shapes import Problem
from shared.core.values.lanes import BUILT
from shared.core.values.status import FINAL

Sort: TypeAlias = Literal["newest", "longest", "dearest"]
SORTS: tuple[Sort, ...] = ("newest", "longest", "dearest")
AWAITING = "awaiting"
"""Those of `rendering` that wait for their interaction at the provider."""
STATUSES = ("queued", "released", "rendering", AWAITING, "batched", *FINAL)
FIELDS = ("status", "outcome", "tenant", "model", "lane", "priority", "flag", "since", "until", "text", "sort")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TEXT_LIMIT = 128
_TEXT = re.compile(r"[A-Za-z0-9._:~-]{1,128}")


class RequestFilter(Struct, frozen=True):
    """Fields that are None or empty do not filter."""

    status: str | None = None
    outcome: str | None = None
    tenant: str | None = None
    model: str | None = None
    """An id of the catalogue."""
    lane: str | None = None
    priority: str | None = None
    flag: str | None = None
    """On the last route: an id, or the name that its ids begin with."""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    """A part of the id."""
    sort: Sort = "newest"
    words: Mapping[str, str] = field(default_factory=dict)
    """As an address, without empty fields."""

    @property
    def stored_status(self) -> str | None:
        """The statuses that matching documents have."""
        return "rendering" if self.status == AWAITING else self.status

    def takes(self, key: str, request: RequestRow) -> bool:
        """Whether a document matches; the query has already filtered by status, tenant and time."""
        return (
            self.stored_status in (None, request.status)
            and (self.status != AWAITING or request.is_awaiting)
            and self.tenant in (None, request.tenant)
            and self.priority in (None, request.priority)
            and self.lane in (None, request.route.lane)
            and (self.outcome is None or request.outcome_code == self.outcome)
            and (self.model is None or self.model in (request.asked_model, request.route.model))
            and (self.flag is None or any(_is_flag(flag_id, self.flag) for flag_id in request.flags))
            and (not self.text or self.text.lower() in key.lower())
        )

    def address(self, **changes: str) -> str:
        """The query string for the same filter with these changes; an empty value removes a field."""
        return urlencode({name: word for name, word in {**self.words, **changes}.items() if word})


def parse(given: Mapping[str, str], catalogue: Catalogue, now: datetime) -> tuple[RequestFilter, list[Problem]]:
    """A value that means nothing is ignored, and named."""
    words = {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}
    wrong: list[Problem] = []

    def one_of(name: str, allowed: Collection[str]) -> str | None:
        word = words.get(name)
        if word is None or word in allowed:
            return word
        wrong.append(Problem(name, repr(word[:80]), ", ".join(allowed), "Choose one of them."))
        del words[name]
        return None

    def moment(name: str) -> datetime | None:
        word = words.get(name)
        at = None if word is None else _moment(word, now)
        if word is not None and at is None:
            allowed = "90s, 30m, 2h or 1d ago, or a time such as 2026-11-22T12:00Z"
            wrong.append(Problem(name, repr(word[:80]), allowed, "Correct it."))
            del words[name]
        return at

    model = words.get("model")
    if model is not None:
        try:
            model = catalogue.find(model).id
        except UnknownModel:
            wrong.append(Problem("model", repr(model[:80]), ", ".join(catalogue.names), "Choose one of them."))
            del words["model"]
            model = None
    for name in ("text", "tenant", "outcome", "flag"):
        if name in words and _TEXT.fullmatch(words[name]) is None:
            allowed = f"1 to {TEXT_LIMIT} letters, digits and . _ : ~ -"
            wrong.append(Problem(name, repr(words.pop(name)[:80]), allowed, "Correct it."))
    sort: Sort = next((sort for sort in SORTS if sort == words.get("sort")), "newest")
    chosen = RequestFilter(
        status=one_of("status", STATUSES), outcome=words.get("outcome"), tenant=words.get("tenant"), model=model,
        lane=one_of("lane", BUILT), priority=one_of("priority", PRIORITIES), flag=words.get("flag"),
        since=moment("since"), until=moment("until"), text=words.get("text", ""), sort=sort, words=words,
    )  # fmt: skip
    return chosen, wrong


def can_be_cancelled(request: RequestRow) -> bool:
    return not request.is_final and not request.has_begun


def can_be_revived(request: RequestRow) -> bool:
    """As part of a group: a refusal is an answer, and is only retried by its own id."""
    return request.status in revival.BY_FILTER and request.revived_as is None


def lasted(request: RequestRow, now: datetime) -> timedelta:
    """From acceptance to the end, or to now."""
    return (request.finished_at or now) - request.created_at


def _moment(word: str, now: datetime) -> datetime | None:
    """A time with offset, or a duration before now."""
    ago = re.fullmatch(r"([0-9]{1,7})([smhd])", word)
    try:
        if ago:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(word.upper())
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_flag(flag_id: str, named: str) -> bool:
    return flag_id == named or flag_id.rpartition("-")[0] == named
