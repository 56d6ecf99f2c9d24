"""The minimal reproduction of an attempt: what a provider's support asks for, without a key and without the prompt."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec.structs import asdict

from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import served_rates
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.validation.visible import json_line

PROMPT_LEFT_OUT = "PROMPT (left out; `renderlane packet ID --with-prompt` shows it)"
INSTRUCTION_LEFT_OUT = "SYSTEM INSTRUCTION (left out; `renderlane packet ID --with-prompt` shows it)"
KEY = '"x-goog-api-key: $GEMINI_API_KEY"'
"""In double quotes: the shell that runs it fills in the key."""


def chosen(attempts: Sequence[AttemptRecord], number: int | None) -> AttemptRecord | None:
    """The attempt of that number; without a number the last failed one, else the last."""
    if number is not None:
        return next((attempt for attempt in attempts if attempt.number == number), None)
    failed = [attempt for attempt in attempts if attempt.outcome and attempt.outcome.problem]
    return next(reversed(failed or attempts), None)


def packet(
    request_id: str,
    request: RequestRecord,
    attempt: AttemptRecord,
    *,
    project: str,
    catalogue: Catalogue,
    with_prompt: bool,
) -> dict[str, Any]:
    """Every item of the list, `None` if it is unknown."""
    render_request = request.content
    return {
        "request_id": request_id,
        "attempt": attempt.number,
        "model": attempt.route.model,
        "model_served": attempt.model,
        "route": attempt.route.to_json(),
        "flags": list(attempt.flags),
        "contract": attempt.contract,
        "operating_owner": attempt.operating_owner,
        "project": project,
        "key_kind": attempt.key_kind,
        "image_size": attempt.route.image_size,
        "aspect_ratio": render_request.aspect_ratio,
        "references": len(render_request.references),
        "grounding": render_request.grounding,
        "thinking": render_request.thinking,
        "safety": dict(render_request.safety),
        "system_instruction": render_request.system_instruction if with_prompt else None,
        "system_instruction_characters": len(render_request.system_instruction or ""),
        "output_format": render_request.output_format,
        "prompt": render_request.prompt if with_prompt else None,
        "prompt_characters": len(render_request.prompt),
        "http_status": attempt.http_status,
        "outcome": None if attempt.outcome is None else attempt.outcome.to_json(),
        "provider_request_id": attempt.provider_request_id,
        "trace_id": request.trace_id,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "latency_ms": attempt.latency_ms,
        "image_address": shown_address(attempt.image_address, render_request.prompt, with_prompt=with_prompt),
        "billing": _billing(attempt, catalogue),
    }


def shown_address(address: str | None, prompt: str, *, with_prompt: bool) -> str | None:
    """Where a paid picture is stored, without user and query, which may hold a signature; and without the path if that
    repeats the prompt."""
    if not address:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    quoted, path = _letters(prompt)[:12], _letters(unquote(parts.path))
    hidden = not with_prompt and quoted and quoted in path
    return urlunsplit((parts.scheme, host, "/…" if hidden else parts.path, "", ""))


def _letters(text: str) -> str:
    return "".join(letter.lower() for letter in text if letter.isalnum())


def curl(url: str, body: Mapping[str, Any]) -> str:
    """The command that repeats the call, for a shell that has GEMINI_API_KEY."""
    data = shlex.quote(json_line(body))
    return f"curl -sS {shlex.quote(url)} -H {KEY} -H 'content-type: application/json' -d {data}"


def _billing(attempt: AttemptRecord, catalogue: Catalogue) -> dict[str, Any]:
    """What was counted, what it cost, and by which price."""
    route = attempt.route
    rates = served_rates(catalogue, attempt.model or route.model, route.lane, route.model)
    return {
        "usage": None if attempt.usage is None else asdict(attempt.usage),
        "cost_micros": attempt.cost_micros,
        "cost_basis": attempt.cost_basis,
        "cost_parts": dict(attempt.cost_parts),
        "estimate_micros": attempt.estimate_micros,
        "price_source": rates.source if rates else None,
        "price_checked": rates.checked.isoformat() if rates else None,
    }
