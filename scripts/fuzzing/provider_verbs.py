"""Every call that the worker makes at a provider, each against one address, with what it may come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from msgspec.structs import replace

from scripts.fuzzing.invariants import KEY, PROMPT
from shared.adapters.gateway.openai_lane import OpenAiLane
from shared.adapters.gemini.background_calls import GeminiInteractions
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.adapters.gemini_batch.batches import GeminiBatches
from shared.core.lifecycle.batch import Progress, Result
from shared.core.provider.call import Made, Order
from shared.core.provider.failure import Failure
from shared.core.provider.interaction import BackgroundRefused, Finished, Gone, InProgress, Started, Unread
from shared.ports.lanes import ResultsUnavailable
from tests.builders import NOW
from tests.corpus.readers import an_order

WITHIN = timedelta(seconds=180)
"""Of a call from its slot on."""
LONGEST = timedelta(minutes=17)
"""A call, the patience for a picture at an address, and for a batch's file."""
WRITTEN = f"a {PROMPT} beside a river, in the morning"
Verb: TypeAlias = Callable[[str], Awaitable[object]]


def order(form: str) -> Order:
    return replace(an_order(form, WRITTEN), request_id="r-1")


async def _slot() -> timedelta:
    return timedelta(seconds=5)


async def _interactions(url: str) -> object:
    lane = GeminiLane(KEY, url)
    try:
        return await lane.generate(order("interactions"), WITHIN, _slot)
    finally:
        await lane.close()


async def _generate(url: str) -> object:
    lane = GenerateContentLane(KEY, url)
    try:
        return await lane.generate(order("generate"), WITHIN, _slot)
    finally:
        await lane.close()


async def _native(url: str) -> object:
    lane = GenerateContentLane(KEY, url, bearer=True)
    try:
        return await lane.generate(order("native"), WITHIN, _slot)
    finally:
        await lane.close()


def _openai(form: Any) -> Verb:
    async def call(url: str) -> object:
        lane = OpenAiLane(KEY, url, form)
        try:
            return await lane.generate(order(form), WITHIN, _slot)
        finally:
            await lane.close()

    return call


def _background(verb: Callable[[GeminiInteractions], Awaitable[object]]) -> Verb:
    async def call(url: str) -> object:
        lane = GeminiLane(KEY, url)
        try:
            return await verb(GeminiInteractions(lane, webhook_url="https://worker.example/arrive"))
        finally:
            await lane.close()

    return call


def _batches(verb: Callable[[GeminiBatches], Awaitable[object]]) -> Verb:
    async def call(url: str) -> object:
        batches = GeminiBatches(KEY, url)
        try:
            return await verb(batches)
        finally:
            await batches.close()

    return call


async def _orders() -> AsyncIterator[tuple[str, Order]]:
    yield "r-1/1", order("batch")


def _results(file: str) -> Callable[[GeminiBatches], Awaitable[object]]:
    async def read(batches: GeminiBatches) -> object:
        """Results are settled one after the other: only the last one stays."""
        last: object = None
        try:
            async for result in await batches.results(file, "gemini-3-pro-image", {"r-1/1": WRITTEN}):
                last = result
        except ResultsUnavailable as error:
            return error.failure
        return last

    return read


_ONE = "v1_abc"
VERBS: Mapping[str, tuple[Verb, tuple[type, ...]]] = {
    "interactions": (_interactions, (Made, Failure)),
    "generate": (_generate, (Made, Failure)),
    "native": (_native, (Made, Failure)),
    "chat": (_openai("chat"), (Made, Failure)),
    "images": (_openai("images"), (Made, Failure)),
    "start": (
        _background(lambda calls: calls.start(order("interactions"), _slot)),
        (Made, Failure, Started, BackgroundRefused),
    ),
    "look": (
        _background(lambda calls: calls.look(_ONE, order("interactions"))), (InProgress, Finished, Gone, Unread)
    ),
    "cancel": (_background(lambda calls: calls.cancel(_ONE)), (type(None), Failure)),
    "delete": (_background(lambda calls: calls.delete(_ONE)), (type(None), Failure)),
    "upload": (_batches(lambda batches: batches.upload("fuzz", _orders())), (str, Failure)),
    "create": (
        _batches(lambda batches: batches.create("fuzz", "gemini-3-pro-image", "files/a", timedelta(seconds=9))),
        (str, Failure),
    ),
    "find": (_batches(lambda batches: batches.find("fuzz", NOW)), (str, Failure, type(None))),
    "poll": (_batches(lambda batches: batches.look("batches/b-1")), (Progress, Failure)),
    "results": (_batches(_results("files/out-1")), (Result, Failure, type(None))),
    "inlined": (_batches(_results("batches/b-1")), (Result, Failure, type(None))),
    "stop": (_batches(lambda batches: batches.cancel("batches/b-1")), (type(None),)),
}  # fmt: skip
"""By name: the call, and the types of all that may come of it."""
FORM_OF = {
    "interactions": "interactions",
    "generate": "generate",
    "native": "native",
    "chat": "chat",
    "images": "images",
}
"""Of verbs that make a picture at once: a 200 may be charged."""
