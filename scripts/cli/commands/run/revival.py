"""Reviving from the command line: what a filter would resubmit and at what price, and the resubmission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click
from msgspec import Struct
from rich.console import RenderableType
from rich.text import Text

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json
from scripts.cli.data.see import filters
from scripts.cli.data.see.filters import ListFilter
from scripts.cli.data.steer import flag_actions
from scripts.cli.views.see import request_view
from shared.config import Settings
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import request_record
from shared.core.messages.request_key import id_of
from shared.core.records.versioned import Row, request_in
from shared.core.routing.ladder import Planned, first_plan
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import Document
from shared.core.values.lanes import BUILT
from shared.core.values.money import usd
from shared.flows.intake.revive import Revived, ReviveRefused, revive_with
from shared.ports.messaging import Topics
from shared.ports.store import Store
from shared.ports.telemetry import Events

AT_ONCE = 50


class Preview(Struct, frozen=True):
    """What a filter chose."""

    requests: Sequence[Row]
    """Without those that were revived before."""
    before: int
    """Revived before, and the new request exists."""
    estimate_micros: int
    """One attempt each by the requested route, on the safe side."""
    unroutable: int
    """No route can serve these any more: they would be rejected."""

    @property
    def before_words(self) -> str:
        return f" ({self.before:,} were revived before)" if self.before else ""

    def overdue(self, now: datetime) -> int:
        return sum(
            1
            for versioned in self.requests
            if versioned.record.deadline is not None and versioned.record.deadline <= now
        )

    def lines(self, deadline: datetime | None) -> list[RenderableType]:
        what = f"would be retried, for about {request_view.dollars(self.estimate_micros)}{self.before_words}"
        lines = request_view.first_ten(self.requests, what)
        lines.append(Text("Estimate: one attempt each, including thinking; each request has its own cap.", "dim"))
        overdue = self.overdue(datetime.now(UTC)) if deadline is None else 0
        if overdue:
            lines.append(f"{overdue:,} with an expired deadline, which is dropped unless --deadline sets a new one")
        if self.unroutable:
            lines.append(f"{self.unroutable:,} no longer have a route in the catalogue and would be rejected")
        return lines

    def to_json(self) -> str:
        return to_json(
            {
                "chosen": len(self.requests),
                "revived_before": self.before,
                "estimate_usd": usd(self.estimate_micros),
                "unroutable": self.unroutable,
                "request_ids": [id_of(versioned.id) for versioned in self.requests],
            }
        )


class _Reach(Struct, frozen=True):
    store: Store
    topics: Topics
    signals: Events


async def look(store: Store, choice: ListFilter, catalogue: Catalogue) -> Preview:
    """What would be revived; nothing is changed."""
    unreadable: list[Document] = []
    requests = await filters.read(store, choice, unreadable=unreadable)
    filters.say_unreadable(unreadable)
    successors = [
        path
        for versioned in requests
        if (name := versioned.record.revived_as)
        for path in request_record.paths_of(versioned.record.tenant, name)
    ]
    there: set[tuple[str, str]] = set()
    for start in range(0, len(successors), filters.PAGE):
        page = await store.get_all(successors[start : start + filters.PAGE])
        there |= {
            (request_in(document).record.tenant, id_of(document.id))
            for document in page
            if isinstance(document, Document)
        }
    fresh = [
        versioned for versioned in requests if (versioned.record.tenant, str(versioned.record.revived_as)) not in there
    ]
    prices: dict[Requirements, int | None] = {}
    for versioned in fresh:
        ask = versioned.record.ask
        if ask not in prices:
            planned = first_plan(ask, catalogue, BUILT)
            prices[ask] = planned.estimate_micros if isinstance(planned, Planned) else None
    estimates = [prices[versioned.record.ask] for versioned in fresh]
    return Preview(fresh, len(requests) - len(fresh), sum(number or 0 for number in estimates), estimates.count(None))


async def send(
    settings: Settings,
    ids: Sequence[str],
    actor: str,
    deadline: datetime | None,
    *,
    as_json: bool,
    report: Callable[[int], None] | None,
) -> int:
    """The exit code: 1 if one could not be revived. `report` gets how many more were handled."""
    refused = 0
    async with worker_home.reading(settings) as store, worker_home.publishing(settings) as topics:
        with flag_actions.signals(settings) as events:
            reach = _Reach(store, topics, events)
            for start in range(0, len(ids), AT_ONCE):
                page = ids[start : start + AT_ONCE]
                ends = await asyncio.gather(*(_revived(reach, name, actor, deadline) for name in page))
                for old_id, end in zip(page, ends, strict=True):
                    refused += isinstance(end, ReviveRefused)
                    _say(old_id, end, as_json=as_json, quiet=report is not None)
                if report is not None:
                    report(len(page))
    worker_home.say_if_simulated(settings)
    worker_home.warn_unless_running(settings)
    if report is not None and not as_json:
        click.echo(f"revived {len(ids) - refused:,}; see `renderlane list`")
    return 1 if refused else 0


async def _revived(reach: _Reach, old_id: str, actor: str, deadline: datetime | None) -> Revived | ReviveRefused:
    try:
        return await revive_with(reach, old_id, actor, deadline=deadline)
    except ReviveRefused as refused:
        return refused


def _say(old_id: str, end: Revived | ReviveRefused, *, as_json: bool, quiet: bool) -> None:
    match end:
        case ReviveRefused():
            click.echo(f"{old_id}: not revived: {end}", err=True)
        case Revived() if as_json:
            members = {
                "request_id": id_of(old_id),
                "revived_as": end.request_id,
                "notes": end.notes,
                "before": end.before,
            }
            click.echo(to_json(members))
        case Revived():
            if quiet:
                return
            before = " (already revived earlier; nothing was sent)" if end.before else ""
            click.echo(f"revived {old_id} as {end.request_id}{before}")
            for note in end.notes:
                click.echo(f"note: {old_id}: {note}", err=True)
