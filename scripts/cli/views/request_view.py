"""Tables and sheets for people. Nothing here is markup: ids and messages are printed as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.cli.data import wait_reasons
from scripts.cli.data.requests import Found, Rejected
from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.terminal import console as console
from shared.core.lifecycle import request_record
from shared.core.observability.display import age as age
from shared.core.observability.display import dollars as dollars
from shared.core.observability.display import moment as moment
from shared.core.observability.display import seconds as seconds
from shared.core.values.documents import Document, Fields
from shared.core.values.lanes import STANDARD
from shared.core.values.parameters import IMAGE_SEARCH
from shared.core.values.route import Route
from shared.core.values.visible import visible
from shared.flows.status.prospect import Prospect

LONGEST_TABLE = 100
LISTED = ("status", "tenant", "route", "ask", "receipt", "cost_micros", "cost_unknown_attempts", "created_at")
"""What a line of a list needs: no prompts."""
STYLES = {
    "succeeded": "green",
    "refused": "yellow",
    "failed": "bold red",
    "rejected": "red",
    "expired": "magenta",
    "cancelled": "magenta",
    "rendering": "cyan",
    "released": "cyan",
    "batched": "cyan",
    "queued": "blue",
}


def status(word: str) -> Text:
    return Text(word, STYLES.get(word, ""))


def cost(data: Fields) -> str:
    known = dollars(data["cost_micros"])
    return f"{known} + ?" if data["cost_unknown_attempts"] else known


def route(data: Mapping[str, Any]) -> str:
    """Lane and model, short: the words that all models have in common are left out."""
    planned = Route.from_json(data)
    model = planned.model.removeprefix("gemini-").removesuffix("-image")
    return model if planned.lane == STANDARD else f"{model} ({planned.lane})"


def results(found: Sequence[Found | Rejected], *, cut: str = "") -> RenderableType:
    """What became of each request, of many only those that did not succeed. `cut` is a common beginning of the ids."""
    if len(found) > LONGEST_TABLE:
        found = [each for each in found if each.status != "succeeded"]
    columns = (
        Column("request", least=12),
        Column("status"),
        Column("route", least=9, most=32, leaves=1),
        Column("size", leaves=4),
        Column("wait", right=True, leaves=3),
        Column("model", right=True, leaves=2),
        Column("cost", right=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        match each:
            case Found():
                delivered = each.delivered_size or each.asked_size
                size = delivered if delivered == each.asked_size else f"{each.asked_size} > {delivered}"
                taken = route(each.data["route"]) if each.attempts else "-"
                cells = (taken, size, seconds(each.wait), seconds(each.model_time), cost(each.data))
            case Rejected():
                cells = ("-", "-", "-", "-", "-")
        name = (each.request_id or "(no id)").removeprefix(cut)
        rows.append((name, status(each.status), *cells))
    return Narrowing(columns, rows)


def summary(found: Sequence[Found | Rejected]) -> str:
    counts = Counter(each.status for each in found)
    ends = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    total = sum(each.data["cost_micros"] for each in found if isinstance(each, Found))
    return f"{len(found)} requests: {ends}; total cost {dollars(total)}"


def remarks(found: Sequence[Found | Rejected], *, cut: str = "") -> RenderableType:
    """What to do about those that did not succeed."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in found:
        match each:
            case Found() if each.data["outcome"] is None:
                remark = f"Not finished. Check again: renderlane status {each.key}"
            case Found() if each.status == "succeeded":
                continue
            case Found():
                remark = f"{each.data['outcome']['message']} {each.data['outcome']['advice']}".strip()
            case Rejected():
                remark = each.data["reason"]
        grid.add_row((each.request_id or "(no id)").removeprefix(cut), status(each.status), remark)
    return grid


def listed(found: Sequence[Found], now: datetime) -> RenderableType:
    """Newest first, one line each."""
    columns = (
        Column("request", least=16, whole=48),
        Column("status"),
        Column("tenant", least=6, overflow="ellipsis", leaves=1),
        Column("route", least=10, overflow="ellipsis", leaves=2),
        Column("size", leaves=3),
        Column("cost", right=True),
        Column("age", right=True, leaves=4),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        size = each.delivered_size or each.asked_size
        tenant, planned, old = each.data["tenant"], route(each.data["route"]), age(each.data["created_at"], now)
        rows.append((each.request_id, status(each.status), tenant, planned, size, cost(each.data), old))
    return Narrowing(columns, rows)


def rejections(messages: Sequence[Rejected]) -> RenderableType:
    """Newest first, with the whole reason: it says what to do."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name in ("rejected at", "tenant", "request", "message"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for message in messages:
        data = message.data
        table.add_row(
            moment(data["created_at"]),
            data.get("tenant") or "-",
            message.request_id or "(no id)",
            data["message_id"],
            visible(data["reason"]),
        )
    return table


def first_ten(documents: Sequence[Document], what: str) -> list[RenderableType]:
    """How many there are and `what` is to become of them, and the first ten."""
    found = [Found(each.id, each.data) for each in documents[:10]]
    more = len(documents) - len(found)
    count = "1 request" if len(documents) == 1 else f"{len(documents):,} requests"
    lines: list[RenderableType] = [f"{count} {what}", listed(found, datetime.now(UTC))]
    return [*lines, f"... and {more:,} more"] if more else lines


def sheet(
    found: Found, why_held: Fields | None = None, prospect: Prospect | None = None, *, with_prompt: bool
) -> RenderableType:
    """Everything a person asks about one request; `why_held` is what the pump says of its model's queue, `prospect`
    what becomes of a request that has not ended.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(found, why_held, prospect, with_prompt=with_prompt):
        grid.add_row(name, value)
    return Group(grid, Text(), _attempts(found.attempts)) if found.attempts else grid


def _facts(
    found: Found, why_held: Fields | None, prospect: Prospect | None, *, with_prompt: bool
) -> list[tuple[str, RenderableType]]:
    data = found.data
    facts: list[tuple[str, RenderableType]] = [
        ("request", Text(found.request_id, "bold")),
        ("status", status(found.status)),
    ]
    if data["outcome"]:
        facts.append(("outcome", f"{data['outcome']['code']}: {data['outcome']['message']}"))
        if data["outcome"]["advice"]:
            facts.append(("advice", data["outcome"]["advice"]))
    elif why_held is not None:
        facts.append(("waits", wait_reasons.text(data["model"], why_held)))
        if data["reason"] not in (None, "new"):
            facts.append(("queued", data["reason"]))
    elif data["reason"]:
        until = f" until {moment(data['wake_at'])}" if data["wake_at"] else ""
        facts.append(("waits", f"{data['reason']}{until}"))
    elif request_record.is_awaiting(data):
        since = f"since {moment(data['slot_at'])}, " if data["slot_at"] else ""
        facts.append(("waits", f"for the provider, {since}interaction {data['interaction_id']}"))
    if prospect is not None:
        at = f" ({moment(prospect.at)})" if prospect.at else ""
        facts += [("now", prospect.now), ("next", prospect.next), ("when", f"{prospect.when}{at}")]
    facts += [
        (name, str(other))
        for name, other in (("revives", data.get("revives")), ("revived as", data.get("revived_as")))
        if other
    ]
    if with_prompt:
        prompt = " ".join(data["request"]["prompt"].split())
        facts.append(("prompt", prompt if len(prompt) <= 300 else f"{prompt[:300]} …"))
    facts.append(("asked", _asked(data)))
    if data["receipt"]:
        made = data["receipt"]["delivered"]
        pixels = f"{made['width']} x {made['height']}"
        facts.append(("delivered", f"{made['lane']} {made['model']} {made['image_size']} ({pixels})"))
        if thought := _thought(made):
            facts.append(("thinking", thought))
    else:
        facts.append(("route", str(Route.from_json(data["route"]))))
    reasons = data["receipt"]["reasons"] if data["receipt"] else data["route_reasons"]
    facts += [("because", reason) for reason in reasons]
    facts += [("cost", _cost_in_full(data)), ("times", _times(found)), ("trace", data["trace_id"])]
    facts += [
        ("provider", f"{name} (attempt {each['number']})")
        for each in found.attempts
        if (name := each["provider_request_id"])
    ]
    if found.image:
        facts.append(("image", found.image))
    return facts


def _thought(made: Fields) -> str:
    """The level that was taken and what it came to; empty where neither is known."""
    level, tokens = made.get("thinking"), made.get("thought_tokens")
    counted = f"{tokens:,} tokens" if tokens else ""
    return ", ".join(part for part in (level, counted) if part)


def _asked(data: Fields) -> str:
    ask = data["ask"]
    what = ask["model"] or f"the {ask['purpose']} model"
    ratio = f" {ask['aspect_ratio']}" if ask["aspect_ratio"] else ""
    more = "".join(f", {name}" for name in _parameters(ask, data["request"]))
    cap = f", at most {dollars(ask['max_cost_micros'])}" if ask["max_cost_micros"] is not None else ""
    return f"{ask['lane']} {what} {ask['image_size']}{ratio}{more}, {data['priority']}, tenant {data['tenant']}{cap}"


def _parameters(ask: Fields, request: Fields) -> Iterator[str]:
    """What was asked for beside model, size and lane."""
    if ask.get("thinking"):
        yield f"thinking {ask['thinking']}"
    if ask["grounding"]:
        yield "image search" if ask["grounding"] == IMAGE_SEARCH else "grounded"
    if request.get("system_instruction"):
        yield "with a system instruction"
    if safety := request.get("safety"):
        yield "safety " + " ".join(f"{category}={threshold}" for category, threshold in sorted(safety.items()))
    if request.get("output_format"):
        quality = f" at quality {request['output_quality']}" if request.get("output_quality") else ""
        yield f"as {request['output_format']}{quality}"


def _cost_in_full(data: Fields) -> str:
    basis = f" ({data['cost_basis']})" if data["cost_basis"] else ""
    unknown = data["cost_unknown_attempts"]
    return f"{dollars(data['cost_micros'])}{basis}" + (f" + {unknown} attempts of unknown cost" if unknown else "")


def _times(found: Found) -> str:
    data = found.data
    parts = [f"accepted {moment(data['created_at'])}"]
    if found.wait is not None:
        parts.append(f"waited {seconds(found.wait)}")
    if found.model_time is not None:
        parts.append(f"model {seconds(found.model_time)}")
    if data["finished_at"]:
        parts.append(f"ended after {seconds(data['finished_at'] - data['created_at'])}")
    return ", ".join(parts)


def _attempts(attempts: Sequence[Fields]) -> RenderableType:
    columns = (
        Column("attempt", right=True),
        Column("route", least=9),
        Column("outcome", least=10),
        Column("HTTP", right=True, leaves=3),
        Column("model", right=True, leaves=4),
        Column("tokens", right=True, leaves=1),
        Column("cost", right=True),
        Column("basis", leaves=2),
    )
    return Narrowing(columns, [_attempt(each) for each in attempts])


def _attempt(each: Fields) -> tuple[Cell, ...]:
    latency = each["latency_ms"]
    return (
        str(each["number"]),
        f"{route(each['route'])} {each['route']['image_size']}",
        each["outcome"]["code"] if each["outcome"] else "in flight",
        str(each["http_status"] or "-"),
        seconds(None if latency is None else timedelta(milliseconds=latency)),
        _tokens(each["usage"]),
        dollars(each["cost_micros"]),
        each["cost_basis"] or "-",
    )


def _tokens(usage: Mapping[str, int] | None) -> str:
    if usage is None:
        return "-"
    return f"{sum(count for name, count in usage.items() if name != 'grounding_searches'):,}"
