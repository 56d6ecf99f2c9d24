"""Everything on the console that changes something. Each records who did it; the guard has checked the rest."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from functions.console import flag_forms, pages
from functions.console.desk import desk_of
from functions.console.flag_forms import Filled
from functions.console.guard import Form
from functions.console.view import problem
from shared.core.messages.pubsub_messages import Kick, cancellation
from shared.core.messages.request_key import id_of
from shared.core.messages.topics import PUMP_KICKS, RENDER_REQUESTS
from shared.core.observability import events
from shared.core.routing import flag_board, flag_form
from shared.core.routing.flag_board import FlagRefused
from shared.core.routing.flag_form import FlagRequest
from shared.core.validation.shapes import Problem
from shared.flows.intake import revive as reviving
from shared.flows.operations import flag_preview, flags
from shared.ports.messaging import TopicsUnavailable

WRONG, CONFLICT, SEE_OTHER = 422, 409, 303


async def preview(request: Request, form: Form) -> Response:
    """What a flag would change; nothing is tripped. For an open page, the answer is a part of it."""
    ports = desk_of(request).ports
    is_part = request.headers.get("hx-request") == "true"
    filled_in = {**form, "reason": form.get("reason", "").strip() or "a preview"}
    wish = flag_form.wish(filled_in, request.state.actor, ports.catalogue)
    if not isinstance(wish, FlagRequest):
        filled = Filled.again(form, wish)
        if is_part:
            return await pages.preview_part(request, filled, None, WRONG)
        return await pages.flags_page(request, filled, status=WRONG)
    ids = iter(lambda: f"{wish.name}-{secrets.token_hex(2)}", "")
    looked = await flag_preview.look(
        ports.store, ports.flag_source, ports.catalogue, ports.open_lanes, ports.gateways_in_use, wish, ids,
        ports.vertex_in_use,
    )  # fmt: skip
    filled = Filled.again(form, [])
    if is_part:
        return await pages.preview_part(request, filled, looked, 200)
    return await pages.flags_page(request, filled, looked=looked)


async def trip(request: Request, form: Form) -> Response:
    ports = desk_of(request).ports
    wish = flag_form.wish(form, request.state.actor, ports.catalogue)
    if not isinstance(wish, FlagRequest):
        return await pages.flags_page(request, Filled.again(form, wish), status=WRONG)
    flag_id = form.get("flag_id", "")
    if flag_forms.FLAG_ID.fullmatch(f"{wish.name}-{flag_id}") is None:
        return problem(request, WRONG, "Nothing was changed", "the form has no id. Reload the page.")
    new = wish.flag(f"{wish.name}-{flag_id}", (await ports.store.get(flag_board.PATH)).read_at)
    change = flags.trip(ports.store, ports.signals, new)
    return await _change(request, change, "trip", new.id, Filled.again(form, []))


async def reset(request: Request, form: Form) -> Response:
    flag_id = request.path_params["flag_id"]
    why = flag_forms.reason_of(form)
    if isinstance(why, Problem):
        return await pages.flags_page(request, Filled.empty(), wrong_at=(flag_id, why), status=WRONG)
    ports = desk_of(request).ports
    shown_expiry = flag_forms.seen_expiry(form)
    change = flags.reset(ports.store, ports.signals, flag_id, request.state.actor, why, as_seen=shown_expiry)
    return await _change(request, change, "reset", flag_id, Filled.empty())


async def extend(request: Request, form: Form) -> Response:
    flag_id = request.path_params["flag_id"]
    why, lasts = flag_forms.reason_of(form), flag_form.parse_duration(form.get("lasts", ""))
    for wrong in (why, lasts):
        if isinstance(wrong, Problem):
            return await pages.flags_page(request, Filled.empty(), wrong_at=(flag_id, wrong), status=WRONG)
    assert not isinstance(why, Problem)
    assert not isinstance(lasts, Problem)
    ports = desk_of(request).ports
    until = (await ports.store.get(flag_board.PATH)).read_at + lasts
    shown_expiry = flag_forms.seen_expiry(form)
    change = flags.extend(ports.store, ports.signals, flag_id, until, request.state.actor, why, as_seen=shown_expiry)
    return await _change(request, change, "extend", flag_id, Filled.empty())


async def undo(request: Request, form: Form) -> Response:
    """Undo the last change of the flag."""
    flag_id = request.path_params["flag_id"]
    ports = desk_of(request).ports
    change = flags.undo(ports.store, ports.signals, flag_id, request.state.actor)
    return await _change(request, change, "undo", flag_id, Filled.empty())


async def _change(request: Request, change: Awaitable[object], did: str, flag_id: str, filled: Filled) -> Response:
    """Make the change and wake the pump; if somebody else changed it meanwhile, the form says so."""
    try:
        await change
    except FlagRefused as error:
        return await pages.flags_page(request, filled, conflict=str(error), status=CONFLICT)
    await _kick(request)
    return _back(request, f"/flags?did={did}&flag={quote(flag_id)}")


async def cancel(request: Request, form: Form) -> Response:
    """Published as by any caller: a request that has started is not affected."""
    ports, look = desk_of(request).ports, await pages.of_address(request)
    await ports.topics.publish(RENDER_REQUESTS, cancellation(look.record.tenant, id_of(look.request_id)))
    actor, trace_id = request.state.actor, look.record.trace_id
    ports.signals.emit(events.OPERATED, action="cancel", request_id=look.request_id, actor=actor, trace_id=trace_id)
    return _back(request, f"/requests/{quote(look.request_id)}?did=cancel")


async def revive(request: Request, form: Form) -> Response:
    """Its content under a new id; the page of the old request links to it."""
    desk, request_id = desk_of(request), pages.request_id(request)
    try:
        await reviving.revive(desk.ports, request_id, request.state.actor)
    except reviving.ReviveRefused as error:
        return problem(request, CONFLICT, "Nothing was revived", str(error))
    return _back(request, f"/requests/{quote(request_id)}?did=revive")


async def show_prompt(request: Request, form: Form) -> Response:
    """Changes nothing; by POST, so that no address, log or browser history shows that the prompt was read, or the
    prompt itself."""
    await _note_prompt(request, "page")
    return await pages.prompt_page(request)


async def packet_with_prompt(request: Request, form: Form) -> Response:
    await _note_prompt(request, "packet")
    return await pages.packet_page(request, with_prompt=True)


async def _note_prompt(request: Request, where: str) -> None:
    """Records who looked, never what was shown."""
    ports, look = desk_of(request).ports, await pages.of_address(request)
    ports.signals.emit(
        events.OPERATED, action="show-prompt", request_id=look.request_id, actor=request.state.actor,
        trace_id=look.record.trace_id, detail=where,
    )  # fmt: skip


async def _kick(request: Request) -> None:
    """An active pump polls flags anyway; if none is active, one is started."""
    desk_of(request).panels = None  # the next overview shows the change, even if the store is slow
    with contextlib.suppress(TopicsUnavailable):
        await desk_of(request).ports.topics.publish(PUMP_KICKS, Kick().to_bytes())


def _back(request: Request, path: str) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", SEE_OTHER)
