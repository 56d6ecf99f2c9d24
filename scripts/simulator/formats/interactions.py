"""The Interactions API: a request into a `PictureOrder`, and its end into answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scripts.simulator.formats import webhooks
from scripts.simulator.formats.fields import need, objects, read, strings
from scripts.simulator.formats.reply import WrittenAnswer, json_answer
from scripts.simulator.provider.accepted_request import (
    MARKER_LABEL,
    AcceptedRequest,
    Headline,
    Inline,
    PictureOrder,
    WebhookConfig,
)
from scripts.simulator.provider.models import DEFAULT_SIZE
from scripts.simulator.provider.parameters import IMAGE_CATEGORIES, TEXT_CATEGORIES, Parameters, safety
from scripts.simulator.provider.problems import ApiProblem, ErrorForm, invalid
from scripts.simulator.provider.rendered import NoImage, RenderedImage, inline
from scripts.simulator.provider.tokens import TokenUsage

SERVED_TIER_HEADER = "x-gemini-service-tier"

PARAMETERS = frozenset(
    {
        "agent",
        "agent_config",
        "background",
        "cached_content",
        "continuation_token",
        "environment",
        "generation_config",
        "input",
        "labels",
        "model",
        "previous_interaction_id",
        "response_format",
        "response_mime_type",
        "response_modalities",
        "safety_settings",
        "service_tier",
        "store",
        "stream",
        "system_instruction",
        "tools",
        "webhook_config",
    }
)
_NOT_SIMULATED = ("agent", "agent_config", "cached_content", "environment", "stream")
_IMAGE_FORMAT = frozenset({"type", "aspect_ratio", "image_size", "mime_type", "delivery"})
_HISTORY_STEPS = ("model_output", "thought", "google_search_call", "google_search_result")

_INVALID_ARGUMENT = 3
"""google.rpc.Code of a step's error."""


def headline(body: Mapping[str, Any]) -> Headline:
    prompt, references = _glance(body.get("input"))
    image = _image_format_at_a_glance(body.get("response_format"))
    labels = body.get("labels")
    marker = labels.get(MARKER_LABEL) if isinstance(labels, dict) else ""
    return Headline(
        model=_text(body.get("model")).removeprefix("models/"),
        prompt=prompt,
        size=_text(image.get("image_size")) or DEFAULT_SIZE,
        ratio=_text(image.get("aspect_ratio")),
        tier=_text(body.get("service_tier")) or "standard",
        references=references,
        marker=_text(marker),
        background=body.get("background") is True,
    )


def order(body: Mapping[str, Any], *, resumed_prompt: str | None) -> PictureOrder:
    """`resumed_prompt`: of the stored interaction that is continued, which is sent without an input of its own."""
    for name in body:
        if name not in PARAMETERS:
            raise invalid(f"Unknown parameter '{name}'.", code="parameter_unknown")
    for name in _NOT_SIMULATED:
        if body.get(name):
            raise invalid(f"Parameter '{name}' is not supported for this model.")
    resumes = body.get("input") is None and resumed_prompt is not None
    prompt, references = _input(resumed_prompt if resumes else body.get("input"))
    size, ratio, writes = _format(body)
    config = read(body, "generation_config", dict) or {}
    store = read(body, "store", bool)
    background = read(body, "background", bool) or False
    if background and store is False:
        raise invalid("Parameter 'background' needs 'store' to be true.")
    return PictureOrder(
        prompt=prompt,
        size=size,
        ratio=ratio,
        tier=read(body, "service_tier", str) or "standard",
        references=references,
        grounded=_grounded(body),
        writes=writes,
        seed=read(config, "seed", int, "generation_config.") or 0,
        store=store is not False,
        labels=strings(read(body, "labels", dict) or {}, "labels"),
        parameters=Parameters(
            thinking=read(config, "thinking_level", str, "generation_config."),
            image_search=_image_search(body),
            safety=_safety(body),
            instruction=read(body, "system_instruction", str) or "",
        ),
        background=background,
        webhook=_webhook(body, background=background),
    )


def problem_answer(problem: ApiProblem, form: ErrorForm) -> WrittenAnswer:
    form = problem.form or form
    body = problem.rpc_body() if form == "rpc" else problem.coded_body(detailed=form == "detailed")
    return json_answer(problem.http_status, body, problem.headers)


def made_answer(made: RenderedImage) -> WrittenAnswer:
    return json_answer(200, interaction(made), {SERVED_TIER_HEADER: made.tier})


def interaction(made: RenderedImage) -> dict[str, Any]:
    body = _head(made.id, status_of(made), made.model.id, made.tier, made.created, made.updated, made.ask.labels) | {
        "steps": _steps(made)
    }
    if made.usage is not None:
        body["usage"] = usage_json(made.usage)
    if made.continuation_token:
        body["continuation_token"] = made.continuation_token
    if made.no_image is not None and made.no_image.form in ("failed", "prompt_blocked", "finish_reason"):
        body["errors"] = [{"code": made.no_image.code, "message": made.no_image.message}]
    return body


def pending(interaction_id: str, ask: AcceptedRequest, created: datetime) -> dict[str, Any]:
    """What POST and GET answer while the model works."""
    return _head(interaction_id, "in_progress", ask.model.id, ask.tier, created, created, ask.labels)


def ended(
    interaction_id: str,
    ask: AcceptedRequest,
    times: tuple[datetime, datetime],
    status: str,
    problem: ApiProblem | None,
    usage: TokenUsage,
) -> dict[str, Any]:
    """One that ended without a picture; `times` of its creation and its end."""
    body = _head(interaction_id, status, ask.model.id, ask.tier, *times, ask.labels)
    body["steps"] = []
    if usage.total:
        body["usage"] = usage_json(usage)
    if problem is not None:
        body["errors"] = [{"code": problem.code, "message": problem.message}]
    return body


def _head(
    interaction_id: str,
    status: str,
    model: str,
    tier: str,
    created: datetime,
    updated: datetime,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": interaction_id,
        "object": "interaction",
        "status": status,
        "model": model,
        "service_tier": tier,
        "created": stamp(created),
        "updated": stamp(updated),
    }
    return body | ({"labels": dict(labels)} if labels else {})


def usage_json(usage: TokenUsage) -> dict[str, Any]:
    body: dict[str, Any] = {
        "total_input_tokens": usage.total_in,
        "input_tokens_by_modality": _modalities(text=usage.text_in, image=usage.image_in),
        "total_output_tokens": usage.total_out,
        # As captured: text written beside a picture is in the total alone.
        "output_tokens_by_modality": _modalities(text=0, image=usage.image_out),
        "total_thought_tokens": usage.thoughts,
        "total_cached_tokens": 0,
        "total_tool_use_tokens": 0,
        "total_tokens": usage.total,
    }
    if usage.searches:
        body["grounding_tool_count"] = [{"type": "google_search", "count": usage.searches}]
    return body


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def status_of(made: RenderedImage) -> str:
    if made.continuation_token:
        return "requires_continuation"
    match made.no_image:
        case NoImage(form="failed" | "prompt_blocked" | "finish_reason"):
            return "failed"
        case NoImage(form="incomplete"):
            return "incomplete"
        case _:
            return "completed"


def _steps(made: RenderedImage) -> list[dict[str, Any]]:
    thought = {"type": "thought", "signature": "c2ltdWxhdGVk"}
    steps: list[dict[str, Any]] = [thought] if made.usage is not None and made.usage.thoughts else []
    match made.no_image:
        case NoImage(form="empty_steps"):
            return []
        case NoImage(form="step_error", code=code, message=message):
            error = {"code": _INVALID_ARGUMENT, "message": f"{code}: {message}"}
            return [*steps, {"type": "model_output", "error": error}]
        case NoImage(form="text_only"):
            return [*steps, {"type": "model_output", "content": [{"type": "text", "text": made.text}]}]
        case NoImage():
            return steps
        case None:
            pass
    if made.usage is not None and made.usage.searches:
        steps += _searches(made)
    content: list[dict[str, Any]] = [{"type": "text", "text": made.text}] if made.text else []
    if made.picture is not None:
        content.append({"type": "image", "mime_type": "image/jpeg", "data": inline(made.picture)})
    return [*steps, {"type": "model_output", "content": content}] if content else steps


def _searches(made: RenderedImage) -> list[dict[str, Any]]:
    query = " ".join(made.ask.prompt.split()[:8])
    return [
        {"type": "google_search_call", "id": f"{made.id}-search", "arguments": {"queries": [query]}},
        {"type": "google_search_result", "call_id": f"{made.id}-search", "result": []},
    ]


def _modalities(*, text: int, image: int) -> list[dict[str, Any]]:
    counts = {"text": text, "image": image}
    return [{"modality": modality, "tokens": tokens} for modality, tokens in counts.items() if tokens]


def _webhook(body: Mapping[str, Any], *, background: bool) -> WebhookConfig:
    config = read(body, "webhook_config", dict)
    if config is None:
        return WebhookConfig()
    if not background:
        raise invalid("Parameter 'webhook_config' needs 'background' to be true.")
    return webhooks.config(config, "webhook_config.", ("uris", "user_metadata"))


def _input(value: Any) -> tuple[str, tuple[Inline, ...]]:
    match value:
        case None:
            raise invalid("Missing required field 'input'.")
        case str():
            content = [{"type": "text", "text": value}]
        case dict():
            content = [value]
        case list():
            content = _content_of(objects(value, "input"))
        case _:
            raise invalid("Invalid value at 'input': expected a string, a content, a list of contents or of steps.")
    texts, references = [], []
    for item in content:
        match item.get("type"):
            case "text":
                texts.append(need(item, "text", str, "input.text."))
            case "image":
                references.append(_reference(item))
            case other:
                raise invalid(f"Unsupported input content type '{other}'.")
    prompt = "\n".join(texts)
    if not prompt.strip():
        raise invalid("Input contains no text.")
    return prompt, tuple(references)


def _content_of(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bare contents, or those of the user's steps; earlier steps of the model are only history."""
    if not any(item.get("type") == "user_input" for item in items):
        return items
    content: list[dict[str, Any]] = []
    for item in items:
        if item.get("type") == "user_input":
            content += objects(need(item, "content", list, "input.user_input."), "input.user_input.content")
        elif item.get("type") not in _HISTORY_STEPS:
            raise invalid(f"Unsupported input step type '{item.get('type')}'.")
    return content


def _reference(item: Mapping[str, Any]) -> Inline:
    if (uri := read(item, "uri", str, "input.image.")) is not None:
        return Inline(need(item, "mime_type", str, "input.image."), "", uri)
    return Inline(need(item, "mime_type", str, "input.image."), need(item, "data", str, "input.image."))


def _format(body: Mapping[str, Any]) -> tuple[str | None, str | None, bool]:
    """Size, ratio, and whether text is wanted beside the picture."""
    given = body.get("response_format")
    formats = objects(given if isinstance(given, list) else [given] if given is not None else [], "response_format")
    images = [item for item in formats if item.get("type") == "image"]
    writes = not formats or any(item.get("type") == "text" for item in formats)
    if formats and not images:
        raise invalid("This model needs a response_format of type 'image'.")
    if len(images) > 1:
        raise invalid("Only one response_format of type 'image' is supported.")
    modalities = [str(modality).lower() for modality in read(body, "response_modalities", list) or []]
    if modalities:
        writes = "text" in modalities
    if not images:
        return *_deprecated_image_config(body), writes
    image = images[0]
    for name in image:
        if name not in _IMAGE_FORMAT:
            raise invalid(f"Unknown parameter 'response_format.{name}'.", code="parameter_unknown")
    if read(image, "mime_type", str, "response_format.") not in (None, "image/jpeg"):
        raise invalid("response_format.mime_type must be 'image/jpeg'.")
    if read(image, "delivery", str, "response_format.") not in (None, "inline"):
        raise invalid("response_format.delivery 'uri' is not supported for this model.")
    size = read(image, "image_size", str, "response_format.")
    return size, read(image, "aspect_ratio", str, "response_format."), writes


def _deprecated_image_config(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    config = read(body, "generation_config", dict) or {}
    image = read(config, "image_config", dict, "generation_config.") or {}
    where = "generation_config.image_config."
    return read(image, "image_size", str, where), read(image, "aspect_ratio", str, where)


def _grounded(body: Mapping[str, Any]) -> bool:
    tools = objects(read(body, "tools", list) or [], "tools")
    for tool in tools:
        if tool.get("type") != "google_search":
            raise invalid(f"Tool '{tool.get('type')}' is not supported for this model.")
    return bool(tools)


def _image_search(body: Mapping[str, Any]) -> bool:
    """Whether the search is to look at images too. Without types it is in web pages."""
    types = [kind for tool in read(body, "tools", list) or [] for kind in read(tool, "search_types", list) or []]
    for kind in types:
        if kind not in ("web_search", "image_search"):
            raise invalid(f"Search type '{kind}' is not supported for this model.")
    return "image_search" in types


def _safety(body: Mapping[str, Any]) -> dict[str, str]:
    settings = objects(read(body, "safety_settings", list) or [], "safety_settings")
    where = "safety_settings."
    pairs = ((need(item, "type", str, where), need(item, "threshold", str, where)) for item in settings)
    return safety(pairs, (*TEXT_CATEGORIES, *IMAGE_CATEGORIES))


def _glance(value: Any) -> tuple[str, int]:
    """Prompt and number of references of any input, however malformed."""
    match value:
        case str():
            return value, 0
        case dict():
            items: list[Any] = [value]
        case list():
            items = value
        case _:
            return "", 0
    texts, references = [], 0
    for item in items:
        if not isinstance(item, dict):
            continue
        content = item.get("content") if item.get("type") == "user_input" else [item]
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "text":
                texts.append(_text(part.get("text")))
            elif isinstance(part, dict) and part.get("type") == "image":
                references += 1
    return "\n".join(texts), references


def _image_format_at_a_glance(value: Any) -> Mapping[str, Any]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and item.get("type") == "image":
            return item
    return {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
