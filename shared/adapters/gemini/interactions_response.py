"""What the body of a Gemini interaction holds: a picture, or the failure it means. Pure.

Every member is kept as it came and read for itself: only what is needed is decoded, and nothing else may make the
answer unreadable. A 20 MB image exists as its base64 once and as its bytes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Raw

from shared.adapters.gemini_errors import answer_errors, errors
from shared.adapters.payloads import answer_image
from shared.adapters.payloads.answer_image import Read, Served, malformed
from shared.adapters.payloads.image_parts import parts_of
from shared.adapters.payloads.json_member import NONE, decoded, first_byte, items_of, name_of, printable, text_of
from shared.adapters.payloads.sse import values_of
from shared.adapters.payloads.token_counts import usage_of
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.times.moments import read_moment
from shared.core.values.lanes import TIERS

ENDED_WITHOUT = ("failed", "incomplete", "requires_action", "requires_continuation", "cancelled", "budget_exceeded")
"""Statuses of an interaction that has ended, or will not go on by itself, without its image being finished."""


class _Interaction(msgspec.Struct):
    status: Raw = NONE
    steps: Raw = NONE
    outputs: Raw = NONE
    """As steps were called: https://github.com/defog-ai/defog/pull/288."""
    id: Raw = NONE
    model: Raw = NONE
    service_tier: Raw = NONE
    updated: Raw = NONE
    usage: Raw = NONE
    errors: Raw = NONE
    error: Raw = NONE
    interaction: Raw = NONE
    """Around all of it, in the events of a stream."""


class State(msgspec.Struct, frozen=True):
    id: str
    status: str
    updated: datetime | None

    @property
    def is_open(self) -> bool:
        """It may still produce something: an unknown word does not count as an end."""
        return bool(self.status) and self.status not in ("completed", *ENDED_WITHOUT)


class _Step(msgspec.Struct):
    type: Raw = NONE
    error: Raw = NONE


def read_answer(body: bytes | bytearray, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """The answer in the body of an HTTP 200. `headers` by lower-case name.

    A readable picture is the answer, with anything beside it: it is paid for. A failure's text is not redacted yet.
    """
    values = values_of(body)
    interactions = [interaction for value in values if (interaction := _interaction(value)) is not None]
    interaction = _last_said(interactions)
    parts = [part for value in values for part in parts_of(value)]
    model = _name(interaction.model for interaction in interactions).removeprefix("models/") or order.model
    lane = tier(_name(interaction.service_tier for interaction in interactions), headers) or order.lane
    request_id = _name(interaction.id for interaction in interactions) or header_id(headers)
    usage = next(filter(None, (usage_of(interaction.usage) for interaction in reversed(interactions))), None)
    problem = answer_errors.problem_among(values) if not parts and not _has_steps(interaction) else None
    if problem is not None:
        return answer_errors.judge(problem, headers, now)
    if not parts and not _has_steps(interaction) and not first_byte(interaction.status):
        return _no_interaction(body, headers)
    return answer_image.read(
        parts, Served(usage, model, lane, request_id), lambda fault: _without_image(interaction, fault, headers, now)
    )


def state_of(body: bytes | bytearray) -> State:
    """What an interaction says about itself beside its output."""
    interactions = [one for one in map(_interaction, values_of(body)) if one is not None]
    last = _last_said(interactions)
    return State(_name(one.id for one in interactions), text_of(last.status), read_moment(text_of(last.updated)))


def header_id(headers: Mapping[str, str]) -> str:
    """The provider's name for the call, if a header has it."""
    names = ("x-request-id", "x-goog-request-id", "x-cloud-trace-context", "x-guploader-uploadid")
    return next((printable(headers[name]) for name in names if headers.get(name)), "")


def tier(stated: str, headers: Mapping[str, str]) -> str | None:
    names = (stated, headers.get("x-gemini-service-tier"))
    return next((name.lower() for name in names if name and name.lower() in TIERS), None)


def _interaction(value: Raw) -> _Interaction | None:
    interaction = decoded(value, _Interaction)
    if interaction is not None and first_byte(interaction.interaction) == b"{":
        return decoded(interaction.interaction, _Interaction)
    return interaction


def _last_said(interactions: Sequence[_Interaction]) -> _Interaction:
    """Each member as it was last sent."""
    merged = _Interaction()
    for interaction in interactions:
        for name in _Interaction.__struct_fields__:
            value = getattr(interaction, name)
            if first_byte(value) not in (b"", b"n"):
                setattr(merged, name, value)
    return merged


def _has_steps(interaction: _Interaction) -> bool:
    return b"[" in (first_byte(interaction.steps), first_byte(interaction.outputs))


def _name(members: Iterable[Raw]) -> str:
    return next(filter(None, map(name_of, members)), "")


def _steps(interaction: _Interaction) -> list[_Step]:
    return [*items_of(interaction.steps, _Step), *items_of(interaction.outputs, _Step)]


def _without_image(interaction: _Interaction, fault: str, headers: Mapping[str, str], now: datetime) -> Failure:
    status, steps = text_of(interaction.status), _steps(interaction)
    problems = [
        answer_errors.judge(problem, headers, now, FailureKind.NO_IMAGE) for problem in _problems(interaction, steps)
    ]
    refusals = [failure for failure in problems if failure.kind is FailureKind.REFUSED]
    if refusals:
        return refusals[0]
    if fault:
        return malformed(fault)
    if status not in ("completed", *ENDED_WITHOUT):
        return malformed(f"an interaction that is {printable(status)[:40]!r}, not ended")
    if problems:
        return problems[0]
    if status != "completed":
        return Failure(FailureKind.NO_IMAGE, f"the interaction ended as {status} without an image", status)
    if not steps and not _is_empty_list(interaction):
        return malformed("a completed interaction without steps that can be read")
    what = "text only" if any(text_of(step.type) in ("model_output", "text") for step in steps) else "no output at all"
    return Failure(FailureKind.NO_IMAGE, f"the interaction completed with {what} and gave no reason")


def _is_empty_list(interaction: _Interaction) -> bool:
    lists = (decoded(member, list[Raw]) for member in (interaction.steps, interaction.outputs))
    return any(raws == [] for raws in lists)


def _problems(interaction: _Interaction, steps: Sequence[_Step]) -> Iterator[errors.ProviderProblem]:
    for error in (*items_of(interaction.errors, Raw), *(step.error for step in steps), interaction.error):
        problem = answer_errors.inner_problem(error)
        if problem is not None:
            yield problem


def _no_interaction(body: bytes | bytearray, headers: Mapping[str, str]) -> Failure:
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no interaction",
        http_status=200,
        provider_request_id=header_id(headers),
    )
