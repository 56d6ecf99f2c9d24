"""Budgets of tenants: what is spent, held and left, and a raise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from functions.console.desk import desk_of
from functions.console.guard import Form, keep_cookie, token_for
from functions.console.view import page
from shared.core.accounting.budget import OVER_BUDGET, Budget
from shared.core.accounting.budget_history import BudgetChange, UndoRefused, undoable
from shared.core.lifecycle import queries
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.observability import events
from shared.core.records.tenant import TenantRecord
from shared.core.routing import flag_form
from shared.core.validation.numbers import whole_number
from shared.core.validation.shapes import Problem
from shared.core.values.documents import Document
from shared.core.values.money import micros_from_usd, usd
from shared.flows.operations import tenants
from shared.flows.operations.budget_reading import read_balance
from shared.flows.status import summary
from shared.ports import Ports
from shared.ports.messaging import TopicsUnavailable

MOST_SHOWN = 40
MOST_LIMIT_MICROS = 10**13
MOST_WAITING = 100_000
USES = {
    "first": "first attempts", "retry": "retries, the only paid attempt of their request",
    "again": "paid again: retries of requests that had been charged before", "refused": "refusals that were charged",
    "no_image": "answers without a usable image", "duplicate": "images that came after their request had ended",
}  # fmt: skip
WRONG, CONFLICT, SEE_OTHER = 422, 409, 303


class ShownBudget(Struct, frozen=True):
    tenant: str
    budget: Budget
    spent_micros: int
    held_micros: int
    waiting: int
    changes: tuple[BudgetChange, ...]
    """The newest first."""
    undoable: bool
    """The newest of them can be undone."""

    @property
    def percent(self) -> int:
        limit = self.budget.limit_micros
        return round(100 * self.spent_micros / limit) if limit else 100

    @property
    def held_percent(self) -> int:
        limit = self.budget.limit_micros
        return max(0, min(100 - self.percent, round(100 * self.held_micros / limit))) if limit else 0

    @property
    def left_micros(self) -> int:
        return max(0, self.budget.limit_micros - self.spent_micros - self.held_micros)

    @property
    def suggested(self) -> str:
        """A limit that is half as high again, in dollars."""
        return f"{Decimal(usd(self.budget.limit_micros * 3 // 2)):.2f}"


class BudgetForm(Struct, frozen=True):
    """A form that was rejected."""

    tenant: str = ""
    limit: str = ""
    reason: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """The message beside each field; `form` is about the whole form."""


async def budgets(request: Request) -> Response:
    return await _page(request)


async def _page(request: Request, *, status: int = 200, sent: BudgetForm | None = None) -> Response:
    ports = desk_of(request).ports
    documents = await ports.store.query(queries.tenants(200))
    limits = [(document, limit) for document in documents if (limit := TenantRecord.of(document).budget) is not None]
    counted, shown = await asyncio.gather(
        summary.read(ports),
        asyncio.gather(*(_shown(ports, document, limit) for document, limit in limits[:MOST_SHOWN])),
    )
    values = {
        "budgets": sorted(shown, key=lambda one: (-one.waiting, -one.percent, one.tenant)),
        "more": max(0, len(limits) - MOST_SHOWN), "default": ports.default_budget, "sent": sent or BudgetForm(),
        "spent": counted.spent if counted is not None else None, "uses": USES,
        "token": await token_for(request), "did": _did(request),
    }  # fmt: skip
    return keep_cookie(request, page(request, "budgets.html", status, **values))


def _did(request: Request) -> tuple[str, str]:
    """What was changed just before, and in whose budget."""
    did = request.query_params.get("did", "")
    return (did if did in ("set", "undo") else "", request.query_params.get("tenant", "")[:64])


async def _shown(ports: Ports, document: Document, limit: Budget) -> ShownBudget:
    balance, waiting = await asyncio.gather(
        read_balance(ports.store, document.id, limit, document.read_at),
        ports.store.count(queries.waiting_for(document.id, OVER_BUDGET, MOST_WAITING)),
    )
    changes = TenantRecord.of(document).budget_changes
    return ShownBudget(
        document.id, limit, balance.spent_micros, balance.held_micros, waiting, changes,
        undoable(changes, document.read_at) is not None,
    )  # fmt: skip


async def set_limit(request: Request, form: Form) -> Response:
    """A new limit with its reason, if the budget is still the one that the page showed."""
    ports, tenant = desk_of(request).ports, request.path_params["tenant"]
    sent = BudgetForm(tenant, form.get("limit", "")[:40], form.get("reason", "")[:300])
    name, limit, reason = flag_form.tenant(tenant), _limit(sent.limit), flag_form.reason(sent.reason)
    if isinstance(name, Problem):
        return await _page(request, status=WRONG, sent=replace(sent, wrong={"form": str(name)}))
    wrong = {}
    if limit is None:
        wrong["limit"] = f"found {sent.limit!r}; allowed: dollars such as 12.50. Enter the whole new limit."
    if isinstance(reason, Problem):
        wrong["reason"] = f"found {reason.found}; allowed: {reason.allowed}. It is kept in the budget's history."
    if limit is None or isinstance(reason, Problem):
        return await _page(request, status=WRONG, sent=replace(sent, wrong=wrong))
    by, shown = tenants.By(request.state.actor, reason), _shown_limit(form)
    try:
        after = await tenants.set_budget(ports.store, tenant, limit_micros=limit, by=by, seen_micros=shown)
    except tenants.BudgetMoved:
        message = "the budget has changed meanwhile. Look at it, then decide again."
        return await _page(request, status=CONFLICT, sent=replace(sent, wrong={"form": message}))
    return await _changed(request, "set", tenant, f"{tenant}: ${usd(shown)} -> {after}: {reason}")


def _shown_limit(form: Form) -> int:
    """The limit that the page showed; an unreadable one never equals the store's."""
    number = whole_number(form.get("seen", ""), 15)
    return -1 if number is None else number


async def undo(request: Request, form: Form) -> Response:
    """Undo the last change of a tenant's budget."""
    tenant = request.path_params["tenant"]
    name = flag_form.tenant(tenant)
    if isinstance(name, Problem):
        return await _page(request, status=WRONG, sent=BudgetForm(tenant, wrong={"form": str(name)}))
    try:
        undone = await tenants.undo_budget(desk_of(request).ports.store, tenant, request.state.actor)
    except UndoRefused as error:
        return await _page(request, status=CONFLICT, sent=BudgetForm(tenant, wrong={"form": str(error)}))
    return await _changed(request, "undo", tenant, f"{tenant}: undone: {undone}")


async def _changed(request: Request, did: str, tenant: str, detail: str) -> Response:
    """Record who changed what, wake the pump, and show the page again."""
    ports = desk_of(request).ports
    ports.signals.emit(
        events.OPERATED, action="budget", request_id=None, actor=request.state.actor, trace_id=None, detail=detail
    )
    with contextlib.suppress(TopicsUnavailable):
        await ports.topics.publish(PUMP_KICKS, Kick().to_bytes())
    name, base = quote(tenant), request.scope.get("root_path", "")
    return RedirectResponse(f"{base}/budgets?did={did}&tenant={name}#{name}", SEE_OTHER)


def _limit(text: str) -> int | None:
    try:
        micros = micros_from_usd(text.strip().removeprefix("$"))
    except ValueError:
        return None
    return micros if 0 <= micros <= MOST_LIMIT_MICROS else None
