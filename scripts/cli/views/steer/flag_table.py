"""How flags are shown: what is tripped and what it did, what a new one would change, and the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from shared.core.admission.route_memory import Effect
from shared.core.observability.display import age, effect_text, left, moment, probes, saved
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.flag_history import HistoryLine
from shared.core.routing.flag_kinds import lane_of
from shared.core.values.documents import Document
from shared.core.values.lanes import BUILT
from shared.core.values.money import usd
from shared.flows.operations.flag_preview import QueueEffect
from shared.flows.operations.routing_snapshot import RoutingSnapshot


def table(snapshot: RoutingSnapshot) -> RenderableType:
    columns = (
        Column("flag", least=22),
        Column("for", least=9),
        Column("by", least=5, leaves=2),
        Column("because", least=12),
        Column("since", right=True, leaves=1),
        Column("left", right=True),
        Column("so far", least=8),
    )
    return Narrowing(columns, [_row(flag, snapshot) for flag in snapshot.tripped])


def _row(flag: Flag, snapshot: RoutingSnapshot) -> tuple[Cell, ...]:
    effect = snapshot.routing.effects.get(flag.id, Effect())
    by_itself = "" if flag.id.startswith(flag.name) else f" {flag.name}"
    to = f" to {flag.to}" if flag.to else ""
    shadow = " (dry run)" if flag.shadow else ""
    return (
        Text(f"{flag.id}{by_itself}{to}{shadow}", "dim" if flag.shadow else "bold"),
        str(flag.scope),
        flag.actor,
        flag.reason.removeprefix(f"{flag.circuit}: "),
        age(flag.tripped_at, snapshot.now),
        left(flag.expires_at - snapshot.now),
        effect_text(effect),
    )


def does_what(flag: Flag) -> str:
    return f"{flag.name} to {flag.to}" if flag.to else flag.name


def lines(snapshot: RoutingSnapshot) -> Iterator[Text]:
    """Breakers that are open, circuits that on-call keeps closed, what is concluded, and flags kept elsewhere."""
    for flag in snapshot.tripped:
        if flag.actor == BREAKER and flag.circuit is not None:
            state = snapshot.routing.circuits.get(flag.circuit)
            yield Text(
                f"breaker open: {flag.circuit}: {probes(flag, state, snapshot.now)}",
                "yellow",
            )
    for circuit, until in sorted(snapshot.own.overruled.items()):
        if until > snapshot.now:
            yield Text(f"the breaker of {circuit} will not trip before {moment(until)}")
    for conclusion in snapshot.routing.conclusions.reached.values():
        yield Text(f"concluded: {conclusion.why}", "yellow")
    for flag_id in snapshot.kept_elsewhere:
        yield Text(f"{flag_id} is also active in the pump; set RENDERLANE_FLAG_PROVIDER here to see it in this list")


def documents(snapshot: RoutingSnapshot) -> Iterator[dict[str, Any]]:
    """The same for a program: one object each, distinguished by `kind`."""
    for flag in snapshot.tripped:
        effect = snapshot.routing.effects.get(flag.id, Effect())
        yield {
            "kind": "breaker" if flag.actor == BREAKER else "flag",
            **flag.to_json(),
            "circuit": flag.circuit,
            "left_seconds": int((flag.expires_at - snapshot.now).total_seconds()),
            "changed_requests": effect.requests,
            "saved_usd": usd(effect.saved_micros),
        }
    for circuit, until in sorted(snapshot.own.overruled.items()):
        if until > snapshot.now:
            yield {"kind": "overruled", "circuit": circuit, "until": until}
    for conclusion in snapshot.routing.conclusions.reached.values():
        yield {
            "kind": "conclusion",
            "id": conclusion.id,
            "claim": conclusion.claim.value,
            "subject": conclusion.subject,
            "effect": conclusion.policy.effect,
            "since": conclusion.since,
            "why": conclusion.why,
            "requests": len(snapshot.routing.conclusions.cases[conclusion.id].voices),
            "failed_probes": conclusion.probes,
            "next_probe_at": conclusion.next_probe_at,
        }
        if conclusion.policy.effect == "strikes":  # as it was called before there were conclusions
            yield {
                "kind": "lacking",
                "circuit": conclusion.subject,
                "failure": conclusion.claim.value,
                "at": conclusion.since,
            }
    for flag_id in snapshot.kept_elsewhere:
        yield {"kind": "elsewhere", "id": flag_id}


def preview(flag: Flag, by_queue: Sequence[QueueEffect], lanes: Sequence[str] = BUILT) -> Iterator[RenderableType]:
    """What it meets: the queues, and how the next heads would change. `lanes`: that a route may take here."""
    lane = lane_of(flag.name)
    if lane is not None and lane not in lanes:
        yield Text(f"no effect: the {lane} lane is not configured here", "yellow")
    if not by_queue:
        yield Text("no requests are queued; it applies to new ones")
        return
    columns = (
        Column("queue", least=12),
        Column("waiting", right=True),
        Column("looked at", right=True, leaves=1),
        Column("in scope", right=True),
        Column("change", right=True),
    )
    rows = [
        (
            f"{item.queue.model}/{item.queue.priority}",
            f"{item.queue.waiting:,}",
            *(f"{count:,}" for count in (len(item.queue.heads), item.in_scope, item.changed)),
        )
        for item in by_queue
    ]
    yield Narrowing(columns, rows)
    heads, changed = sum(len(item.queue.heads) for item in by_queue), sum(item.changed for item in by_queue)
    micros = sum(item.saved_micros for item in by_queue)
    yield Text(
        f"{changed:,} of the next {heads:,} requests change" + (f" (estimates: {saved(micros)})" if micros else "")
    )
    totals: Counter[str] = Counter()
    for item in by_queue:
        totals.update(item.changes)
    for words, count in totals.most_common():
        yield Text(f"  {count:>6,}  {words}")


def history(documents: Sequence[Document]) -> RenderableType:
    columns = (
        Column("at", least=19),
        Column("what", least=6),
        Column("flag", least=22),
        Column("for", least=8, leaves=1),
        Column("by", least=7),
        Column("because", least=12),
    )
    return Narrowing(columns, [_happened(document) for document in documents])


def _happened(document: Document) -> tuple[Cell, ...]:
    line = HistoryLine.from_json(document.data)
    flag = line.logged
    does = f" to {flag.to}" if flag.to else ""
    what = line.action + (" (shadow)" if flag.shadow else "")
    return moment(line.at), what, line.flag_id + does, str(flag.scope), line.actor, line.reason
