"""Answers of a provider: changed real ones, lies about lengths, cut and dripping streams, in every lane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from scripts.fuzzing import invariants, rubbish
from scripts.fuzzing.door import Input, bytes_of
from scripts.fuzzing.hostile_server import hostile
from scripts.fuzzing.invariants import KEY
from scripts.fuzzing.provider_verbs import FORM_OF, LONGEST, VERBS, WRITTEN
from shared.adapters.pictures.pillow_formats import PillowFormats
from shared.core.provider.call import Made
from shared.core.provider.failure import Failure, FailureKind
from shared.ports.images import ConversionFailed
from tests.corpus import mutations, wire
from tests.corpus.booking import cost_of
from tests.corpus.case import Scripted, all_cases, filled
from tests.corpus.virtual_loop import VirtualLoop
from tests.world import inline

BATCH: dict[str, Any] = {
    "name": "batches/b-1", "done": True,
    "metadata": {
        "state": "BATCH_STATE_SUCCEEDED", "displayName": "fuzz", "createTime": "2026-11-22T18:00:00Z",
        "batchStats": {"requestCount": "1", "successfulRequestCount": "1"}, "output": {"responsesFile": "files/out-1"},
    },
    "response": {"responsesFile": "files/out-1"},
}  # fmt: skip
SMALL: Mapping[str, Sequence[Any]] = {
    "start": ({"id": "v1_abc", "status": "in_progress"}, {"id": "v1_abc", "status": "completed"}),
    "cancel": ({"id": "v1_abc", "status": "cancelled"},),
    "delete": ({},),
    "upload": ({"file": {"name": "files/a"}},),
    "create": ({"name": "batches/b-1", "metadata": {"state": "BATCH_STATE_PENDING"}},),
    "find": ({"operations": [BATCH], "nextPageToken": "x"}, {"operations": []}),
    "poll": (BATCH,),
    "stop": ({},),
}
"""Well-formed answers of verbs that bring no picture."""


NO_PROMPT = ("cancel", "delete", "create", "find", "poll", "stop")
"""Verbs whose call knows of no prompt that an answer could quote."""
UNREADABLE = (FailureKind.MALFORMED_ANSWER, FailureKind.NO_IMAGE, FailureKind.CONNECTION_LOST, FailureKind.TIMEOUT)


class AnswersDoor:
    name = "answers"

    def draw(self, random: Random) -> Input:
        verb = random.choice(list(VERBS))
        body = _answer(random, verb)
        if random.random() < 0.85:
            body = rubbish.changed(random, body, ("error", "status", "id", "usage", "candidates", "data", "steps"))
        data = rubbish.as_sent(random, body)
        if random.random() < 0.1:
            data = data.replace('"', f'"{WRITTEN} {KEY} ', random.randrange(1, 9))
        if verb == "results":
            data = "\n".join([data] * random.randrange(1, 4))
        answer: Input = {
            "verb": verb,
            "status": random.choice((*mutations.STATUSES, 302, 299, 599)) if random.random() < 0.4 else 200,
            "headers": dict(random.choice(mutations.HEADERS)),
            "body": data,
        }
        if verb == "upload" and random.random() < 0.8:
            answer["headers"]["x-goog-upload-url"] = "@HOST/put"
        if random.random() < 0.1:
            answer["headers"]["location"] = rubbish.text(random).replace("\n", "")
        return answer | _wire(random, len(data))

    def play(self, item: Input) -> Sequence[str]:
        return play(item, bytes_of(item["body"]))


def play(item: Input, body: bytes) -> list[str]:
    """The verb's call, answered like this, in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_played(loop, item, body))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _played(loop: VirtualLoop, item: Input, body: bytes) -> list[str]:
    verb, types = VERBS[item["verb"]]
    async with hostile(loop, item, body) as provider:
        began, loop.busy = loop.time(), 1
        came = await verb(provider.url)
        loop.busy = 0
        took = loop.time() - began
    problems = []
    if not isinstance(came, types):
        problems.append(f"{item['verb']} gave {type(came).__name__}")
    if took > LONGEST.total_seconds():
        problems.append(f"{item['verb']} took {took:.0f} s")
    problems += _money(item, came)
    if not isinstance(came, Made):
        shown = repr(came).encode("utf-8", "replace")
        secrets = (KEY,) if item["verb"] in NO_PROMPT else (KEY, WRITTEN)
        problems += [f"{item['verb']}: {problem}" for problem in invariants.in_answer(shown, secrets)]
    elif item.get("convert", True):
        problems += await _converted(came)
    return problems


def _money(item: Input, came: object) -> Iterator[str]:
    """A 200 means that the call was served: what cannot be read of it, and states no error, is charged or unknown."""
    form: Any = FORM_OF.get(item["verb"])
    if form is not None and item["status"] == 200 and isinstance(came, Failure) and came.kind in UNREADABLE:
        cost = cost_of(form, came)
        if not cost.micros > 0 and cost.basis != "unknown":
            yield f"{form}: a 200 without a picture is booked as free ({came.kind.value}: {came.message[:60]})"


async def _converted(made: Made) -> Sequence[str]:
    try:
        await PillowFormats(run=inline).convert(made.picture, "webp", 80)
    except ConversionFailed:
        pass
    return ()


def _wire(random: Random, length: int) -> Input:
    """How the body lies on the wire."""
    match random.randrange(12):
        case 0:
            return {"cut": random.randrange(length + 1)}
        case 1:
            return {"length": random.choice((0, 1, length + 1, 10**12, -1, "abc", "1, 2", length // 2))}
        case 2:
            return {"chunked": True}
        case 3:
            return {"chunked": True, "cut": random.randrange(length + 1)}
        case 4:
            return {"drip": random.choice((3, 30))}
        case 5:
            return {"encoding": random.choice(("gzip", "deflate", "br", "zstd", "gzip, gzip", "x"))}
        case 6:
            return {"encoding": "gzip", "cut": random.randrange(200)}
        case _:
            return {}


def _answer(random: Random, verb: str) -> Any:
    if verb in SMALL and random.random() < 0.8:
        return random.choice(SMALL[verb])
    form = FORM_OF.get(verb, "batch" if verb in ("results", "inlined", "poll") else "interactions")
    ordinary = wire.ordinary(form, "gemini-3-pro-image")
    answer = ordinary if random.random() < 0.3 else random.choice(_recorded(form))
    if verb == "results":
        return answer if "key" in answer else {"key": "r-1/1", "response": answer}
    if verb == "inlined":
        return {**BATCH, "response": {"inlinedResponses": {"inlinedResponses": [{"response": answer}]}}}
    return answer


@cache
def _recorded(form: str) -> Sequence[Any]:
    """First answers of the corpus in that form."""
    bodies = []
    for case in all_cases().values():
        first = case.first
        if case.form == form and isinstance(first, Scripted) and isinstance(first.body, dict):
            bodies.append(filled(first.body, "@HOST"))
    return bodies
