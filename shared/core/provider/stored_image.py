"""A delivered image: what is kept about it, and how an attempt can end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, get_args

from msgspec import Struct
from msgspec.structs import replace

from shared.core.provider.call import Made, Remark, counted, word
from shared.core.provider.failure import Failure
from shared.core.provider.output_format import format_of
from shared.core.provider.usage import Usage


class Delivered(Struct, frozen=True):
    """An image in the store, and what the answer that brought it said."""

    image_uri: str
    width: int
    height: int
    usage: Usage | None
    model: str
    lane: str
    provider_request_id: str
    remark: Remark = ""
    paid_before: bool = False
    """An earlier attempt was charged for it."""
    format: str = ""
    """`jpeg`, `png` or `webp`; empty if an earlier release stored it."""
    format_note: str = ""
    """How its format was converted after it arrived."""

    @classmethod
    def of(cls, made: Made, image_uri: str) -> Delivered:
        return cls(
            image_uri,
            made.picture.width,
            made.picture.height,
            counted(made.usage),
            word(made.model),
            word(made.lane),
            word(made.provider_request_id),
            made.remark,
            made.paid_before,
            format_of(made.picture.content_type),
            made.format_note,
        )

    def to_facts(self) -> dict[str, str]:
        """As the stored image's metadata, so that a paid image can be settled even if its worker is gone."""
        facts = {
            "width": str(self.width),
            "height": str(self.height),
            "model": self.model,
            "lane": self.lane,
            "provider_request_id": self.provider_request_id,
        }
        if self.remark:
            facts["remark"] = self.remark
        if self.paid_before:
            facts["paid_before"] = "true"
        if self.format:
            facts["format"] = self.format
        if self.format_note:
            facts["format_note"] = self.format_note
        if self.usage is not None:
            facts |= {f"usage_{name}": str(getattr(self.usage, name)) for name in Usage.__struct_fields__}
        return facts

    @classmethod
    def from_facts(cls, image_uri: str, facts: Mapping[str, str]) -> Delivered:
        counted = {name: int(facts[f"usage_{name}"]) for name in Usage.__struct_fields__ if f"usage_{name}" in facts}
        return cls(
            image_uri=image_uri,
            width=int(facts["width"]),
            height=int(facts["height"]),
            usage=Usage(**counted) if counted else None,
            model=facts["model"],
            lane=facts["lane"],
            provider_request_id=facts["provider_request_id"],
            remark=_remark(facts.get("remark", "")),
            paid_before=facts.get("paid_before") == "true",
            format=facts.get("format", ""),
            format_note=facts.get("format_note", ""),
        )


def _remark(word: str) -> Remark:
    return next((remark for remark in get_args(Remark) if remark == word), "")


Ending: TypeAlias = Delivered | Failure


def storable(ending: Ending) -> Ending:
    """The ending with the provider's own words and counts in a form that every store accepts; a valid one is
    unchanged."""
    kept = replace(
        ending,
        model=word(ending.model),
        lane=word(ending.lane),
        provider_request_id=word(ending.provider_request_id),
        usage=counted(ending.usage),
    )
    return (
        replace(kept, message=kept.message[:MESSAGE_LIMIT], code=word(kept.code)) if isinstance(kept, Failure) else kept
    )


MESSAGE_LIMIT = 4_000
"""Longest failure message in characters; lanes cut theirs shorter."""
