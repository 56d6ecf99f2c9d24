"""Tables and sheets for people. Nothing here is markup: ids and messages are printed as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import asdict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.cli.data.see import wait_reasons
from scripts.cli.data.see.requests import ListedRequest, RejectedMessage, StoredRequest
from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.terminal import console as console
from shared.core.messages.render_request import RenderRequest
from shared.core.observability.display import age as age
from shared.core.observability.display import count
from shared.core.observability.display import dollars as dollars
from shared.core.observability.display import moment as moment
from shared.core.observability.display import seconds as seconds
from shared.core.provider.usage import Usage
from shared.core.records.attempt import AttemptRecord
from shared.core.records.receipt import DeliveredImage
from shared.core.records.request import RequestRecord, RequestRow
from shared.core.records.versioned import Row
from shared.core.routing.requirements import Requirements
from shared.core.validation.visible import visible
from shared.core.values.documents import Fields
from shared.core.values.lanes import STANDARD
from shared.core.values.parameters import IMAGE_SEARCH
from shared.core.values.route import Route
from shared.flows.status.prospect import Prospect

LONGEST_TABLE = 100
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


def cost(data: RequestRow) -> str:
    total = dollars(data.cost_micros)
    return f"{total} + ?" if data.cost_unknown_attempts else total


def route(planned: Route) -> str:
    """Lane and model, short: the words that all models have in common are left out."""
    model = planned.model.removeprefix("gemini-").removesuffix("-image")
    return model if planned.lane == STANDARD else f"{model} ({planned.lane})"


def results(requests: Sequence[StoredRequest | RejectedMessage], *, cut: str = "") -> RenderableType:
    """What became of each request, of many only those that did not succeed. `cut` is a common beginning of the ids."""
    if len(requests) > LONGEST_TABLE:
        requests = [item for item in requests if item.status != "succeeded"]
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
    for item in requests:
        match item:
            case StoredRequest():
                delivered = item.delivered_size or item.asked_size
                size = delivered if delivered == item.asked_size else f"{item.asked_size} > {delivered}"
                taken = route(item.record.route) if item.attempts else "-"
                cells = (taken, size, seconds(item.wait), seconds(item.model_time), cost(item.record))
            case RejectedMessage():
                cells = ("-", "-", "-", "-", "-")
        name = (item.request_id or "(no id)").removeprefix(cut)
        rows.append((name, status(item.status), *cells))
    return Narrowing(columns, rows)


def summary(requests: Sequence[StoredRequest | RejectedMessage]) -> str:
    counts = Counter(item.status for item in requests)
    ends = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    total = sum(item.record.cost_micros for item in requests if isinstance(item, StoredRequest))
    return f"{len(requests)} requests: {ends}; total cost {dollars(total)}"


def remarks(requests: Sequence[StoredRequest | RejectedMessage], *, cut: str = "") -> RenderableType:
    """What to do about those that did not succeed."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for item in requests:
        match item:
            case StoredRequest(status="succeeded"):
                continue
            case StoredRequest():
                remark = _remark(item)
            case RejectedMessage():
                remark = item.record.reason
        grid.add_row((item.request_id or "(no id)").removeprefix(cut), status(item.status), remark)
    return grid


def _remark(request: StoredRequest) -> str:
    outcome = request.record.outcome
    if outcome is None:
        return f"Not finished. Check again: renderlane status {request.key}"
    return f"{outcome.message} {outcome.advice}".strip()


def listed(listeds: Sequence[ListedRequest], now: datetime) -> RenderableType:
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
    for item in listeds:
        size = item.delivered_size or item.asked_size
        tenant, planned, old = item.record.tenant, route(item.record.route), age(item.record.created_at, now)
        rows.append((item.request_id, status(item.status), tenant, planned, size, cost(item.record), old))
    return Narrowing(columns, rows)


def rejections(messages: Sequence[RejectedMessage]) -> RenderableType:
    """Newest first, with the whole reason: it says what to do."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name in ("rejected at", "tenant", "request", "message"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for message in messages:
        record = message.record
        table.add_row(
            moment(record.created_at),
            record.tenant or "-",
            message.request_id or "(no id)",
            record.message_id,
            visible(record.reason),
        )
    return table


def first_ten(documents: Sequence[Row], what: str) -> list[RenderableType]:
    """How many there are and `what` is to become of them, and the first ten."""
    listeds = [ListedRequest(document.id, document.record) for document in documents[:10]]
    more = len(documents) - len(listeds)
    count = "1 request" if len(documents) == 1 else f"{len(documents):,} requests"
    lines: list[RenderableType] = [f"{count} {what}", listed(listeds, datetime.now(UTC))]
    return [*lines, f"... and {more:,} more"] if more else lines


def sheet(
    request: StoredRequest, why_held: Fields | None = None, prospect: Prospect | None = None, *, with_prompt: bool
) -> RenderableType:
    """Everything a person asks about one request; `why_held` is what the pump says of its model's queue, `prospect`
    what becomes of a request that has not ended.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(request, why_held, prospect, with_prompt=with_prompt):
        grid.add_row(name, value)
    return Group(grid, Text(), _attempts(request.attempts)) if request.attempts else grid


def _facts(
    request: StoredRequest, why_held: Fields | None, prospect: Prospect | None, *, with_prompt: bool
) -> list[tuple[str, RenderableType]]:
    data = request.record
    facts: list[tuple[str, RenderableType]] = [
        ("request", Text(request.request_id, "bold")),
        ("status", status(request.status)),
    ]
    if data.outcome:
        facts.append(("outcome", f"{data.outcome.code}: {data.outcome.message}"))
        if data.outcome.advice:
            facts.append(("advice", data.outcome.advice))
    elif why_held is not None:
        facts.append(("waits", wait_reasons.text(data.model, why_held)))
        if data.reason not in (None, "new"):
            facts.append(("queued", data.reason))
    elif data.reason:
        until = f" until {moment(data.wake_at)}" if data.wake_at else ""
        facts.append(("waits", f"{data.reason}{until}"))
    elif data.is_awaiting:
        since = f"since {moment(data.slot_at)}, " if data.slot_at else ""
        facts.append(("waits", f"for the provider, {since}interaction {data.interaction_id}"))
    if prospect is not None:
        at = f" ({moment(prospect.at)})" if prospect.at else ""
        facts += [("now", prospect.now)] if why_held is None else []  # else the row above says it
        facts += [("next", prospect.next), ("when", f"{prospect.when}{at}")]
    facts += [
        (name, str(other)) for name, other in (("revives", data.revives), ("revived as", data.revived_as)) if other
    ]
    if with_prompt:
        prompt = " ".join(data.prompt.split())
        facts.append(("prompt", prompt if len(prompt) <= 300 else f"{prompt[:300]} …"))
    facts.append(("asked", _requested(data)))
    if data.receipt:
        made = data.receipt.delivered
        pixels = f"{made.width} x {made.height}"
        facts.append(("delivered", f"{made.lane} {made.model} {made.image_size} ({pixels})"))
        if thought := _thought(made):
            facts.append(("thinking", thought))
    else:
        facts.append(("route", str(data.route)))
    reasons = data.reasons
    facts += [("because", reason) for reason in reasons]
    facts += [("cost", _cost_in_full(data)), ("times", _times(request)), ("trace", data.trace_id)]
    facts += [
        ("provider", f"{name} (attempt {attempt.number})")
        for attempt in request.attempts
        if (name := attempt.provider_request_id)
    ]
    if request.image:
        facts.append(("image", request.image))
    return facts


def _thought(made: DeliveredImage) -> str:
    """The level that was taken and what it came to; empty where neither is known."""
    level, tokens = made.thinking, made.thought_tokens
    counted = f"{tokens:,} tokens" if tokens else ""
    return ", ".join(part for part in (level, counted) if part)


def _requested(data: RequestRecord) -> str:
    ask = data.ask
    what = ask.model or f"the {ask.purpose} model"
    ratio = f" {ask.aspect_ratio}" if ask.aspect_ratio else ""
    more = "".join(f", {name}" for name in _parameters(ask, data.content))
    cap = f", at most {dollars(ask.max_cost_micros)}" if ask.max_cost_micros is not None else ""
    return f"{ask.lane} {what} {ask.image_size}{ratio}{more}, {data.priority}, tenant {data.tenant}{cap}"


def _parameters(ask: Requirements, request: RenderRequest) -> Iterator[str]:
    """What was asked for beside model, size and lane."""
    if ask.thinking:
        yield f"thinking {ask.thinking}"
    if ask.grounding:
        yield "image search" if ask.grounding == IMAGE_SEARCH else "grounded"
    if request.system_instruction:
        yield "with a system instruction"
    if safety := request.safety:
        yield "safety " + " ".join(f"{category}={threshold}" for category, threshold in sorted(safety.items()))
    if request.output_format:
        quality = f" at quality {request.output_quality}" if request.output_quality else ""
        yield f"as {request.output_format}{quality}"


def _cost_in_full(data: RequestRecord) -> str:
    basis = f" ({data.cost_basis})" if data.cost_basis else ""
    unknown = data.cost_unknown_attempts
    return f"{dollars(data.cost_micros)}{basis}" + (
        f" + {count(unknown, 'attempt')} of unknown cost" if unknown else ""
    )


def _times(request: StoredRequest) -> str:
    data = request.record
    parts = [f"accepted {moment(data.created_at)}"]
    if request.wait is not None:
        parts.append(f"waited {seconds(request.wait)}")
    if request.model_time is not None:
        parts.append(f"model {seconds(request.model_time)}")
    if data.finished_at:
        parts.append(f"ended after {seconds(data.finished_at - data.created_at)}")
    return ", ".join(parts)


def _attempts(attempts: Sequence[AttemptRecord]) -> RenderableType:
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
    return Narrowing(columns, [_attempt(attempt) for attempt in attempts])


def _attempt(attempt: AttemptRecord) -> tuple[Cell, ...]:
    latency = attempt.latency_ms
    return (
        str(attempt.number),
        f"{route(attempt.route)} {attempt.route.image_size}",
        attempt.outcome.code if attempt.outcome else "in flight",
        str(attempt.http_status or "-"),
        seconds(None if latency is None else timedelta(milliseconds=latency)),
        _tokens(attempt.usage),
        dollars(attempt.cost_micros),
        attempt.cost_basis or "-",
    )


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "-"
    return f"{sum(count for name, count in asdict(usage).items() if name != 'grounding_searches'):,}"
