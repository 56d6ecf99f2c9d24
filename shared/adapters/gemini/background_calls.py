"""Background calls of the Gemini API's interactions: start, look, cancel, delete, each one short exchange.

The POST says `background` and `store`, so the provider answers with an id at once and keeps the interaction: prompt,
references and image stay there until `delete`. A webhook address is sent along if one is configured; its events return
`user_metadata`, so that even a call whose answer was lost is found again.

Source: https://ai.google.dev/gemini-api/docs/interactions, https://ai.google.dev/gemini-api/docs/webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec import Struct

from shared.adapters.gemini import http_call
from shared.adapters.gemini.http_call import Call
from shared.adapters.gemini.interactions_lane import GeminiLane, Sdk, body_of
from shared.adapters.gemini.interactions_response import read_answer, state_of
from shared.adapters.payloads.answer_image import Elsewhere, Read
from shared.adapters.payloads.quotation import Sent, unescaped
from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import (
    MOST_ID_CHARACTERS,
    BackgroundRefused,
    Begun,
    Finished,
    Gone,
    InProgress,
    Looked,
    Started,
    Unread,
)
from shared.ports.lanes import AtSlot

START_TIMEOUT = timedelta(seconds=60)
LOOK_TIMEOUT = timedelta(seconds=90)
"""Longest time of a look: a 4K picture is in its answer."""
WORD_TIMEOUT = timedelta(seconds=15)
"""Longest time of a cancellation or a deletion."""
ANSWERED = (200, 201, 202, 204)
_ABOUT_BACKGROUND = re.compile(r"background$|webhook")
_REFUSING = (400, 422, 501)
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._~:+=-]{{0,{MOST_ID_CHARACTERS - 1}}}")


class _Came(Struct, frozen=True):
    """An HTTP answer that is no error."""

    body: bytearray
    headers: dict[str, str]


class GeminiInteractions:
    """The Interactions port, beside the lane whose client and key it uses."""

    def __init__(
        self,
        lane: GeminiLane,
        *,
        webhook_url: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lane = lane
        self._webhook_url = webhook_url
        self._now = now

    async def prepare(self) -> None:
        await self._lane.prepare()

    async def start(self, order: Order, at_slot: AtSlot) -> Begun:
        """One POST, answered with an id; NOT idempotent."""
        kept = await self._lane.paid.once_more(order)
        if kept is not None:
            return kept
        call = Call(at_slot, START_TIMEOUT, Sent.of(order))
        sdk = await self._lane.sdk()
        exchange = self._post(sdk, background_body(order, self._webhook_url))
        came = await http_call.with_deadline(call, exchange, sdk.error, self._now)
        if isinstance(came, Failure):
            failure = self._lane.cleaned(came, order, call)
            return BackgroundRefused(failure) if _speaks_of_background(came, call.quotable) else failure
        state = state_of(came.body)
        if state.is_open:
            if _ID.fullmatch(state.id):
                return Started(state.id)
            message = f"an interaction that is {state.status[:40]!r} and has no id to be reading by"
            return self._lane.cleaned(Failure(FailureKind.MALFORMED_ANSWER, message, http_status=200), order, call)
        return await self._answer(read_answer(came.body, order, came.headers, self._now()), order, call)

    async def look(self, interaction_id: str, order: Order) -> Looked:
        call = Call(_at_once, LOOK_TIMEOUT, Sent.of(order))
        sdk = await self._lane.sdk()
        got = sdk.client.aio.interactions.with_streaming_response.get
        exchange = self._read(got(id=interaction_id, stream=False, timeout=LOOK_TIMEOUT.total_seconds()))
        came = await http_call.with_deadline(call, exchange, sdk.error, self._now)
        if isinstance(came, Failure):
            is_gone = came.http_status == 404 and came.kind is not FailureKind.CONNECTION
            return Gone() if is_gone else Unread(self._lane.cleaned(came, order, call))
        state = state_of(came.body)
        if state.is_open:
            return InProgress(state.status[:40])
        answer = await self._answer(read_answer(came.body, order, came.headers, self._now()), order, call)
        if isinstance(answer, Failure) and answer.kind is FailureKind.MALFORMED_ANSWER:
            return Unread(answer)  # it is kept there: the next look may bring it whole
        return Finished(answer, state.updated)

    async def cancel(self, interaction_id: str) -> Failure | None:
        """An interaction that has ended cannot be cancelled (400, 409), which the next look shows."""
        sdk = await self._lane.sdk()
        send = sdk.client.aio.interactions.with_streaming_response.cancel
        failure = await self._word(sdk, send(id=interaction_id, timeout=WORD_TIMEOUT.total_seconds()))
        return None if failure is not None and failure.http_status in (400, 404, 409) else failure

    async def delete(self, interaction_id: str) -> Failure | None:
        sdk = await self._lane.sdk()
        send = sdk.client.aio.interactions.with_streaming_response.delete
        failure = await self._word(sdk, send(id=interaction_id, timeout=WORD_TIMEOUT.total_seconds()))
        return None if failure is not None and failure.http_status == 404 else failure

    async def close(self) -> None:
        """The client is the lane's."""

    async def _answer(self, reading: Read, order: Order, call: Call) -> Answer:
        answer = await self._lane.paid.fetched(reading) if isinstance(reading, Elsewhere) else reading
        return answer if isinstance(answer, Made) else self._lane.cleaned(answer, order, call)

    async def _word(self, sdk: Sdk, sending: Any) -> Failure | None:
        call = Call(_at_once, WORD_TIMEOUT)
        came = await http_call.with_deadline(call, self._read(sending), sdk.error, self._now)
        return self._lane.without_key(came, call) if isinstance(came, Failure) else None

    async def _post(self, sdk: Sdk, body: dict[str, Any]) -> _Came | Failure:
        create = sdk.client.aio.interactions.with_streaming_response.create
        return await self._read(create(**sdk.requests.arguments(body), timeout=START_TIMEOUT.total_seconds()))

    async def _read(self, sending: Any) -> _Came | Failure:
        async with sending as response:
            if response.status_code not in ANSWERED:
                return http_call.unexpected_status(response.status_code)
            headers, body = dict(response.headers), bytearray()
            async for piece in response.iter_bytes():
                body += piece
        return _Came(body, headers)


def background_body(order: Order, webhook_url: str | None) -> dict[str, Any]:
    """The body of the POST."""
    body = body_of(order) | {"background": True, "store": True}
    if webhook_url is not None:
        about = {"request_id": order.key, "attempt": order.attempt}
        body["webhook_config"] = {"uris": [webhook_url], "user_metadata": about}
    return body


def _speaks_of_background(failure: Failure, sent: Sent) -> bool:
    """In the provider's own words, about the call and not about what is in the picture. Prompts speak of backgrounds
    too: a mention only counts with a neighbouring word that it does not have in the prompt."""
    if failure.http_status not in _REFUSING or failure.kind is FailureKind.REFUSED:
        return False
    quotable = {pair for text in sent.texts for pair in pairwise(_words(text))}
    message = ["", *_words(unescaped(failure.message)), ""]
    return any(
        _ABOUT_BACKGROUND.match(word) is not None and not {(before, word), (word, behind)} & quotable
        for before, word, behind in zip(message, message[1:], message[2:], strict=False)
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


async def _at_once() -> timedelta:
    """Only a start waits for a slot."""
    return timedelta(seconds=30)
