"""Tokens as a provider counted them, in whichever spelling and however oddly. Pure.

What cannot be read is not counted, and never makes the rest unread. Sources of the oddities:
https://github.com/langchain-ai/langchain-google/issues/920 (modalities as numbers),
https://github.com/vercel/ai/pull/14016 (no modalities), https://github.com/ding113/claude-code-hub/issues/663.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from shared.adapters.payloads.json_member import NONE, count_of, decoded, first_byte, items_of, text_of
from shared.core.provider.usage import Usage

IMAGE = ("image", "2")
"""google.genai's Modality by name, and by number where enums are written so."""

Kind: TypeAlias = Literal["image", "other"]
Listed: TypeAlias = tuple[tuple[Kind, str, int], ...]
"""Kind, modality and tokens of each entry."""


class _Tokens(msgspec.Struct):
    modality: Raw = NONE
    tokens: Raw = NONE
    tokenCount: Raw = NONE
    token_count: Raw = NONE


class _Searches(msgspec.Struct):
    type: Raw = NONE
    count: Raw = NONE


class _Usage(msgspec.Struct):
    total_input_tokens: Raw = NONE
    promptTokenCount: Raw = NONE
    prompt_token_count: Raw = NONE
    input_tokens_by_modality: Raw = NONE
    promptTokensDetails: Raw = NONE
    prompt_tokens_details: Raw = NONE
    total_output_tokens: Raw = NONE
    candidatesTokenCount: Raw = NONE
    candidates_token_count: Raw = NONE
    output_tokens_by_modality: Raw = NONE
    candidatesTokensDetails: Raw = NONE
    candidates_tokens_details: Raw = NONE
    total_thought_tokens: Raw = NONE
    thoughtsTokenCount: Raw = NONE
    thoughts_token_count: Raw = NONE
    total_tokens: Raw = NONE
    totalTokenCount: Raw = NONE
    total_token_count: Raw = NONE
    grounding_tool_count: Raw = NONE


class _Side(Struct, frozen=True):
    """Tokens of the input, or of the output."""

    image: int
    other: int
    is_counted: bool


def usage_of(raw: Raw, searches: int = 0) -> Usage | None:
    """None if there are no counts, or no readable ones. `searches` if they are elsewhere in the answer."""
    usage = decoded(raw, _Usage) if first_byte(raw) == b"{" else None
    if usage is None:
        return None
    went_in = _side(
        (usage.total_input_tokens, usage.promptTokenCount, usage.prompt_token_count),
        (usage.input_tokens_by_modality, usage.promptTokensDetails, usage.prompt_tokens_details),
    )
    came_out = _side(
        (usage.total_output_tokens, usage.candidatesTokenCount, usage.candidates_token_count),
        (usage.output_tokens_by_modality, usage.candidatesTokensDetails, usage.candidates_tokens_details),
    )
    thought = _first(usage.total_thought_tokens, usage.thoughtsTokenCount, usage.thoughts_token_count)
    total = _first(usage.total_tokens, usage.totalTokenCount, usage.total_token_count)
    has_searches = bool(usage.grounding_tool_count or searches)
    if not (went_in.is_counted or came_out.is_counted or has_searches or thought is not None or total is not None):
        return Usage() if bytes(raw).strip(b"{} \n\t\r") == b"" else None
    text_out = came_out.other
    if not came_out.is_counted and total is not None:  # the rest of the total is output
        text_out = max(0, total - went_in.image - went_in.other - (thought or 0))
    return Usage(
        text_in=went_in.other,
        image_in=went_in.image,
        text_out=text_out,
        image_out=came_out.image,
        thought=thought or 0,
        grounding_searches=searches or _searches(usage.grounding_tool_count),
    )


def _side(totals: tuple[Raw, ...], lists: tuple[Raw, ...]) -> _Side:
    """Nothing listed is left out, even where the total is less; only an entry that stands there twice, and is once
    too many for the total, counts once.
    """
    total = _first(*totals)
    listed = next((entries for entries in map(_listed, lists) if entries), ())
    if total is not None and sum(tokens for *_, tokens in listed) > total:
        listed = tuple(dict.fromkeys(listed))
    image = sum(tokens for kind, _, tokens in listed if kind == "image")
    other = sum(tokens for kind, _, tokens in listed if kind == "other")
    return _Side(image, max(other, (total or 0) - image), total is not None or bool(listed))


def _listed(raw: Raw) -> Listed:
    counts: list[tuple[Kind, str, int]] = []
    for entry in items_of(raw, _Tokens):
        modality = text_of(entry.modality).lower().rpartition("_")[2]
        tokens = _first(entry.tokens, entry.tokenCount, entry.token_count)
        if tokens is not None:
            counts.append(("image" if modality in IMAGE else "other", modality, tokens))
    return tuple(counts)


def _searches(raw: Raw) -> int:
    counted = items_of(raw, _Searches)
    return sum(count_of(tool.count) or 0 for tool in counted if text_of(tool.type) == "google_search")


def _first(*counts: Raw) -> int | None:
    return next((count for count in map(count_of, counts) if count is not None), None)
