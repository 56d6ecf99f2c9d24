"""Every call that the worker makes at a provider, each against one address, with what it may come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias, TypeVar

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
_Lane: TypeAlias = GeminiLane | GenerateContentLane | OpenAiLane


def order(form: str) -> Order:
    return replace(an_order(form, WRITTEN), request_id="r-1")


async def _slot() -> timedelta:
    return timedelta(seconds=5)


class _Closable(Protocol):
    async def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)


def _closing(make: Callable[[str], _C], verb: Callable[[_C], Awaitable[object]]) -> Verb:
    """`verb` of what `make` makes for an address, which is closed after it."""

    async def call(url: str) -> object:
        made = make(url)
        try:
            return await verb(made)
        finally:
            await made.close()

    return call


def _picture(make: Callable[[str], _Lane], form: str) -> Verb:
    return _closing(make, lambda lane: lane.generate(order(form), WITHIN, _slot))


def _background(verb: Callable[[GeminiInteractions], Awaitable[object]]) -> Verb:
    hook = "https://worker.example/arrive"
    return _closing(lambda url: GeminiLane(KEY, url), lambda lane: verb(GeminiInteractions(lane, webhook_url=hook)))


def _batches(verb: Callable[[GeminiBatches], Awaitable[object]]) -> Verb:
    return _closing(lambda url: GeminiBatches(KEY, url), verb)


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
    "interactions": (_picture(lambda url: GeminiLane(KEY, url), "interactions"), (Made, Failure)),
    "generate": (_picture(lambda url: GenerateContentLane(KEY, url), "generate"), (Made, Failure)),
    "native": (_picture(lambda url: GenerateContentLane(KEY, url, bearer=True), "native"), (Made, Failure)),
    "chat": (_picture(lambda url: OpenAiLane(KEY, url, "chat"), "chat"), (Made, Failure)),
    "images": (_picture(lambda url: OpenAiLane(KEY, url, "images"), "images"), (Made, Failure)),
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
"""By name: the call, and the types of all its possible results."""
FORM_OF = {
    "interactions": "interactions",
    "generate": "generate",
    "native": "native",
    "chat": "chat",
    "images": "images",
}
"""Of verbs that make a picture at once: a 200 may be charged."""
