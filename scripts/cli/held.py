"""Why queued requests wait, in the pump's words: it leaves word for each model whose queue it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from scripts.cli.found import Found
from shared.core.documents import Document, Fields
from shared.flows.pump_view import PUMP
from shared.ports import Store

Held = Mapping[str, Fields]
"""By model id."""


async def read(store: Store, found: Iterable[Found]) -> Held:
    """One look at the pump's document, and none where nothing waits for the pump. What is over is left out."""
    if not any(waits(each) for each in found):
        return {}
    pump = await store.get(PUMP)
    if not isinstance(pump, Document):
        return {}
    held: dict[str, Fields] = pump.data.get("held") or {}
    return {model: why for model, why in held.items() if why["until"] is None or why["until"] > pump.read_at}


def waits(found: Found) -> bool:
    """For a slot; a sleeper knows itself when it wakes."""
    return found.status == "queued" and found.data["wake_at"] is None


def of(found: Found, held: Held) -> Fields | None:
    return held.get(found.data["model"]) if waits(found) else None


def in_document(found: Found, held: Held) -> dict[str, Any]:
    """The status document, with `held` where the pump has said why."""
    why = of(found, held)
    told = {} if why is None else {"held": {name: why[name] for name in ("reason", "until", "why")}}
    return told | found.document()


def text(model: str, why: Fields) -> str:
    until = f" until {_minute(why['until'])}" if why["until"] else ""
    match why["reason"]:
        case "closed":
            return f"{model} is closed{until}" + (f" ({why['why']})" if why["why"] else "")
        case "day":
            return f"the day's quota is used up{until}"
        case "minute":
            return "the minute's quota is full"
        case "zero":
            return "its limit is 0: no billing, or not allowed to this project"
        case "pace":
            return "it is paced: the next slot comes soon"
        case "concurrency":
            return "all attempts in flight are taken"
        case "spend":
            return "the spend window is full"
        case other:
            return f"{other}{until}"


def lines(found: Iterable[Found], held: Held) -> list[str]:
    """For a list: one line a model."""
    models = sorted({each.data["model"] for each in found if of(each, held) is not None})
    told = [(model, text(model, held[model])) for model in models]
    return [f"waits: {words if words.startswith(model) else f'{model}: {words}'}" for model, words in told]


def _minute(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC" if utc.second else "%Y-%m-%d %H:%M UTC")
