"""The Interactions API by plain HTTP, as the documentation has it: what no SDK changes, retries or hides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx2
import msgspec
from msgspec.structs import replace

from scripts.doctor_live.outcome import ProbeOutcome
from scripts.doctor_live.probes import PROMPT, Probe
from shared.adapters.gemini.interactions_lane import body_of
from shared.adapters.gemini.interactions_response import read_answer
from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.answer_image import Elsewhere
from shared.adapters.payloads.quotation import Sent
from shared.adapters.payloads.redaction import redacted
from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue
from shared.core.provider.call import Made, Order
from shared.core.provider.failure import Failure, FailureKind

GOOGLE = "https://generativelanguage.googleapis.com"
LOOK_EVERY = timedelta(seconds=2)
"""Between two looks at a background call."""
MOST_WAITS = 2
"""Times that a full minute's quota is waited for, at each probe."""
LONGEST_WAIT = timedelta(seconds=60)
Sleep = Callable[[float], Awaitable[None]]


class Api:
    """One key at one address. `now`, `monotonic` and `sleep` are the caller's."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        api_key: str,
        catalogue: Catalogue,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        webhook_url: str | None = None,
    ) -> None:
        self.webhook_url = webhook_url
        self._client = client
        self._key = api_key
        self._catalogue = catalogue
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep

    async def ask(self, probe: Probe) -> ProbeOutcome:
        """One call, and in the background the looks at it. A full minute is waited for."""
        for _ in range(MOST_WAITS):
            outcome, hint = await self._once(probe)
            if hint is None or outcome.code not in ("quota_minute", "quota_unknown", "overload"):
                return outcome
            await self._sleep(min(hint, LONGEST_WAIT).total_seconds())
        return (await self._once(probe))[0]

    async def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of a GET; 0 where nobody answered."""
        return await self._plain("GET", path)

    async def delete(self, path: str) -> int:
        return (await self._plain("DELETE", path))[0]

    async def _plain(self, method: str, path: str) -> tuple[int, bytes]:
        try:
            response = await self._client.request(method, path, headers={"x-goog-api-key": self._key})
        except httpx2.HTTPError:
            return 0, b""
        return response.status_code, response.content

    async def _once(self, probe: Probe) -> tuple[ProbeOutcome, timedelta | None]:
        order, began = an_order(probe, self._catalogue), self._monotonic()
        model = self._catalogue.models[probe.model]
        try:
            response = await self._client.post(
                "/v1/interactions", json=body(probe, order, self.webhook_url), headers={"x-goog-api-key": self._key},
                timeout=model.timeout.total_seconds(),
            )  # fmt: skip
            status, headers, content = response.status_code, response.headers, response.content
            interaction = _interaction_id(content) if status == 200 else ""
            if status == 200 and probe.background:
                status, headers, content = await self._until_ended(interaction, headers, content, model.timeout)
        except httpx2.HTTPError as error:
            return ProbeOutcome(probe, "connection", message=type(error).__name__), None
        outcome, hint = self._read(probe, order, status, headers, content)
        seconds = round(self._monotonic() - began, 2)
        return replace(outcome, seconds=seconds, interaction_id=interaction), hint

    async def _until_ended(
        self, interaction: str, headers: httpx2.Headers, content: bytes, within: timedelta
    ) -> tuple[int, httpx2.Headers, bytes]:
        """Look until it has ended, or its time is over: then it is cancelled, and what it says last counts."""
        until, status = self._monotonic() + within.total_seconds(), 200
        path = f"/v1/interactions/{interaction}?stream=false"
        while _status(content) in ("in_progress", "queued"):
            if self._monotonic() >= until:
                await self._client.post(f"/v1/interactions/{interaction}/cancel", headers={"x-goog-api-key": self._key})
                return status, headers, content
            await self._sleep(LOOK_EVERY.total_seconds())
            response = await self._client.get(path, headers={"x-goog-api-key": self._key})
            status, headers, content = response.status_code, response.headers, response.content
            if status != 200:
                break
        return status, headers, content

    def _read(
        self, probe: Probe, order: Order, status: int, headers: Mapping[str, str], content: bytes
    ) -> tuple[ProbeOutcome, timedelta | None]:
        answer = (
            read_answer(bytearray(content), order, headers, self._now())
            if status == 200
            else errors.read_failure(status, headers, content, self._now(), Sent.of(order))
        )
        if isinstance(answer, Elsewhere):
            answer = Failure(FailureKind.MALFORMED_ANSWER, "the answer names an address instead of an image")
        return outcome_of(probe, answer, status, self._catalogue, self._key), getattr(answer, "retry_after", None)


def an_order(probe: Probe, catalogue: Catalogue) -> Order:
    """The probe as a lane would send it."""
    sends_size = catalogue.models[probe.model].sends_image_size
    return Order(
        request_id=f"doctor-{probe.kind}", model=probe.model, lane=probe.lane, prompt=PROMPT,
        image_size=probe.image_size if sends_size else None, aspect_ratio=probe.aspect_ratio,
    )  # fmt: skip


def body(probe: Probe, order: Order, webhook_url: str | None = None) -> dict[str, Any]:
    """What is sent: as the lane writes it, with what the probe is about."""
    written = body_of(order)
    if probe.thinking is not None:
        written["generation_config"] = {**written.get("generation_config", {}), "thinking_level": probe.thinking}
    if probe.background:
        written |= {"background": True, "store": True}
        written |= {"webhook_config": {"uris": [webhook_url]}} if webhook_url is not None else {}
    return written


def outcome_of(
    probe: Probe, answer: Made | Failure, status: int | None, catalogue: Catalogue, key: str
) -> ProbeOutcome:
    """The answer as the report keeps it, and its cost by the catalogue."""
    match answer:
        case Made():
            cost = price.of_made(catalogue, answer.usage, answer.model, answer.lane, probe.model, probe.image_size)
            return ProbeOutcome(
                probe, "image", status, model_served=answer.model, tier_served=answer.lane,
                mime_type=answer.picture.content_type, width=answer.picture.width, height=answer.picture.height,
                usage=answer.usage, cost_micros=cost.micros if cost.basis != "unknown" else None,
            )  # fmt: skip
        case Failure():
            cost = price.of_failed(catalogue, answer.usage, answer.model or probe.model, probe.lane, probe.model)
            free = answer.usage is None and status is not None and 400 <= status < 500
            return ProbeOutcome(
                probe, answer.kind.value, answer.http_status or status,
                provider_code=redacted(answer.code, PROMPT, key), message=redacted(answer.message, PROMPT, key),
                usage=answer.usage, cost_micros=0 if free else cost.micros if cost.basis != "unknown" else None,
            )  # fmt: skip


class _Members(msgspec.Struct):
    id: str = ""
    status: str = ""


def _members(content: bytes) -> _Members:
    try:
        return msgspec.json.decode(content, type=_Members)
    except msgspec.DecodeError:
        return _Members()


def _interaction_id(content: bytes) -> str:
    return _members(content).id[:128]


def _status(content: bytes) -> str:
    return _members(content).status
