"""Requests chosen by filter: the options that `list`, `cancel` and `revive` share, and reading the matching
requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from shared.core.messages.render_request import PRIORITIES
from shared.core.provider.outcome_code import OF_REQUESTS
from shared.core.times.moments import read_moment

if TYPE_CHECKING:
    from shared.core.catalogue.catalogue import Catalogue
    from shared.core.records.request import RequestRow
    from shared.core.records.versioned import Row
    from shared.core.values.documents import Document
    from shared.ports.store import Store

PAGE = 500
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class TimeOption(click.ParamType[datetime]):
    """A time with offset; or 90s, 30m, 2h or 1d, before or after now."""

    name = "TIME"

    def __init__(self, *, from_now: bool = False) -> None:
        self._from_now = from_now

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        ago = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
        try:
            if ago:
                length = timedelta(**{UNITS[ago[2]]: int(ago[1])})
                return datetime.now(UTC) + (length if self._from_now else -length)
        except OverflowError:
            pass
        moment = read_moment(text.upper())
        if moment is None:
            how = "from now" if self._from_now else "ago"
            allowed = f"a time such as 2026-11-22T12:00:00Z, or how long {how}: 90s, 30m, 2h, 1d"
            self.fail(f"found {text!r}; allowed: {allowed}.", param, ctx)
        return moment


OPTIONS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "tenant": click.option("--tenant", metavar="NAME", help="Only this tenant."),
    "model": click.option("--model", metavar="NAME", help="Only requests for this model or routed to it."),
    "priority": click.option("--priority", type=click.Choice(PRIORITIES), help="Only this priority."),
    "outcome": click.option("--outcome", type=click.Choice(OF_REQUESTS), metavar="CODE", help="Only this outcome."),
    "group": click.option("--group", metavar="NAME", help="Only this group."),
    "flag": click.option("--flag", metavar="ID|NAME", help="Only requests whose last route this flag changed."),
    "since": click.option("--since", type=TimeOption(), help="Accepted at or after: a time, or 90s, 30m, 2h, 1d ago."),
    "until": click.option("--until", type=TimeOption(), help="Accepted at or before."),
}


def options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The filters of these names as options of a command, in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return add


class ListFilter(Struct, frozen=True):
    """Which requests match; a field that is None does not filter."""

    statuses: tuple[str, ...] = ()
    """Empty: any."""
    tenant: str | None = None
    model: str | None = None
    """An alias or id of the catalogue."""
    priority: str | None = None
    outcome: str | None = None
    group: str | None = None
    flag: str | None = None
    lane: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    model_ids: tuple[str, ...] = ()
    """What `model` means; see `with_models`."""

    def with_models(self, catalogue: Catalogue) -> ListFilter:
        """Raises click.BadParameter for a model that the catalogue does not have."""
        if self.model is None:
            return self
        from scripts.cli.data.steer.flag_options import live_model

        live = live_model(self.model, catalogue)
        return replace(self, model_ids=tuple({catalogue.find(self.model).id, str(live)}))

    @property
    def takes_all(self) -> bool:
        """Whether the status and the time alone decide."""
        return self.matches_by == ()

    @property
    def matches_by(self) -> tuple[str, ...]:
        names = ("tenant", "model", "priority", "outcome", "group", "flag", "lane")
        return tuple(name for name in names if getattr(self, name) is not None)

    def takes(self, request: RequestRow) -> bool:
        models = {request.asked_model, request.route.model}
        return (
            self.tenant in (None, request.tenant)
            and self.priority in (None, request.priority)
            and self.group in (None, request.group)
            and self.lane in (None, request.route.lane)
            and (self.outcome is None or request.outcome_code == self.outcome)
            and (not self.model_ids or bool(models & set(self.model_ids)))
            and (self.flag is None or any(_is_flag(flag_id, self.flag) for flag_id in request.flags))
        )


def _is_flag(flag_id: str, named: str) -> bool:
    """By its id, or by its name, with which all its ids begin."""
    return flag_id == named or flag_id.rpartition("-")[0] == named


async def read(
    store: Store, choice: ListFilter, limit: int | None = None, unreadable: list[Document] | None = None
) -> list[Row]:
    """All matching requests, newest first, without their prompts. Unreadable ones are added to `unreadable`."""
    from shared.core.records.request import ROW_FIELDS

    return await _read(store, choice, ROW_FIELDS, limit, unreadable)


async def read_whole(
    store: Store, choice: ListFilter, limit: int | None = None, unreadable: list[Document] | None = None
) -> list[Row]:
    """The same as whole documents, including prompts."""
    return await _read(store, choice, (), limit, unreadable)


async def _read(
    store: Store, choice: ListFilter, fields: Sequence[str], limit: int | None, unreadable: list[Document] | None
) -> list[Row]:
    damaged = [] if unreadable is None else unreadable
    chosen: list[Row] = []
    for status in choice.statuses or (None,):
        kept: list[Row] = []
        async for page in _pages(store, choice, status, fields, limit, damaged):
            kept += page
            if limit is not None and len(kept) >= limit:
                break
        chosen += kept
    return sorted(chosen, key=lambda row: (row.record.created_at, row.id), reverse=True)[:limit]


async def _pages(
    store: Store,
    choice: ListFilter,
    status: str | None,
    fields: Sequence[str],
    limit: int | None,
    damaged: list[Document],
) -> AsyncIterator[list[Row]]:
    """There is no index for tenants, models and outcomes: of all requests that are read, the matching ones fill the
    pages. Requests of the same instant may be on both sides of a page's edge: a page begins with those that were
    already read there."""
    from shared.core.lifecycle import queries
    from shared.core.values.documents import Range

    at_most = PAGE if limit is None or not choice.takes_all else min(limit, PAGE)
    since = () if choice.since is None else (Range("created_at", ">=", choice.since),)
    edge, before = choice.until, frozenset[str]()
    while True:
        bounds = since if edge is None else (*since, Range("created_at", "<=", edge))
        at_most = max(at_most, len(before))
        query = replace(queries.newest(status, at_most + len(before)), bounds=bounds, fields=fields)
        page = await store.query(query)
        rows, broken = _sorted_out(page)
        damaged += [document for document in broken if document.id not in before]
        yield [row for row in rows if row.id not in before and choice.takes(row.record)]
        if len(page) < query.limit:
            return
        if rows:
            edge = rows[-1].record.created_at
        at_edge = [row.id for row in rows if row.record.created_at == edge]
        before = frozenset([*at_edge, *(document.id for document in broken)])


def _sorted_out(page: Sequence[Document]) -> tuple[list[Row], list[Document]]:
    """Those that can be read, and the others."""
    from shared.core.records.versioned import row_in
    from shared.core.values.documents import UnreadableDocument

    rows: list[Row] = []
    broken: list[Document] = []
    for document in page:
        try:
            rows.append(row_in(document))
        except UnreadableDocument:
            broken.append(document)
    return rows, broken


def say_unreadable(documents: Sequence[Document]) -> None:
    """On standard error, one line each."""
    for document in documents:
        click.echo(f"{document.path}: skipped: the row in the store is damaged", err=True)
