"""Budgets of tenants: what is spent, held and left, and a raise."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from functions.console.desk import desk_of
from functions.console.guard import Form, keep_cookie, token_for
from functions.console.view import page
from shared.core.accounting.budget import OVER_BUDGET, Budget, budget_of
from shared.core.lifecycle import queries
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.observability import events
from shared.core.routing import flag_form
from shared.core.values.money import micros_from_usd, usd
from shared.core.values.validation import Problem
from shared.flows.operations import tenants
from shared.flows.operations.budget_reading import read_purse
from shared.ports import Ports
from shared.ports.messaging import TopicsUnavailable

MOST_SHOWN = 40
MOST_LIMIT_MICROS = 10**13
WRONG, CONFLICT, SEE_OTHER = 422, 409, 303


class ShownBudget(Struct, frozen=True):
    tenant: str
    budget: Budget
    spent_micros: int
    held_micros: int
    waiting: int

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
        """A limit half as high again, in dollars."""
        return f"{Decimal(usd(self.budget.limit_micros * 3 // 2)):.2f}"


async def budgets(request: Request) -> Response:
    return await _page(request)


async def _page(request: Request, *, status: int = 200, wrong: tuple[str, str] = ("", "")) -> Response:
    """`wrong`: of a tenant's form, and what is wrong in it."""
    ports = desk_of(request).ports
    documents = await ports.store.query(queries.tenants(200))
    limits = [(document.id, limit) for document in documents if (limit := budget_of(document.data)) is not None]
    shown = await asyncio.gather(*(_shown(ports, tenant, limit) for tenant, limit in limits[:MOST_SHOWN]))
    values = {
        "budgets": sorted(shown, key=lambda one: (-one.waiting, -one.percent, one.tenant)),
        "more": max(0, len(limits) - MOST_SHOWN), "default": ports.default_budget, "wrong": wrong,
        "token": await token_for(request), "did": request.query_params.get("did", "")[:64],
    }  # fmt: skip
    return keep_cookie(request, page(request, "budgets.html", status, **values))


async def _shown(ports: Ports, tenant: str, limit: Budget) -> ShownBudget:
    now = (await ports.store.get(f"tenants/{tenant}")).read_at
    purse = await read_purse(ports.store, tenant, limit, now)
    waiting = await ports.store.count(queries.waiting_for(tenant, OVER_BUDGET, 100_000))
    return ShownBudget(tenant, limit, purse.spent_micros, purse.held_micros, waiting)


async def set_limit(request: Request, form: Form) -> Response:
    """A new limit, as long as the budget is the one that the page showed."""
    ports, tenant = desk_of(request).ports, request.path_params["tenant"]
    name = flag_form.tenant(tenant)
    if isinstance(name, Problem):
        return await _page(request, status=WRONG, wrong=(tenant, str(name)))
    limit = _limit(form.get("limit", ""))
    if limit is None:
        message = f"found {form.get('limit', '')[:40]!r}; allowed: dollars such as 12.50. Enter the whole new limit."
        return await _page(request, status=WRONG, wrong=(tenant, message))
    document = await ports.store.get(tenants.PATH.format(tenant))
    before = budget_of(document.data) if hasattr(document, "data") else None
    if before is None or str(before.limit_micros) != form.get("seen", ""):
        message = "the budget has changed meanwhile. Look at it, then decide again."
        return await _page(request, status=CONFLICT, wrong=(tenant, message))
    await tenants.set_budget(ports.store, tenant, limit_micros=limit)
    detail = f"{tenant}: {usd(before.limit_micros)} -> {usd(limit)} a {before.period}"
    ports.signals.emit(
        events.OPERATED, action="budget", request_id=None, actor=request.state.actor, trace_id=None, detail=detail
    )
    with contextlib.suppress(TopicsUnavailable):
        await ports.topics.publish(PUMP_KICKS, Kick().to_bytes())
    return RedirectResponse(f"{request.scope.get('root_path', '')}/budgets?did={tenant}#{tenant}", SEE_OTHER)


def _limit(text: str) -> int | None:
    try:
        micros = micros_from_usd(text.strip().removeprefix("$"))
    except ValueError:
        return None
    return micros if 0 <= micros <= MOST_LIMIT_MICROS else None
