"""A kept image as one file: a line of JSON with what settling needs, then the image's bytes. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from shared.core.provider.call import Picture


class BrokenFile(ValueError):
    """Not a kept image, or an incomplete one."""


def name_of(key: str) -> str:
    """A file name for a key of the image store: no key contains `~`."""
    return key.replace("/", "~")


def written(key: str, picture: Picture, facts: Mapping[str, str]) -> bytes:
    head = {
        "key": key,
        "content_type": picture.content_type,
        "width": picture.width,
        "height": picture.height,
        "sha256": hashlib.sha256(picture.data).hexdigest(),
        "facts": dict(facts),
    }
    return json.dumps(head).encode() + b"\n" + picture.data


def head_of(data: bytes) -> dict[str, object]:
    """Raises BrokenFile."""
    line, newline, _ = data.partition(b"\n")
    try:
        head = json.loads(line)
        good = isinstance(head["key"], str) and isinstance(head["facts"], dict)
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenFile("its first line is no description of an image") from error
    if not newline or not good:
        raise BrokenFile("its first line is no description of an image")
    return dict(head)


def read(data: bytes) -> tuple[str, Picture, dict[str, str]]:
    """Key, picture and facts. Raises BrokenFile if the bytes are not those that were written."""
    head = head_of(data)
    image = data[data.index(b"\n") + 1 :]
    if hashlib.sha256(image).hexdigest() != head.get("sha256"):
        raise BrokenFile("its image is not whole")
    width, height, facts = head["width"], head["height"], head["facts"]
    assert isinstance(width, int)
    assert isinstance(height, int)
    assert isinstance(facts, dict)
    return str(head["key"]), Picture(image, str(head["content_type"]), width, height), dict(facts)
