"""Values, texts and changes that fit nowhere, drawn by a seeded chance. What the corpus changes is shared with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from scripts.fuzzing.door import DEEP, text_of
from tests.corpus import mutations

TEXTS = (
    "", " ", "\x00", "\x1b[2J", "\ud800", "\udfff\ud800", "\u202e\u200b", "é\n", "ǆ" * 70, "x" * 300, "x" * 40_000, ".",
    "..", "../x", "a/b", "a//b", "/", "__x__", "~", "r-1", "-1", "1e999", "NaN", "null", "true", "%00", "%2e%2e%2f",
    "%",     "{{7*7}}", "<script>x</script>", "'; --", "${x}", "gs://", "file:///etc/passwd", "https://[::1", "data:,x",
    "http://169.254.169.254/", "2026-13-45T99:99:99Z", "2999-12-31T23:59:59+23:59", "9" * 5_000, "1K", "16:9",
    "\U0001f9d1\u200d\U0001f680", "\ufeff", "İ", "٣",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -0.0, -1, 1, 0.1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**70, 10**30, 10**400, 1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def text(random: Random) -> str:
    if random.random() < 0.7:
        return random.choice(TEXTS)
    return "".join(
        chr(random.choice((random.randrange(128), random.randrange(0x3000)))) for _ in range(random.randrange(20))
    )


def value(random: Random, depth: int = 3) -> Any:
    """Any JSON value, and what Python's JSON takes besides."""
    match random.randrange(6 if depth else 3):
        case 0:
            return text(random)
        case 1:
            return random.choice(NUMBERS)
        case 2:
            return random.choice(mutations.OTHER_TYPES)
        case 3:
            return [value(random, depth - 1) for _ in range(random.randrange(4))]
        case 4:
            return {text(random): value(random, depth - 1) for _ in range(random.randrange(4))}
        case _:
            return random.choice((["x"] * 1_000, {str(number): number for number in range(500)}, [[[[]]]], DEEP))


def changed(random: Random, original: Any, more: Sequence[str] = ()) -> Any:
    """One to four changes of a JSON value; `more` are names of members that it may get besides."""
    for _ in range(random.randrange(1, 5)):
        places = list(mutations.paths(original))
        if isinstance(original, dict) and (not places or random.random() < 0.2):
            name = random.choice((*more, text(random)))
            original = {**original, name: value(random)}
            continue
        if not places:
            return value(random)
        path = random.choice(places)
        match random.randrange(4):
            case 0:
                original = mutations.without(original, path)
            case 1:
                original = mutations.doubled(original, path)
            case _:
                original = mutations.put(original, path, value(random))
    return mutations.reordered(original) if random.random() < 0.2 else original


def written(random: Random, original: Any) -> bytes:
    """The value as JSON, now and then with a member twice, deeply nested, in another encoding, cut or with noise."""
    plain = json.dumps(original, ensure_ascii=random.random() < 0.8)
    data = plain.encode("utf-8", "surrogatepass")
    if DEEP in plain:
        data = data.replace(f'"{DEEP}"'.encode(), DEEP.encode())
    match random.randrange(24):
        case 0 if isinstance(original, dict) and original:
            name = random.choice(list(original))
            twice = json.dumps({name: value(random, 1)})[1:-1].encode() + b","
            data = data.replace(b"{", b"{" + twice, 1)
        case 1:
            data = plain.encode(random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")), "surrogatepass")
        case 2:
            data = data[: random.randrange(len(data) + 1)]
        case 3:
            at = random.randrange(len(data) + 1)
            data = data[:at] + random.randbytes(random.randrange(1, 9)) + data[at + random.randrange(3) :]
        case 4:
            data = random.choice(mutations.WRAPPINGS)(data)
        case 5:
            data = random.randbytes(random.randrange(200))
        case 6:
            data += b" " * random.choice((1, 300_000))
        case _:
            pass
    return data


def as_sent(random: Random, original: Any) -> str:
    """`written`, as it stands in an input."""
    return text_of(written(random, original))
