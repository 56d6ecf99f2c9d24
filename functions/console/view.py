"""Templates, and the words that they use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from functions.console.desk import desk_of
from shared.core.observability import display, verdict

HERE = Path(__file__).parent
STATIC = HERE / "static"
IN_WORDS: Mapping[str, str] = {
    "succeeded": "●", "failed": "✕", "refused": "⊘", "expired": "◌", "cancelled": "–", "rendering": "▶",
    "released": "▷", "batched": "▤", "queued": "◷",
}  # fmt: skip
"""A sign beside each status: colour alone carries no meaning."""


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "dollars": display.dollars, "moment": display.moment, "seconds": display.seconds, "left": display.left,
        "so_far": display.effect_text, "saved": display.saved, "iso": iso, "duration": display.duration, "short": short,
        "money": display.money, "coded": coded,
    }  # fmt: skip
    made.globals |= {
        "ago": ago,
        "until": until,
        "sign": IN_WORDS,
        "stamp": stamp(),
        "probes": display.probes,
        "wait_reason": display.wait_reason,
        "doing": verdict.doing,
    }
    return made


def warm() -> None:
    """Compile the templates now: otherwise the first visitor waits for it."""
    for name in environment().list_templates():
        environment().get_template(name)


@cache
def stamp() -> str:
    """Changes with any file that pages load, so that browsers never use an old one."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A whole page, or a part of one: the template decides."""
    return HTMLResponse(_drawn(request, name, request.state.actor, values), status)


def problem(request: Request, status: int, title: str, advice: str, *, text: str = "") -> Response:
    """With the navigation, except for unknown callers. `text` is the current search for ids."""
    actor = getattr(request.state, "actor", "")
    return HTMLResponse(_drawn(request, "problem.html", actor, {"title": title, "told": advice, "text": text}), status)


def _drawn(request: Request, name: str, actor: str, values: Mapping[str, Any]) -> str:
    desk = desk_of(request)
    return (
        environment()
        .get_template(name)
        .render(
            base=request.scope.get("root_path", ""),
            here=request.url.path,
            actor=actor,
            project=desk.ports.project,
            simulated=desk.simulated,
            release=desk.ports.release.name,
            **values,
        )
    )


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def coded(text: str) -> Markup:
    """With text between backticks as a command."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def ago(at: datetime, now: datetime) -> Markup:
    """How long ago; the exact time as the title."""
    return _time(at, display.age(at, now))


def until(at: datetime, now: datetime) -> Markup:
    """How long until then; the exact time as the title."""
    return _time(at, display.left(at - now))


def short(model: str) -> str:
    """Without the words that all models have in common."""
    return model.removeprefix("gemini-").removesuffix("-image")


def _time(at: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(at), display.moment(at), text)
