"""The classic API, `models/{model}:generateContent`: a request into a `PictureOrder`, and its end into answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.simulator.formats.fields import need, objects, read, strings
from scripts.simulator.formats.interactions import SERVED_TIER_HEADER
from scripts.simulator.formats.reply import WrittenAnswer, json_answer
from scripts.simulator.provider import tokens
from scripts.simulator.provider.accepted_request import MARKER_LABEL, Headline, Inline, PictureOrder
from scripts.simulator.provider.models import DEFAULT_SIZE
from scripts.simulator.provider.parameters import TEXT_CATEGORIES, Parameters, safety
from scripts.simulator.provider.problems import ApiProblem, invalid
from scripts.simulator.provider.rendered import NoImage, RenderedImage, inline
from scripts.simulator.provider.tokens import TokenUsage

_FIELDS = frozenset(
    {
        "contents",
        "generationConfig",
        "labels",
        "model",
        "safetySettings",
        "serviceTier",
        "store",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
_IMAGE_PARTS = {"inlineData", "inline_data", "fileData", "file_data"}
_FINISH_REASONS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "PROHIBITED_CONTENT",
        "SPII",
        "BLOCKLIST",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_OTHER",
        "NO_IMAGE",
    }
)
_BLOCK_REASONS = frozenset({"SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"})


def headline(body: Mapping[str, Any], model: str) -> Headline:
    body = _camel(body)
    texts, references = [], 0
    contents = body.get("contents")
    for content in contents if isinstance(contents, list) else [contents]:
        parts = content.get("parts") if isinstance(content, dict) else []
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, dict) and part.keys() & _IMAGE_PARTS:
                references += 1
    config = body.get("generationConfig")
    image = _camel(config).get("imageConfig") if isinstance(config, dict) else None
    image = _camel(image) if isinstance(image, dict) else {}
    labels = body.get("labels")
    marker = labels.get(MARKER_LABEL) if isinstance(labels, dict) else None
    return Headline(
        model=model,
        prompt="\n".join(texts),
        size=str(image.get("imageSize") or DEFAULT_SIZE),
        ratio=str(image.get("aspectRatio") or ""),
        tier=str(body.get("serviceTier") or "standard").lower(),
        references=references,
        marker=marker if isinstance(marker, str) else "",
    )


def order(body: Mapping[str, Any], categories: tuple[str, ...] = TEXT_CATEGORIES) -> PictureOrder:
    """`categories`: of harm, whose threshold this API takes."""
    body = _camel(body)
    for name in body:
        if name not in _FIELDS:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    prompt, references = _contents(need(body, "contents", list))
    config = _camel(read(body, "generationConfig", dict) or {})
    image = _camel(read(config, "imageConfig", dict, "generationConfig.") or {})
    if (read(config, "candidateCount", int, "generationConfig.") or 1) > 1:
        raise invalid("Multiple candidates is not enabled for this model")
    modalities = [str(modality).upper() for modality in read(config, "responseModalities", list) or ["TEXT", "IMAGE"]]
    if "IMAGE" not in modalities:
        raise invalid("This model needs IMAGE among generationConfig.responseModalities.")
    return PictureOrder(
        prompt=prompt,
        size=read(image, "imageSize", str, "generationConfig.imageConfig."),
        ratio=read(image, "aspectRatio", str, "generationConfig.imageConfig."),
        tier=(read(body, "serviceTier", str) or "standard").lower(),
        references=references,
        grounded=_grounded(body),
        writes="TEXT" in modalities,
        seed=read(config, "seed", int, "generationConfig.") or 0,
        labels=strings(read(body, "labels", dict) or {}, "labels"),
        parameters=Parameters(
            thinking=_thinking(config),
            image_search=_image_search(body),
            safety=_safety(body, categories),
            instruction=_instruction(body),
        ),
    )


def problem_answer(problem: ApiProblem) -> WrittenAnswer:
    return json_answer(problem.http_status, problem.rpc_body(), problem.headers)


def made_answer(made: RenderedImage) -> WrittenAnswer:
    return json_answer(200, response(made), {SERVED_TIER_HEADER: made.tier})


def response(made: RenderedImage, mime_type: str = "image/jpeg") -> dict[str, Any]:
    body: dict[str, Any] = _outcome(made, mime_type)
    if made.usage is not None:
        body["usageMetadata"] = usage_json(made.usage)
    body["modelVersion"] = made.model.id
    body["responseId"] = made.id
    return body


def usage_json(usage: TokenUsage) -> dict[str, Any]:
    body: dict[str, Any] = {
        "promptTokenCount": usage.total_in,
        "candidatesTokenCount": usage.total_out,
        "totalTokenCount": usage.total,
        "promptTokensDetails": _modalities(text=usage.text_in, image=usage.image_in),
        "candidatesTokensDetails": _modalities(text=0, image=usage.image_out),
    }
    if usage.thoughts:
        body["thoughtsTokenCount"] = usage.thoughts
    return body


def _outcome(made: RenderedImage, mime_type: str) -> dict[str, Any]:
    match made.no_image:
        case NoImage(form="prompt_blocked", code=code, message=message):
            reason = code.upper() if code.upper() in _BLOCK_REASONS else "OTHER"
            return {"promptFeedback": {"blockReason": reason, "blockReasonMessage": message}}
        case NoImage(form="empty_steps"):
            return {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}]}
        case NoImage(form="text_only"):
            return {"candidates": [_candidate([{"text": made.text}])]}
        case NoImage(form="incomplete"):
            return {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}]}
        case NoImage(code=code, message=message):
            reason = code.upper() if code.upper() in _FINISH_REASONS else "IMAGE_OTHER"
            return {"candidates": [{"finishReason": reason, "finishMessage": message, "index": 0}]}
        case None:
            pass
    if made.continuation_token:
        return {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}]}
    parts: list[dict[str, Any]] = [{"text": made.text}] if made.text else []
    if made.picture is not None:
        parts.append({"inlineData": {"mimeType": mime_type, "data": inline(made.picture)}})
    candidate = _candidate(parts)
    if made.usage is not None and made.usage.searches:
        query = " ".join(made.ask.prompt.split()[:8])
        images = tokens.of_image_searches(made.ask.prompt) if made.ask.parameters.image_search else 0
        queries = {"webSearchQueries": [query] * (made.usage.searches - images)}
        candidate["groundingMetadata"] = queries | ({"imageSearchQueries": [query] * images} if images else {})
    return {"candidates": [candidate]}


def _candidate(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}


def _modalities(*, text: int, image: int) -> list[dict[str, Any]]:
    counts = {"TEXT": text, "IMAGE": image}
    return [{"modality": modality, "tokenCount": tokens} for modality, tokens in counts.items() if tokens]


def _contents(contents: list[Any]) -> tuple[str, tuple[Inline, ...]]:
    texts, references = [], []
    for content in objects(contents, "contents"):
        if content.get("role") == "model":
            continue
        for part in objects(need(content, "parts", list, "contents."), "contents.parts"):
            part = _camel(part)
            if "inlineData" in part:
                blob = _camel(need(part, "inlineData", dict))
                where = "contents.parts.inlineData."
                references.append(Inline(need(blob, "mimeType", str, where), need(blob, "data", str, where)))
            elif "fileData" in part:
                file = _camel(need(part, "fileData", dict))
                where = "contents.parts.fileData."
                references.append(Inline(need(file, "mimeType", str, where), "", need(file, "fileUri", str, where)))
            elif "text" in part:
                texts.append(need(part, "text", str, "contents.parts."))
            else:
                raise invalid(f"Unsupported part: {', '.join(part) or 'empty'}.")
    prompt = "\n".join(texts)
    if not prompt.strip():
        raise invalid("contents carry no text.")
    return prompt, tuple(references)


def _grounded(body: Mapping[str, Any]) -> bool:
    tools = [_camel(tool) for tool in objects(read(body, "tools", list) or [], "tools")]
    for tool in tools:
        if set(tool) != {"googleSearch"}:
            raise invalid(f"Tool '{', '.join(tool)}' is not supported for this model.")
    return bool(tools)


def _image_search(body: Mapping[str, Any]) -> bool:
    searches = [_camel(_camel(tool)["googleSearch"] or {}) for tool in read(body, "tools", list) or []]
    types = [_camel(read(search, "searchTypes", dict, "tools.googleSearch.") or {}) for search in searches]
    for names in types:
        if unknown := set(names) - {"webSearch", "imageSearch"}:
            raise invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot find field.')
    return any("imageSearch" in names for names in types)


def _thinking(config: Mapping[str, Any]) -> str | None:
    thinking = _camel(read(config, "thinkingConfig", dict, "generationConfig.") or {})
    level = read(thinking, "thinkingLevel", str, "generationConfig.thinkingConfig.")
    return None if level is None else level.lower()


def _safety(body: Mapping[str, Any], categories: tuple[str, ...]) -> dict[str, str]:
    """Categories of images are marked as not supported on the Gemini API (google-genai 3.6.1, types.HarmCategory)."""
    settings = [_camel(setting) for setting in objects(read(body, "safetySettings", list) or [], "safetySettings")]
    where = "safetySettings."
    pairs = [(need(item, "category", str, where), need(item, "threshold", str, where)) for item in settings]
    words = ((name.lower().removeprefix("harm_category_"), threshold.lower()) for name, threshold in pairs)
    return safety(words, categories)


def _instruction(body: Mapping[str, Any]) -> str:
    parts = (read(body, "systemInstruction", dict) or {}).get("parts", [])
    return "\n".join(need(part, "text", str, "systemInstruction.parts.") for part in objects(parts, "parts"))


def _camel(body: Mapping[str, Any]) -> dict[str, Any]:
    """Both spellings of a field are accepted, as protobuf JSON does."""
    return {_camel_name(name): value for name, value in body.items()}


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
