"""The pictures that a case's placeholders stand for: real files of a few hundred bytes, drawn when first needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import cache
from typing import Any

from PIL import Image

SIDE = 1024
"""Pixels: the size 1K, so that the price list knows the picture."""

USAGE_INTERACTIONS: dict[str, Any] = {
    "total_input_tokens": 12,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 12}],
    "total_output_tokens": 1120,
    "output_tokens_by_modality": [{"modality": "image", "tokens": 1120}],
    "total_thought_tokens": 100,
    "total_tokens": 1232,
}
USAGE_GENERATE_CONTENT: dict[str, Any] = {
    "promptTokenCount": 12,
    "candidatesTokenCount": 1120,
    "totalTokenCount": 1232,
    "thoughtsTokenCount": 100,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
}
OBJECTS: Mapping[str, dict[str, Any]] = {"@usage_ia": USAGE_INTERACTIONS, "@usage_gc": USAGE_GENERATE_CONTENT}
"""Placeholders that stand for a whole JSON value."""


@cache
def encoded(kind: str, width: int = SIDE, height: int = SIDE, turned: int = 0) -> bytes:
    """A picture file; `turned` makes another picture of the same size."""
    rows = bytes((x * 7 + y * 13 + turned) % 256 for y in range(16) for x in range(16) for _ in range(3))
    file = io.BytesIO()
    Image.frombytes("RGB", (16, 16), rows).resize((width, height), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


@cache
def texts() -> Mapping[str, str]:
    """What each placeholder inside a string stands for; longer names first, since `@PNG` begins `@PNGURL`."""
    png, jpg, webp = encoded("PNG"), encoded("JPEG"), encoded("WEBP")
    by_name = {
        "@PNG": _base64(png),
        "@JPG": _base64(jpg),
        "@WEBP": _base64(webp),
        "@PNG2": _base64(encoded("PNG", turned=51)),
        "@WIDE": _base64(encoded("PNG", 1584, 672)),
        "@GIF": _base64(encoded("GIF")),
        "@PNGURL": f"data:image/png;base64,{_base64(png)}",
        "@PNGHALF": _base64(png[: len(png) // 2]),
        "@JPGHALF": _base64(jpg[: len(jpg) // 2]),
        "@WEBPHALF": _base64(webp[: len(webp) // 2]),
        "@PNGUNPADDED": _base64(unpadded()).rstrip("="),
        "@PNGURLSAFE": base64.urlsafe_b64encode(png).decode(),
        "@PNGLINES": "\r\n".join(_in_lines(_base64(png))),
    }
    return {name: by_name[name] for name in sorted(by_name, key=len, reverse=True)}


@cache
def unpadded() -> bytes:
    """A PNG whose base64 needs padding."""
    pictures = (encoded("PNG", turned=turned) for turned in range(64))
    return next(data for data in pictures if len(data) % 3 == 1)


def references() -> Mapping[str, bytes]:
    """By name, the files that `file://REFS/NAME` in a request means."""
    jpg = encoded("JPEG")
    large = encoded("PNG") + b"\0" * 2_600_000
    files = {
        "plain.png": encoded("PNG"),
        "plain.jpg": jpg,
        "plain.gif": encoded("GIF"),
        "half.jpg": jpg[: len(jpg) // 2],
    }
    return files | {f"eight{number}.png": large for number in range(8)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _in_lines(text: str) -> list[str]:
    return [text[at : at + 76] for at in range(0, len(text), 76)]
