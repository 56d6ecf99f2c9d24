"""Why queued requests wait: because of a flag `pause`, else the pump's reason for each model whose queue it blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from scripts.cli.data.json_output import JsonForm
from scripts.cli.data.see.requests import ListedRequest, StoredRequest
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle.request_view import Image, request_view
from shared.core.observability import display
from shared.core.records.pump import PumpRecord
from shared.core.routing import flag, flag_board
from shared.core.routing.flag import Flag, Subject
from shared.core.routing.flag_board import Board
from shared.core.routing.model_choice import choose_model
from shared.core.validation.shapes import Problem
from shared.core.values.documents import Document, Fields
from shared.flows.pump_status import PUMP
from shared.ports.store import Store

text = display.wait_reason


class WaitReasons(Struct, frozen=True):
    by_model: Mapping[str, Fields] = field(default_factory=dict)
    """What the pump says of each model's queue, by model id."""
    pauses: tuple[Flag, ...] = ()
    """A queue may hold requests that are paused and others that are not."""
    catalogue: Catalogue | None = None


async def read(store: Store, listeds: Iterable[ListedRequest], catalogue: Catalogue) -> WaitReasons:
    """One look at the pump and the flags, and none if nothing waits for the pump. Reasons that are over are left
    out."""
    if not any(waits(listed) for listed in listeds):
        return WaitReasons()
    pump, own = await store.get_all([PUMP, flag_board.PATH])
    stored: dict[str, Fields] = dict(PumpRecord.of(pump).blocked or {})
    current = {model: why for model, why in stored.items() if why["until"] is None or why["until"] > pump.read_at}
    flags = Board.from_json(own.data).in_force(own.read_at) if isinstance(own, Document) else ()
    return WaitReasons(current, tuple(item for item in flags if item.name == "pause" and not item.shadow), catalogue)


def waits(listed: ListedRequest) -> bool:
    """For a slot; a sleeping request has its own reason."""
    return listed.status == "queued" and listed.record.wake_at is None


def of(listed: ListedRequest, wait_reasons: WaitReasons) -> Fields | None:
    """What blocks this request: a pause that concerns it, else what its model's queue waits for."""
    if not waits(listed):
        return None
    pause = _pause_of(listed, wait_reasons)
    if pause is not None:
        return {"reason": "paused", "until": pause.expires_at, "why": pause.because}
    why = wait_reasons.by_model.get(listed.record.model)
    of_others = (
        why is not None and why["reason"] == "paused" and why["why"] in {item.because for item in wait_reasons.pauses}
    )
    return None if of_others else why


def _pause_of(listed: ListedRequest, wait_reasons: WaitReasons) -> Flag | None:
    if not wait_reasons.pauses or wait_reasons.catalogue is None:
        return None
    ask = listed.record.ask
    choice = choose_model(ask, wait_reasons.catalogue)
    if isinstance(choice, Problem):
        return None
    subject = Subject(listed.key, listed.record.tenant, ask.purpose, choice.model.id, ask.lane)
    return next(iter(flag.concerning(wait_reasons.pauses, subject)), None)


def in_document(request: StoredRequest, wait_reasons: WaitReasons, form: JsonForm) -> dict[str, Any]:
    """The public view with the image's place in the image store, or the whole status document; with `held` if the pump
    has given a reason."""
    why = of(request, wait_reasons)
    reason = {} if why is None else {"held": {name: why[name] for name in ("reason", "until", "why")}}
    if form.raw:
        return reason | request.document(with_prompt=form.with_prompt)
    uri = request.record.image_uri
    image = None if uri is None else Image(uri)
    view: dict[str, Any] = msgspec.to_builtins(
        request_view(request.key, request.record, datetime.now(UTC), image=image)
    )
    prompt = {"prompt": request.record.prompt} if form.with_prompt else {}
    return view | reason | prompt


def lines(listeds: Iterable[ListedRequest], wait_reasons: WaitReasons) -> list[str]:
    """For a list: one line for each reason that a model's requests wait for."""
    kept = [(listed.record.model, of(listed, wait_reasons)) for listed in listeds]
    reasons = sorted({(model, text(model, why)) for model, why in kept if why is not None})
    return [f"waits: {words if words.startswith(model) else f'{model}: {words}'}" for model, words in reasons]
