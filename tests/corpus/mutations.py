"""Ways in which an answer can be odd: small changes to its JSON, its bytes, its status and its headers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = tuple[str | int, ...]
Json: TypeAlias = Any
OTHER_TYPES: tuple[Json, ...] = (None, 0, -1, 2**70, 1.5, True, "", "x", [], {}, [None], {"a": 1})
CLIENT_STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 416, 422, 429, 499)
SERVER_STATUSES = (500, 501, 502, 503, 504, 520, 522, 523, 524, 525, 530, 598)
STATUSES = (200, 201, 204, *CLIENT_STATUSES, *SERVER_STATUSES)
HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    {"content-type": "text/html"},
    {"server": "cloudflare", "cf-ray": "8a-FRA"},
    {"retry-after": "3600"},
    {"retry-after": "yesterday"},
    {"x-gemini-service-tier": "gold"},
    {"content-type": "text/event-stream"},
)


def paths(value: Json, at: Path = ()) -> Iterator[Path]:
    """Every member and item below the root."""
    if isinstance(value, dict):
        for name in value:
            yield (*at, name)
            yield from paths(value[name], (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*at, index)
            yield from paths(item, (*at, index))


def get(value: Json, path: Path) -> Json:
    for step in path:
        value = value[step]
    return value


def put(value: Json, path: Path, new: Json) -> Json:
    """A copy with another value at `path`."""
    changed = copy.deepcopy(value)
    get(changed, path[:-1])[path[-1]] = new
    return changed


def without(value: Json, path: Path) -> Json:
    changed = copy.deepcopy(value)
    del get(changed, path[:-1])[path[-1]]
    return changed


def reordered(value: Json) -> Json:
    """The same members in the opposite order, all the way down; lists keep theirs."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def doubled(value: Json, path: Path) -> Json:
    """The item of a list twice, or a member again under a new name."""
    changed, parent = copy.deepcopy(value), get(value, path[:-1])
    if isinstance(parent, list):
        get(changed, path[:-1]).insert(path[-1], get(value, path))
    else:
        get(changed, path[:-1])[f"{path[-1]}_again"] = get(value, path)
    return changed


WRAPPINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: b"\n \n" + body + b"\n",
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: b"data: " + body + b"\n\ndata: [DONE]\n\n",
    lambda body: b": wait\n\nevent: message\ndata: " + body + b"\n\n",
)
"""Around the JSON, as proxies put it. Nothing of it is lost."""


def _change(draw: Callable[[Any], Any], value: Json, targets: Sequence[Path]) -> Json:
    if not targets:
        return value
    path = draw(st.sampled_from(targets))
    match draw(st.sampled_from(("drop", "retype", "double"))):
        case "drop":
            return without(value, path)
        case "retype":
            return put(value, path, draw(st.sampled_from(OTHER_TYPES)))
        case _:
            return doubled(value, path)


@st.composite
def changed(draw: Callable[[Any], Any], value: Json, places: Callable[[Json], Iterable[Path]] = paths) -> Json:
    """The value with one to four changes at some of its `places`, which move as it changes."""
    for _ in range(draw(st.integers(1, 4))):
        value = _change(draw, value, list(places(value)))
    return reordered(value) if draw(st.booleans()) else value


def encoded(value: Json) -> bytes:
    return json.dumps(value).encode()
