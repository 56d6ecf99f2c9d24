"""Reads what the [models] tables of the catalogue say about capabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from shared.core.catalogue.capabilities import (
    GROUNDINGS,
    REFERENCE_KINDS,
    REFERENCE_SCHEMES,
    Background,
    Capabilities,
    Grounding,
)
from shared.core.catalogue.catalogue import APIS
from shared.core.catalogue.toml_errors import TomlFields, found_text
from shared.core.values import lanes as lane_table
from shared.core.values.parameters import OUTPUT_FORMATS, THINKING, Thinking

CAPABILITY_KEYS = (
    "grounding", "thinking", "default_thinking", "background", "references", "output_formats", "chosen_formats",
    "quality_formats",
    "reference_uris", "output_limit",
)  # fmt: skip
Word = TypeVar("Word", bound=str)


class CapabilityFields(TomlFields):
    """Turns the capabilities of [models.ID] into a value; one that is left out has its default."""

    def capabilities(self, table: Mapping[str, Any], at: tuple[str, ...], max_references: int) -> Capabilities:
        """`max_references`: of the model, of any kind."""
        thinking = self.subset(table, "thinking", at, THINKING) if "thinking" in table else ()
        return Capabilities(
            grounding=self.grounding(table, at),
            thinking=tuple(level for level in THINKING if level in thinking),
            default_thinking=self.default_thinking(table, at, thinking),
            background=self.background(table, at),
            references=self.references(table, at, max_references),
            thought_tokens=self.thought_tokens(table, at, thinking),
            output_formats=self.by_api(table, "output_formats", at, OUTPUT_FORMATS),
            chosen_formats=self.by_api(table, "chosen_formats", at, OUTPUT_FORMATS),
            quality_formats=self.by_api(table, "quality_formats", at, OUTPUT_FORMATS),
            reference_uris=self.by_api(table, "reference_uris", at, REFERENCE_SCHEMES),
            output_limit=self.output_limit(table, at),
        )

    def grounding(self, table: Mapping[str, Any], at: tuple[str, ...]) -> Grounding:
        if "grounding" not in table:
            return Capabilities().grounding
        return self.one_of(table, "grounding", at, GROUNDINGS)  # type: ignore[return-value]

    def default_thinking(
        self, table: Mapping[str, Any], at: tuple[str, ...], thinking: Sequence[Thinking]
    ) -> Thinking | None:
        if not thinking and "default_thinking" not in table:
            return None
        return self.one_of(table, "default_thinking", at, thinking)  # type: ignore[return-value]

    def background(self, table: Mapping[str, Any], at: tuple[str, ...]) -> dict[str, Background]:
        if "background" not in table:
            return {}
        lanes = self.table(table, "background", at)
        self.only(lanes, lane_table.ASKABLE, (*at, "background"))
        words: dict[str, Background] = {}
        for lane, value in lanes.items():
            if value is True or value is False:
                words[lane] = "yes" if value else "no"
            elif value == "unknown":
                words[lane] = "unknown"
            else:
                self.refuse((*at, "background", lane), f'{found_text(value)}; allowed: true, false, "unknown"')
        return words

    def references(self, table: Mapping[str, Any], at: tuple[str, ...], max_references: int) -> dict[str, int]:
        if "references" not in table:
            return {}
        kinds = self.table(table, "references", at)
        self.only(kinds, REFERENCE_KINDS, (*at, "references"))
        return {kind: self.whole(kinds, kind, (*at, "references"), most=max_references) for kind in kinds}

    def thought_tokens(
        self, table: Mapping[str, Any], at: tuple[str, ...], thinking: Sequence[Thinking]
    ) -> dict[str, int]:
        """By level; all of them, if they are listed separately."""
        if not isinstance(table.get("thought_tokens"), dict):
            return {}
        levels = self.table(table, "thought_tokens", at)
        self.only(levels, THINKING, (*at, "thought_tokens"))  # more levels than the model has say nothing wrong
        return {level: self.whole(levels, level, (*at, "thought_tokens")) for level in thinking}

    def by_api(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], allowed: Sequence[str]
    ) -> dict[str, tuple[str, ...]]:
        if key not in table:
            return {}
        apis = self.table(table, key, at)
        self.only(apis, APIS, (*at, key))
        return {api: self.subset(apis, api, (*at, key), allowed) for api in apis}

    def output_limit(self, table: Mapping[str, Any], at: tuple[str, ...]) -> int | None:
        """Never below what one image of the model takes."""
        if "output_limit" not in table:
            return None
        tokens = table["image_tokens"].values()  # checked before
        return self.whole(table, "output_limit", at, least=max(tokens, default=1))

    def subset(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], allowed: Sequence[Word]
    ) -> tuple[Word, ...]:
        words = self.words(table, key, at)
        if not set(words) <= set(allowed) or len(set(words)) < len(words):
            self.refuse((*at, key), f"{found_text(list(words))}; allowed, each once: {', '.join(allowed)}")
        return words  # type: ignore[return-value]
