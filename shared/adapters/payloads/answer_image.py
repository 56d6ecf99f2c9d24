"""The picture of an answer: the last one that is complete and not one of the model's thoughts. Pure.

An unreadable part affects only itself: the one before it is tried. Only the parts that are tried are decoded, from the
end on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.adapters.payloads import image_header
from shared.adapters.payloads.image_parts import Part
from shared.adapters.payloads.lenient_base64 import decoded
from shared.core.provider.call import Answer, Made, Picture, Remark
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage

MOST_ADDRESSES = 3


class Served(Struct, frozen=True):
    """What an answer says beside its picture."""

    usage: Usage | None
    model: str
    lane: str
    provider_request_id: str


class Elsewhere(Struct, frozen=True):
    """The picture is at an address and still has to be fetched."""

    addresses: tuple[str, ...]
    """The best first."""
    served: Served
    remark: Remark
    otherwise: Answer
    """The failure if nothing is at any of them."""


Read: TypeAlias = Answer | Elsewhere


def read(parts: Sequence[Part], served: Served, without: Callable[[str], Failure]) -> Read:
    """The result of an answer. `without` names the failure if it holds no picture: it gets what is wrong with the parts
    that should be one, or nothing if there are none."""
    answers = [part for part in parts if not part.is_thought]
    thoughts = [part for part in parts if part.is_thought]
    picture, fault = _last_inline(answers)
    if picture is not None:
        return made(picture, served, "earlier_image" if fault else "")
    drawn, wrong = _last_inline(thoughts)
    fault = fault or wrong
    otherwise = made(drawn, served, "thought_image") if drawn is not None else named(without(fault), served)
    if addresses := _addresses(answers):
        return Elsewhere(addresses, served, "", otherwise)
    if drawn is None and (addresses := _addresses(thoughts)):
        return Elsewhere(addresses, served, "thought_image", otherwise)
    return otherwise


def made(picture: Picture, served: Served, remark: Remark = "") -> Made:
    return Made(picture, served.usage, served.model, served.lane, served.provider_request_id, remark=remark)


def named(failure: Failure, served: Served) -> Failure:
    """With what the answer says of itself."""
    return replace(
        failure,
        http_status=failure.http_status or 200,
        provider_request_id=served.provider_request_id,
        usage=served.usage,
        model=served.model,
        lane=served.lane,
    )


def malformed(fault: str) -> Failure:
    return Failure(FailureKind.MALFORMED_ANSWER, fault)


def _last_inline(parts: Sequence[Part]) -> tuple[Picture | None, str]:
    """The last complete picture, and what is wrong with the last part after it that should be one."""
    fault = ""
    for part in reversed(parts):
        if not part.encoded:
            continue
        data = decoded(part.encoded)
        picture = image_header.picture(data)
        if picture is not None:
            return picture, fault
        fault = fault or (image_header.fault(data) if data else "image data that is no base64")
    empty = any(not part.encoded and not part.address for part in parts)
    return _joined(parts), fault or ("an image part without data" if empty else "")


def _joined(parts: Sequence[Part]) -> Picture | None:
    """A picture that arrived in pieces, as in streams."""
    pieces = [decoded(part.encoded) for part in parts if part.encoded and not part.in_text]
    return image_header.picture(b"".join(pieces)) if len(pieces) > 1 else None


def _addresses(parts: Iterable[Part]) -> tuple[str, ...]:
    addresses = dict.fromkeys(part.address for part in parts if part.address)
    return tuple(reversed(addresses))[:MOST_ADDRESSES]
