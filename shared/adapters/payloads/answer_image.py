"""The picture of an answer: of all that stand in it the last that is whole and no thought of the model's. Pure.

A part that holds nothing readable costs nothing but itself: the one before it is looked at. Only what is looked at is
decoded, from the end on.
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
    """The picture lies at an address and is still to be fetched."""

    addresses: tuple[str, ...]
    """The best first."""
    served: Served
    remark: Remark
    otherwise: Answer
    """Where nothing is at any of them."""


Read: TypeAlias = Answer | Elsewhere


def read(parts: Sequence[Part], served: Served, without: Callable[[str], Failure]) -> Read:
    """What the answer comes to. `without` names the failure where it holds no picture: it is given what is wrong with
    the parts that should be one, or nothing where there is none.
    """
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
    """The last whole picture, and what is wrong with the last part behind it that should be one."""
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
    """A picture that came in pieces, as streams have them."""
    pieces = [decoded(part.encoded) for part in parts if part.encoded and not part.in_text]
    return image_header.picture(b"".join(pieces)) if len(pieces) > 1 else None


def _addresses(parts: Iterable[Part]) -> tuple[str, ...]:
    addresses = dict.fromkeys(part.address for part in parts if part.address)
    return tuple(reversed(addresses))[:MOST_ADDRESSES]
